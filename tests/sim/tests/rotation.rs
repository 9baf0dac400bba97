//! Epochs come and go under traffic.

use std::time::Duration;
use tidegate_sim::{Link, World, peer};
use tidegate_wg::{Command, Epoch, Mono};

const STEP: Duration = Duration::from_millis(10);
/// Milliseconds from switch to switch, and from installing an epoch to switching to it.
const EPOCH: u64 = 3000;
const LEAD: u64 = 1200;
const OVERLAP: u64 = 1500;

/// Sends a packet each way between all nodes every 10 ms, while epochs change under them. Each node switches
/// up to `skew` milliseconds late. `check` sees the world after every round and how many packets each pair sent so
/// far; so does the caller in the end.
fn rotate(world: &mut World, epochs: u64, skew: u64, check: impl Fn(&World, usize)) -> usize {
    world.start(1);
    let count = world.nodes.len() as u8;
    let mut late = vec![0; usize::from(count)];
    let mut sent = 0;
    for step in 0..=(epochs * EPOCH + LEAD + OVERLAP) / 10 {
        let millis = step * 10;
        for node in 0..count {
            rotate_node(
                world,
                node,
                millis,
                epochs,
                &mut late[usize::from(node)],
                skew,
            );
        }
        for from in 0..count {
            (0..count)
                .filter(|to| *to != from)
                .for_each(|to| world.send(from, to, sent as u32));
        }
        sent += 1;
        world.run(STEP);
        check(world, sent);
    }
    world.run(Duration::from_secs(5));
    sent
}

fn rotate_node(world: &mut World, node: u8, millis: u64, epochs: u64, late: &mut u64, skew: u64) {
    let (epoch, phase) = (millis / EPOCH + 1, millis % EPOCH);
    if epoch <= epochs && phase == EPOCH - LEAD {
        world.install(node, epoch + 1, Mono::NEVER, Duration::from_millis(300));
        *late = world.random(skew / 10 + 1) * 10;
    }
    if epoch > 1 && epoch <= epochs + 1 && phase == *late {
        world.apply(node, Command::Activate(Epoch(epoch)));
    }
    if epoch > 1 && epoch <= epochs + 1 && phase == OVERLAP {
        world.apply(node, Command::Retire(Epoch(epoch - 1)));
    }
}

fn assert_all_rotated(world: &World, epochs: u64) {
    for number in 0..world.nodes.len() as u8 {
        for status in world.status(number).peers {
            assert_eq!(
                status.epoch,
                Some(Epoch(epochs + 1)),
                "node {number} with {:?}",
                status.id
            );
        }
    }
}

fn delivered(world: &World) -> usize {
    let count = world.nodes.len() as u8;
    (0..count)
        .map(|to| {
            (0..count)
                .map(|from| world.nodes[usize::from(to)].count(from))
                .sum::<usize>()
        })
        .sum()
}

#[test]
fn two_engines_lose_nothing_in_forty_rotations_with_skewed_switches() {
    let mut world = World::new(2, Link::GOOD, 1);
    // The way takes 5 ms, a round 10: whoever had to wait for a handshake would be late. Only the first may be.
    let punctual = |world: &World, sent: usize| {
        let late = sent > 10 && (world.nodes[0].count(1), world.nodes[1].count(0)) != (sent, sent);
        assert!(!late, "a packet is late at {:?}", world.time());
    };
    let sent = rotate(&mut world, 40, 1000, punctual);
    for (to, from) in [(0, 1), (1, 0)] {
        let arrived = &world.nodes[to].arrived[&from];
        assert_eq!(arrived.len(), sent);
        assert!(
            arrived.is_sorted(),
            "a rotation reorders nothing on a path that keeps order"
        );
        assert_eq!(
            world.status(to as u8).discards.total(),
            0,
            "{:?}",
            world.status(to as u8).discards
        );
    }
    assert_all_rotated(&world, 40);
}

#[test]
fn two_engines_lose_only_what_the_network_loses() {
    for seed in 1..4 {
        let mut world = World::new(
            2,
            Link {
                loss: 20,
                duplicated: 0,
                delay: (5, 15),
            },
            seed,
        );
        let sent = rotate(&mut world, 20, 1000, |_, _| ());
        assert!(world.lost > 0);
        assert_eq!(delivered(&world) + world.lost, 2 * sent, "seed {seed}");
        assert_all_rotated(&world, 20);
    }
}

#[test]
fn ten_engines_rotate_over_a_network_that_loses_reorders_and_duplicates() {
    let mut world = World::new(
        10,
        Link {
            loss: 30,
            duplicated: 50,
            delay: (1, 80),
        },
        7,
    );
    let sent = rotate(&mut world, 4, 800, |_, _| ());
    let late: u64 = (0..10)
        .map(|node| {
            world
                .status(node)
                .discards
                .of(tidegate_wg::Discard::NoSession)
        })
        .sum();
    let missing = 90 * sent - delivered(&world);
    // A copy of a lost packet may still arrive, so the network lost at most as much as is missing.
    assert!(
        missing <= world.lost + late as usize,
        "{missing} missing, {} lost, {late} late",
        world.lost
    );
    assert_all_rotated(&world, 4);
}

#[test]
fn a_pair_that_speaks_first_during_the_overlap_meets_in_an_epoch_that_both_have() {
    let mut world = World::new(2, Link::GOOD, 3);
    world.install(0, 1, Mono::NEVER, Duration::ZERO);
    world.install(0, 2, Mono::NEVER, Duration::ZERO);
    world.apply(0, Command::Activate(Epoch(2)));
    world.install(1, 1, Mono::NEVER, Duration::ZERO);
    world.apply(1, Command::Activate(Epoch(1)));
    // Node 1 does not have epoch 2 yet. Its own handshake is in epoch 1, which node 0 still answers.
    world.send(1, 0, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[0].count(1), 1);
    world.send(0, 1, 1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.nodes[1].count(0), 1);
    world.install(1, 2, Mono::NEVER, Duration::ZERO);
    world.apply(1, Command::Activate(Epoch(2)));
    world.run(Duration::from_secs(3));
    assert_eq!(world.status(0).peers[0].epoch, Some(Epoch(2)));
    assert_eq!(world.status(1).peers[0].epoch, Some(Epoch(2)));
    assert_eq!(world.status(1).peers[0].id, peer(0));
}
