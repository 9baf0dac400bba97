//! What happens to sessions over hours, on bad paths, and under attack.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tidegate_sim::{Link, World, address, peer};
use tidegate_wg::{Command, Discard, Epoch, Event, Mono};

type Log = Rc<RefCell<Vec<(u64, SocketAddr, SocketAddr, Vec<u8>)>>>;

/// Writes down every datagram that leaves.
fn record(world: &mut World) -> Log {
    let log = Log::default();
    let copy = Rc::clone(&log);
    world.watch = Some(Box::new(move |time, from, to, bytes| {
        copy.borrow_mut().push((time, from, to, bytes.to_vec()));
        true
    }));
    log
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A packet each way every 100 ms.
fn chatter(world: &mut World, span: Duration, first: u32) -> u32 {
    let count = span.as_millis() as u32 / 100;
    for number in first..first + count {
        world.send(0, 1, number);
        world.send(1, 0, number);
        world.run(Duration::from_millis(100));
    }
    first + count
}

#[test]
fn an_hour_of_traffic_rekeys_without_loss() {
    let mut world = World::new(2, Link::GOOD, 1);
    let log = record(&mut world);
    world.start(1);
    let sent = chatter(&mut world, seconds(3600), 0);
    world.run(seconds(1));
    assert_eq!(
        (world.nodes[0].count(1), world.nodes[1].count(0)),
        (sent as usize, sent as usize)
    );
    let handshakes = log
        .borrow()
        .iter()
        .filter(|(.., bytes)| bytes[0] == 1)
        .count();
    assert!(
        (28..=64).contains(&handshakes),
        "{handshakes} initiations in an hour"
    );
}

#[test]
fn idle_peers_come_to_rest_and_wake_up_again() {
    let mut world = World::new(2, Link::GOOD, 1);
    world.start(1);
    chatter(&mut world, seconds(1), 0);
    world.run(seconds(900));
    for node in &world.nodes {
        assert_eq!(node.engine.poll_timeout(), None, "no timer without traffic");
    }
    assert_eq!((world.status(0).tunnels, world.status(1).tunnels), (0, 0));
    world.send(0, 1, 99);
    world.run(seconds(1));
    assert_eq!(world.nodes[1].arrived[&0].last(), Some(&99));
}

#[test]
fn a_peer_that_falls_silent_is_given_up_and_that_is_told() {
    for talked in [Duration::ZERO, seconds(10)] {
        let mut world = World::new(2, Link::GOOD, 1);
        world.start(1);
        chatter(&mut world, talked, 0);
        world.watch = Some(Box::new(|_, from, _, _| from == address(0)));
        for number in 0..30 {
            world.send(0, 1, 1000 + number);
            world.run(seconds(1));
        }
        world.run(seconds(700));
        let lost = Event::Unreachable {
            peer: peer(1),
            epoch: Epoch(1),
        };
        assert!(world.nodes[0].events.contains(&lost), "after {talked:?}");
        assert_eq!(world.status(0).tunnels, 0);
        assert_eq!(world.nodes[0].engine.poll_timeout(), None);
    }
}

#[test]
fn a_handshake_gets_through_on_a_path_of_a_second_and_a_half() {
    let mut world = World::new(
        2,
        Link {
            loss: 0,
            duplicated: 0,
            delay: (750, 750),
        },
        1,
    );
    world.start(1);
    world.send(0, 1, 1);
    world.run(seconds(10));
    assert_eq!(world.nodes[1].count(0), 1);
}

#[test]
fn half_of_all_datagrams_lost_still_makes_a_session() {
    for seed in 1..6 {
        let mut world = World::new(
            2,
            Link {
                loss: 500,
                duplicated: 0,
                delay: (5, 30),
            },
            seed,
        );
        world.start(1);
        world.send(0, 1, 1);
        world.run(seconds(30));
        assert!(
            world.nodes[0]
                .events
                .iter()
                .any(|event| matches!(event, Event::Connected { .. })),
            "seed {seed}"
        );
    }
}

#[test]
fn unanswered_rekeys_do_not_cost_the_session_that_works() {
    let mut world = World::new(2, Link::GOOD, 1);
    world.start(1);
    // One side alone begins; if both did, each would take the other's rekey for its own.
    world.send(0, 1, 0);
    world.run(seconds(1));
    let sent = chatter(&mut world, seconds(100), 1);
    // From here on responses get lost, so each rekey leaves the far end with a session nobody uses.
    let log = record(&mut world);
    let mut watch = world.watch.take().expect("it was just set");
    world.watch = Some(Box::new(move |time, from, to, bytes| {
        watch(time, from, to, bytes) && bytes[0] != 2
    }));
    let before = (world.nodes[0].count(1), world.nodes[1].count(0));
    let end = chatter(&mut world, seconds(75), sent);
    let more = (end - sent) as usize;
    let rekeys = log
        .borrow()
        .iter()
        .filter(|(.., bytes)| bytes[0] == 2)
        .count();
    assert!(rekeys > 8, "{rekeys}: more than boringtun keeps sessions");
    assert_eq!(
        (
            world.nodes[0].count(1) - before.0,
            world.nodes[1].count(0) - before.1
        ),
        (more, more)
    );
}

#[test]
fn replayed_initiations_are_never_answered_and_move_nobody() {
    let mut world = World::new(
        2,
        Link {
            loss: 100,
            duplicated: 0,
            delay: (5, 40),
        },
        5,
    );
    let log = record(&mut world);
    world.start(1);
    let mut number = 0;
    for epoch in 2..8 {
        number = chatter(&mut world, seconds(3), number);
        for node in [0, 1] {
            world.install(node, epoch, Mono::NEVER, Duration::ZERO);
        }
        number = chatter(&mut world, seconds(2), number);
        for node in [0, 1] {
            world.apply(node, Command::Activate(Epoch(epoch)));
            world.apply(node, Command::Retire(Epoch(epoch - 1)));
        }
    }
    chatter(&mut world, seconds(5), number);
    let recorded: Vec<_> = log
        .borrow()
        .iter()
        .filter(|(.., bytes)| bytes[0] == 1)
        .cloned()
        .collect();
    assert!(recorded.len() >= 7, "each epoch began with a handshake");
    let attacker = address(66);
    for (.., to, bytes) in &recorded {
        let target = if *to == address(0) { 0 } else { 1 };
        world.inject(target, attacker, bytes);
        // Slowly, so that it is the guard and not a budget that refuses.
        world.run(seconds(1));
    }
    let refused = |node: u8| world.status(node).discards.of(Discard::ReplayedHandshake);
    assert_eq!(refused(0) + refused(1), recorded.len() as u64);
    assert!(
        log.borrow().iter().all(|(_, _, to, _)| *to != attacker),
        "the attacker hears nothing"
    );
    for node in [0u8, 1] {
        assert_eq!(
            world.status(node).peers[0].endpoint,
            Some(address(1 - node))
        );
    }
}

#[test]
fn nothing_leaves_after_a_deadline_and_a_new_epoch_heals() {
    let mut world = World::new(2, Link::GOOD, 1);
    let log = record(&mut world);
    world.start(1);
    let sent = chatter(&mut world, seconds(5), 0);
    let deadline = seconds(7);
    let instant = world.instant(deadline);
    world.apply(0, Command::SetEpochDeadline(Epoch(1), instant));
    let sent = chatter(&mut world, seconds(5), sent);
    let leaves = |from: u8, until: Duration| {
        let log = log.borrow();
        let times = log
            .iter()
            .filter(|(_, source, ..)| *source == address(from))
            .map(|(time, ..)| *time);
        times
            .filter(|time| *time >= until.as_nanos() as u64)
            .count()
    };
    assert_eq!(leaves(0, deadline), 0);
    assert!(
        leaves(1, deadline) > 0,
        "the other side knows nothing of it and goes on asking"
    );
    assert!(
        world.nodes[0]
            .events
            .contains(&Event::Expired { epoch: Epoch(1) })
    );
    let before = world.nodes[0].count(1);
    for node in [0, 1] {
        world.install(node, 2, Mono::NEVER, Duration::ZERO);
        world.apply(node, Command::Activate(Epoch(2)));
    }
    chatter(&mut world, seconds(3), sent);
    assert!(leaves(0, deadline) > 0 && world.nodes[0].count(1) >= before + 20);
}

#[test]
fn nothing_leaves_after_a_peer_was_removed() {
    let mut world = World::new(3, Link::GOOD, 1);
    let log = record(&mut world);
    world.start(1);
    let sent = chatter(&mut world, seconds(3), 0);
    let before = world.nodes[0].count(1);
    world.apply(0, Command::RemovePeer(peer(1)));
    log.borrow_mut().clear();
    chatter(&mut world, seconds(400), sent);
    assert!(
        log.borrow()
            .iter()
            .all(|(_, from, to, _)| (*from, *to) != (address(0), address(1)))
    );
    assert!(
        log.borrow()
            .iter()
            .any(|(_, from, to, _)| (*from, *to) == (address(1), address(0)))
    );
    assert_eq!(world.nodes[0].count(1), before, "and nothing is written");
}

#[test]
fn a_suspended_pair_does_not_use_sessions_that_grew_old() {
    let mut world = World::new(2, Link::GOOD, 1);
    world.start(1);
    let sent = chatter(&mut world, seconds(3), 0);
    let log = record(&mut world);
    world.send(0, 1, sent);
    let in_flight = log.borrow()[0].3.clone();
    world.freeze(seconds(600));
    let before = world.nodes[1].count(0);
    world.inject(1, address(0), &in_flight);
    assert_eq!(world.nodes[1].count(0), before, "sealed ten minutes ago");
    world.run(seconds(1));
    assert_eq!(world.nodes[1].count(0), before);
    log.borrow_mut().clear();
    world.send(0, 1, sent + 1);
    assert!(
        log.borrow().iter().all(|(.., bytes)| bytes[0] == 1),
        "first a handshake"
    );
    world.run(seconds(1));
    assert_eq!(world.nodes[1].arrived[&0].last(), Some(&(sent + 1)));
}

#[test]
fn a_peer_that_restarts_is_found_again() {
    let mut world = World::new(2, Link::GOOD, 1);
    world.start(1);
    let sent = chatter(&mut world, seconds(3), 0);
    let mut other = World::new(2, Link::GOOD, 99);
    // The same keys, a process without any memory.
    std::mem::swap(&mut world.nodes[1], &mut other.nodes[1]);
    world.run(Duration::ZERO);
    world.install(1, 1, Mono::NEVER, Duration::ZERO);
    world.apply(1, Command::Activate(Epoch(1)));
    world.send(1, 0, sent);
    world.run(seconds(1));
    assert_eq!(world.nodes[0].arrived[&1].last(), Some(&sent));
    world.send(0, 1, sent);
    world.run(seconds(1));
    assert_eq!(world.nodes[1].arrived[&0].last(), Some(&sent));
}
