//! Leases end on the boot-time clock, whatever the other clocks say (THREATS B4).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{ClockSource, Event, Input, State, Stopped, Waiting};
use tidegate_proto::{RevocationKind, Span, UnixTime};
use world::World;

/// When the lease of the last grant that a node has ends.
fn lease(world: &World, number: u8) -> UnixTime {
    let status = world.nodes[&number]
        .member
        .as_ref()
        .unwrap()
        .status(world.nodes[&number].now(world.now));
    status
        .epochs
        .iter()
        .map(|epoch| epoch.lease_until)
        .max()
        .unwrap()
}

fn cut_off_pair() -> (World, UnixTime) {
    let mut world = World::with_nodes(2);
    world.cut_off.extend([1, 2]);
    let end = lease(&world, 1);
    (world, end)
}

#[test]
fn without_the_authority_honest_nodes_go_on_until_the_lease_and_not_longer() {
    let (mut world, end) = cut_off_pair();
    let last = std::cell::Cell::new(world.now);
    let until = end.since(world.now) + Span::from_secs(20);
    world.pass(until, &mut |world| {
        if world.talk(1, 2) {
            last.set(world.now);
        }
    });
    assert!(
        last.get() < end && end.since(last.get()) <= Span::from_secs(6),
        "the last look before {end} was at {}",
        last.get()
    );
    assert_eq!(
        world.nodes[&1].state(world.now),
        State::Stopped(Stopped::LeaseEnded(end))
    );
    let open = |world: &World| world.nodes[&1].plane.as_ref().unwrap().epochs.len();
    assert_eq!(open(&world), 0);
    world.cut_off.clear();
    world.meet();
    world.wait(5);
    assert!(
        world.talk(1, 2),
        "back within five seconds of the authority's return"
    );
}

#[test]
fn the_deadline_in_the_data_plane_is_the_lease_on_the_boot_time_clock() {
    let (world, end) = cut_off_pair();
    let node = &world.nodes[&1];
    let deadline = *node.plane.as_ref().unwrap().epochs.values().max().unwrap();
    let at = node.when(deadline);
    assert!(
        at <= end && end.since(at) <= Span::from_millis(5),
        "{at} {end}"
    );
}

#[test]
fn a_process_restart_needs_no_authority_and_moves_no_deadline() {
    let (mut world, end) = cut_off_pair();
    world.wait(30);
    let now = world.now;
    let before = *world.nodes[&1]
        .plane
        .as_ref()
        .unwrap()
        .epochs
        .values()
        .max()
        .unwrap();
    for number in [1, 2] {
        world.node(number).kill();
        world.node(number).start(now);
    }
    assert!(world.talk(1, 2));
    let after = *world.nodes[&1]
        .plane
        .as_ref()
        .unwrap()
        .epochs
        .values()
        .max()
        .unwrap();
    assert!(after <= before, "a restart lengthens nothing");
    world.pass(end.since(now), &mut |_| {});
    world.wait(1);
    assert!(!world.talk(1, 2));
    world.node(1).kill();
    let now = world.now;
    world.node(1).start(now);
    assert!(
        !world.talk(1, 2),
        "a restart does not bring an ended lease back"
    );
    assert_eq!(
        world.nodes[&1].state(world.now),
        State::Stopped(Stopped::LeaseEnded(end)),
        "and it still says why"
    );
}

#[test]
fn who_starts_after_the_lease_has_ended_says_so() {
    let (mut world, end) = cut_off_pair();
    world.node(1).kill();
    world.wait(end.since(world.now).as_millis() / 1000 + 5);
    let now = world.now;
    world.node(1).start(now);
    assert!(!world.talk(1, 2));
    assert_eq!(
        world.nodes[&1].state(world.now),
        State::Stopped(Stopped::LeaseEnded(end))
    );
}

#[test]
fn a_wall_clock_that_is_set_back_lengthens_nothing() {
    let (mut world, end) = cut_off_pair();
    for number in [1, 2] {
        world.node(number).wall_off = -3_600_000;
        let now = world.now;
        world.node(number).tick(now);
    }
    world.pass(end.since(world.now) + Span::from_secs(1), &mut |_| {});
    assert!(!world.talk(1, 2));
    let told = |event: &Event| matches!(event, Event::ClockOff(ahead) if *ahead < -3_500_000);
    world.wait(6);
    assert!(
        world.nodes[&1].events.iter().any(told),
        "and it is reported"
    );
}

#[test]
fn a_wall_clock_that_gains_shortens_as_after_a_paused_machine() {
    let (mut world, end) = cut_off_pair();
    let left = end.since(world.now).as_millis() as i64;
    for number in [1, 2] {
        world.node(number).wall_off = left - 1000;
        let now = world.now;
        world.node(number).tick(now);
    }
    assert!(world.talk(1, 2));
    world.wait(2);
    assert!(!world.talk(1, 2));
}

#[test]
fn time_that_only_the_wall_clock_has_seen_brings_the_end_of_a_peers_certificate_nearer() {
    let (mut world, _) = cut_off_pair();
    let deadline = |world: &World| {
        let peers = &world.nodes[&1].plane.as_ref().unwrap().peers;
        peers.values().next().unwrap().deadline
    };
    let before = deadline(&world);
    world.node(1).wall_off = 100_000;
    let now = world.now;
    world.node(1).tick(now);
    let nearer = before.since(deadline(&world)).as_millis();
    assert!(nearer.abs_diff(100_000) < 1_000, "{nearer} ms");
}

#[test]
fn a_wall_clock_that_is_wrong_all_the_time_does_no_harm() {
    for off in [-600_000, 600_000] {
        let mut world = World::new(3);
        for number in [1, 2] {
            let id = world
                .authority
                .enroll(world::node::public_keys(number), number);
            let certificate = world.authority.admit(id);
            let mut node =
                world::Node::admitted(number, &world.authority.chain, &certificate, world.now);
            node.wall_off = off;
            node.start(world.now);
            world.nodes.insert(number, node);
        }
        world.meet();
        world.pass(Span::from_minutes(10), &mut |world| {
            assert!(world.talk(1, 2), "{off} at {}", world.now)
        });
        let ahead = world.nodes[&1]
            .events
            .iter()
            .any(|event| matches!(event, Event::ClockOff(_)));
        assert!(ahead, "reported");
    }
}

#[test]
fn after_a_reboot_the_real_time_clock_serves_only_where_the_policy_says_so() {
    for trust_rtc in [true, false] {
        let mut world = World::with_nodes(2);
        world.authority.trust_rtc = trust_rtc;
        world.authority.put_policy(true);
        world.meet();
        world.wait(2);
        world.cut_off.extend([1, 2]);
        let end = lease(&world, 1);
        let now = world.now;
        for number in [1, 2] {
            world.node(number).reboot(now);
            world.node(number).start(now);
        }
        assert_eq!(world.talk(1, 2), trust_rtc);
        let status = world.nodes[&1]
            .member
            .as_ref()
            .unwrap()
            .status(world.nodes[&1].now(now));
        if trust_rtc {
            assert_eq!(status.clock.source, ClockSource::RealTimeClock);
            world.pass(end.since(now), &mut |_| {});
            assert!(!world.talk(1, 2));
        } else {
            assert_eq!(status.state, State::Waiting(Waiting::Time));
            world.cut_off.clear();
            world.meet();
            world.wait(4);
            assert!(world.talk(1, 2));
        }
    }
}

#[test]
fn after_a_reboot_a_clock_below_the_floor_is_not_believed() {
    let mut world = World::with_nodes(2);
    world.wait(120);
    world.cut_off.extend([1, 2]);
    let now = world.now;
    for number in [1, 2] {
        let node = world.node(number);
        node.wall_off = -300_000;
        node.reboot(now);
        node.start(now);
    }
    assert!(!world.talk(1, 2));
    assert_eq!(world.nodes[&1].state(now), State::Waiting(Waiting::Time));
}

#[test]
fn a_host_without_a_real_time_clock_gets_back_no_more_than_a_minute_of_its_lease() {
    for behind in [150_000, 105_000, 55_000, 20_000] {
        let (mut world, end) = cut_off_pair();
        world.wait(171);
        let now = world.now;
        assert!(world.talk(1, 2), "the lease lasts");
        for number in [1, 2] {
            let node = world.node(number);
            node.wall_off = -behind;
            node.reboot(now);
            node.start(now);
        }
        let latest = end + Span::from_secs(61);
        let until = latest.since(now) + Span::from_minutes(3);
        world.pass(until, &mut |world| {
            assert!(
                world.now < latest || !world.talk(1, 2),
                "{behind} ms behind: they talk at {}, {end} was the end",
                world.now
            );
        });
    }
}

#[test]
fn a_grant_waits_for_a_time_that_is_new_enough() {
    let mut world = World::with_nodes(1);
    world.cut_off.push(1);
    world.wait(500);
    let id = world.id(1);
    let grants = world.authority.grants(id);
    for grant in grants {
        world.say(
            1,
            Input::News(Box::new(tidegate_proto::api::StreamEvent::Grant(grant))),
        );
    }
    let epochs = |world: &World| world.nodes[&1].plane.as_ref().unwrap().epochs.len();
    assert_eq!(
        epochs(&world),
        0,
        "the last statement is older than two minutes"
    );
    world.cut_off.clear();
    world.wait(5);
    assert!(epochs(&world) > 0);
}

#[test]
fn a_statement_that_nobody_asked_for_or_twice_is_refused() {
    let mut world = World::with_nodes(1);
    let nonce = {
        let node = world.node(1);
        tidegate_proto::Nonce::generate(&mut node.rng())
    };
    let foreign = world.authority.time(nonce);
    let before = world.nodes[&1].refusals();
    world.say(1, Input::Time(foreign));
    assert_eq!(world.nodes[&1].refusals(), before + 1);
}

#[test]
fn a_heartbeat_is_due_every_twenty_seconds() {
    let mut world = World::with_nodes(1);
    world.cut_off.push(1);
    let mut last = world.now;
    for _ in 0..5 {
        let mut beaten = None;
        while beaten.is_none() {
            let at = world.nodes[&1].next().unwrap();
            world.now = at;
            world.node(1).tick(at);
            let asks: Vec<_> = world.node(1).asks.drain(..).collect();
            beaten = asks
                .iter()
                .any(|ask| matches!(ask, tidegate_core::Ask::Heartbeat(_)))
                .then_some(at);
        }
        let since = beaten.unwrap().since(last);
        assert!(since <= Span::from_millis(20_010), "{since}");
        last = beaten.unwrap();
    }
}

#[test]
fn a_suspended_node_stops_says_why_and_returns_by_itself() {
    let mut world = World::with_nodes(2);
    let id = world.id(2);
    world.authority.put_out(id, RevocationKind::Suspended);
    world.meet();
    world.wait(11);
    assert!(!world.talk(1, 2));
    let state = world.nodes[&2].state(world.now);
    assert!(
        matches!(
            &state,
            State::Stopped(Stopped::Out {
                kind: RevocationKind::Suspended,
                ..
            })
        ),
        "{state:?}"
    );
    let host = world.nodes[&2].host.clone().unwrap().unwrap();
    assert_eq!(
        host.traffic,
        tidegate_core::Traffic::Stopped,
        "routes stay, and lead nowhere (H1)"
    );
    assert!(!host.overlay.is_empty());
    world.authority.reinstate(id);
    world.wait(11);
    assert!(world.talk(1, 2));
}

#[test]
fn a_revoked_node_returns_with_new_keys_once_it_is_let_back_in() {
    let mut world = World::with_nodes(2);
    let (id, before) = (world.id(2), world.nodes[&2].wireguard_public());
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    world.wait(40);
    assert!(matches!(
        world.nodes[&2].state(world.now),
        State::Stopped(Stopped::Out { .. })
    ));
    world.authority.reinstate(id);
    world.wait(35);
    assert_ne!(world.nodes[&2].wireguard_public(), before);
    assert!(world.talk(1, 2));
}

#[test]
fn what_was_measured_in_another_boot_means_nothing() {
    let mut world = World::with_nodes(2);
    world.authority.trust_rtc = false;
    world.authority.put_policy(true);
    world.meet();
    world.wait(2);
    world.cut_off.extend([1, 2]);
    let now = world.now;
    // The new boot's clock passes where the old one's stood before the process starts again.
    world.node(1).reboot(now);
    world.wait(110);
    let now = world.now;
    assert!(lease(&world, 2) > now, "the lease would still last");
    world.node(1).start(now);
    let node = &world.nodes[&1];
    assert_eq!(node.state(now), State::Waiting(Waiting::Time));
    assert!(
        node.plane
            .as_ref()
            .is_none_or(|plane| plane.epochs.is_empty())
    );
}
