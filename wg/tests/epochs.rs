//! Epochs: who is in, until when, and which one answers.

mod net;

use net::{Hostile, Node, address, at, connected, exchange, inner, pair, peer, psk, udp};
use std::time::Duration;
use tidegate_wg::{ApplyError, Command, Discard, Epoch, EpochKeys, Event, Mono, Ping};

#[test]
fn a_second_epoch_takes_over_without_losing_a_packet() {
    let (mut a, mut b) = connected();
    a.install(2, &[2], Mono::NEVER, at(10));
    b.install(2, &[1], Mono::NEVER, at(10));
    for millis in [300, 600] {
        a.tick(at(millis));
        b.tick(at(millis));
        exchange(&mut [&mut a, &mut b], at(millis));
    }
    assert_eq!(a.status(at(600)).tunnels, 2);
    a.apply(Command::Activate(Epoch(2)), at(700));
    let (there, back) = (
        udp(inner(1), inner(2), 1, 2, b"x"),
        udp(inner(2), inner(1), 2, 1, b"y"),
    );
    // One side has switched, the other has not.
    for now in [at(700), at(800)] {
        a.send(&there, now);
        b.send(&back, now);
        exchange(&mut [&mut a, &mut b], now);
        assert_eq!((a.take_packets().len(), b.take_packets().len()), (1, 1));
        if now == at(700) {
            assert_eq!(a.status(now).peers[0].epoch, Some(Epoch(2)));
            assert_eq!(b.status(now).peers[0].epoch, Some(Epoch(1)));
            b.apply(Command::Activate(Epoch(2)), at(800));
            a.apply(Command::Retire(Epoch(1)), at(800));
            b.apply(Command::Retire(Epoch(1)), at(800));
        }
    }
    assert_eq!(
        (a.status(at(800)).tunnels, b.status(at(800)).tunnels),
        (1, 1)
    );
    assert_eq!(
        (
            a.status(at(800)).discards.total(),
            b.status(at(800)).discards.total()
        ),
        (0, 0)
    );
}

#[test]
fn different_keys_never_make_a_session() {
    let (mut a, mut b) = pair();
    let keys = |secret| EpochKeys {
        epoch: Epoch(1),
        deadline: Mono::NEVER,
        spread: Duration::ZERO,
        psks: vec![secret],
    };
    b.apply(Command::InstallEpoch(keys((peer(1), psk(1, 2, 99)))), at(0));
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(0));
    exchange(&mut [&mut a, &mut b], at(0));
    assert!(b.take_packets().is_empty());
    assert_eq!(a.status(at(0)).discards.of(Discard::BadTag), 1);
    b.apply(
        Command::InstallEpoch(keys((peer(1), psk(1, 2, 1)))),
        at(100),
    );
    a.tick(at(500));
    exchange(&mut [&mut a, &mut b], at(500));
    assert_eq!(b.take_packets().len(), 1);
}

#[test]
fn who_is_not_listed_in_an_epoch_is_out_of_it() {
    let (mut a, mut b) = connected();
    a.install(1, &[], Mono::NEVER, at(1));
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(1));
    b.send(&udp(inner(2), inner(1), 2, 1, b"y"), at(1));
    exchange(&mut [&mut a, &mut b], at(1));
    assert!(a.tun.packets.is_empty() && b.tun.packets.is_empty());
    let discards = a.status(at(1)).discards;
    assert_eq!(
        (
            discards.of(Discard::NoEpoch),
            discards.of(Discard::UnknownIndex)
        ),
        (1, 1)
    );
}

#[test]
fn a_replayed_initiation_is_refused_even_by_a_new_tunnel() {
    let (mut a, mut b) = pair();
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(0));
    let recorded = a.wire.sent[0].1.clone();
    exchange(&mut [&mut a, &mut b], at(0));
    assert_eq!(b.take_packets().len(), 1);
    // The old tunnel goes; the next one has never seen an initiation.
    b.install(2, &[1], Mono::NEVER, at(100));
    b.apply(Command::Activate(Epoch(2)), at(100));
    b.apply(Command::Retire(Epoch(1)), at(100));
    b.take_sent();
    b.receive(&recorded, address(66), at(200));
    assert!(b.wire.sent.is_empty());
    assert_eq!(b.status(at(200)).discards.of(Discard::ReplayedHandshake), 1);
    assert_eq!(b.status(at(200)).peers[0].endpoint, Some(address(1)));
}

#[test]
fn after_the_deadline_nothing_is_sealed_opened_or_answered() {
    let (mut a, mut b) = connected();
    let deadline = at(1000).mono;
    a.apply(Command::SetEpochDeadline(Epoch(1), deadline), at(1));
    let there = udp(inner(1), inner(2), 1000, 2000, b"x");
    let back = udp(inner(2), inner(1), 2000, 1000, b"y");
    a.send(&there, at(999));
    b.send(&back, at(999));
    exchange(&mut [&mut a, &mut b], at(999));
    assert_eq!((a.take_packets().len(), b.take_packets().len()), (1, 1));
    // No timer runs: the data path itself must notice.
    a.send(&there, at(1000));
    b.send(&back, at(1000));
    let late = b.take_sent();
    a.receive(&late[0].1, address(2), at(1000));
    assert!(a.wire.sent.is_empty() && a.tun.packets.is_empty());
    assert_eq!(a.status(at(1000)).discards.of(Discard::Deadline), 2);
    assert_eq!(
        a.engine.poll_timeout(),
        Some(a.engine.poll_timeout().unwrap().min(deadline))
    );
    a.tick(at(1000));
    assert!(a.events().contains(&Event::Expired { epoch: Epoch(1) }));
    assert_eq!(a.status(at(1000)).tunnels, 0);
}

#[test]
fn initiations_and_responses_after_the_deadline_are_dropped() {
    let (mut a, mut b) = pair();
    a.apply(Command::SetEpochDeadline(Epoch(1), at(1000).mono), at(0));
    b.apply(Command::SetPeerDeadline(peer(1), at(1000).mono), at(0));
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(999));
    let initiation = a.take_sent();
    b.receive(&initiation[0].1, address(1), at(1000));
    assert!(b.wire.sent.is_empty());
    assert_eq!(b.status(at(1000)).discards.of(Discard::Deadline), 1);
    let (mut a, mut b) = pair();
    a.apply(Command::SetEpochDeadline(Epoch(1), at(1000).mono), at(0));
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(999));
    b.receive(&a.take_sent()[0].1, address(1), at(999));
    a.receive(&b.take_sent()[0].1, address(2), at(1000));
    assert!(a.wire.sent.is_empty());
    assert_eq!(a.status(at(1000)).discards.of(Discard::Deadline), 1);
}

#[test]
fn a_peer_that_was_removed_and_comes_back_is_not_fooled_either() {
    let (mut a, mut b) = pair();
    a.apply(Command::Connect(peer(2)), at(0));
    let recorded = a.wire.sent[0].1.clone();
    exchange(&mut [&mut a, &mut b], at(0));
    b.apply(Command::RemovePeer(peer(1)), at(100));
    b.apply(
        Command::AddPeer(net::PeerSetup::with_epoch(&b, 1, 1)),
        at(200),
    );
    b.receive(&recorded, address(66), at(300));
    assert!(b.wire.sent.is_empty());
    assert_eq!(b.status(at(300)).discards.of(Discard::ReplayedHandshake), 1);
}

/// A node that holds epochs 1 and 2, of which the first is active.
fn between_epochs() -> Node {
    let mut node = Node::new(2, &[1]);
    for epoch in [1, 2] {
        node.install(epoch, &[1], Mono::NEVER, at(0));
    }
    node.apply(Command::Activate(Epoch(1)), at(0));
    node
}

#[test]
fn an_initiation_is_answered_in_the_epoch_that_it_hints_at() {
    for (epoch, index) in [(1, 0x21), (2, 0x20)] {
        let mut node = between_epochs();
        let mut hostile = Hostile::new(epoch, index);
        node.receive(&hostile.initiation(), address(1), at(0));
        let answers = node.take_sent();
        assert_eq!(answers.len(), 1, "once, whatever the number of epochs");
        assert!(hostile.accepts(&answers[0].1));
    }
}

#[test]
fn a_retry_is_answered_in_every_epoch_for_those_who_know_no_hint() {
    let mut node = between_epochs();
    let mut hostile = Hostile::new(1, 0x20);
    node.receive(&hostile.initiation(), address(1), at(0));
    let answers = node.take_sent();
    assert_eq!(answers.len(), 1);
    assert!(!hostile.accepts(&answers[0].1), "the hint was wrong");
    node.receive(&hostile.initiation(), address(1), at(5000));
    let answers = node.take_sent();
    assert_eq!(answers.len(), 2);
    assert_eq!(
        answers
            .iter()
            .filter(|(_, answer)| hostile.accepts(answer))
            .count(),
        1
    );
}

#[test]
fn a_guess_does_not_touch_a_session_in_use() {
    let mut node = between_epochs();
    Hostile::connect(&mut node, at(0));
    let mut next = Hostile::new(2, 0x20);
    for (try_number, expected) in [1, 1, 1, 2].into_iter().enumerate() {
        node.receive(&next.initiation(), address(1), at(250 * try_number as u64));
        assert_eq!(node.take_sent().len(), expected, "try {try_number}");
    }
}

#[test]
fn session_indices_carry_the_parity_and_are_otherwise_random() {
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 1..40 {
        let mut node = Node::new(1, &[2]);
        node.install(epoch, &[2], Mono::NEVER, at(0));
        node.apply(Command::Activate(Epoch(epoch)), at(0));
        for _ in 0..epoch {
            // The generator goes on, so another engine state gives another index.
            node.apply(Command::RemovePeer(peer(2)), at(0));
            node.apply(
                Command::AddPeer(net::PeerSetup::with_epoch(&node, 2, epoch)),
                at(0),
            );
            node.apply(Command::Connect(peer(2)), at(0));
        }
        let message = node
            .take_sent()
            .pop()
            .unwrap_or_else(|| panic!("an initiation"))
            .1;
        assert_eq!(u64::from(message[5] & 1), epoch & 1);
        seen.insert([message[5] & !1, message[6], message[7]]);
    }
    assert!(seen.len() >= 38, "{} of 39 differ", seen.len());
}

#[test]
fn commands_that_cannot_be_carried_out_say_why() {
    let (mut node, _) = pair();
    let mut refused = |command: Command| {
        let refused = node.engine.apply(command, &mut node.wire, at(1000));
        refused.expect_err("it cannot be carried out")
    };
    let keys = |epoch, deadline| EpochKeys {
        epoch: Epoch(epoch),
        deadline,
        spread: Duration::ZERO,
        psks: Vec::new(),
    };
    assert_eq!(
        refused(Command::RemovePeer(peer(9))),
        ApplyError::UnknownPeer(peer(9))
    );
    assert_eq!(
        refused(Command::Activate(Epoch(9))),
        ApplyError::UnknownEpoch(Epoch(9))
    );
    assert_eq!(
        refused(Command::Retire(Epoch(9))),
        ApplyError::UnknownEpoch(Epoch(9))
    );
    assert_eq!(
        refused(Command::InstallEpoch(keys(2, at(1000).mono))),
        ApplyError::PastDeadline(Epoch(2))
    );
    let ping = Ping {
        peer: peer(2),
        token: 1,
        from: inner(1),
        to: inner(2),
        len: 100,
    };
    assert_eq!(refused(Command::Ping(ping)), ApplyError::NoSession(peer(2)));
    for wrong in [
        Ping { len: 71, ..ping },
        Ping { len: 1421, ..ping },
        Ping {
            to: inner(3),
            ..ping
        },
    ] {
        assert_eq!(refused(Command::Ping(wrong)), ApplyError::BadPing);
    }
    node.install(2, &[2], Mono::NEVER, at(1000));
    node.install(3, &[2], Mono::NEVER, at(1000));
    let fourth = node.engine.apply(
        Command::InstallEpoch(keys(4, Mono::NEVER)),
        &mut node.wire,
        at(1000),
    );
    assert_eq!(fourth, Err(ApplyError::TooManyEpochs(Epoch(4))));
}

#[test]
fn an_epoch_installed_again_moves_its_deadline_and_keeps_its_tunnels() {
    let (mut a, mut b) = connected();
    a.install(1, &[2], at(5000).mono, at(100));
    assert_eq!(a.status(at(100)).tunnels, 1);
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(4999));
    exchange(&mut [&mut a, &mut b], at(4999));
    assert_eq!(b.take_packets().len(), 1);
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(5000));
    exchange(&mut [&mut a, &mut b], at(5000));
    assert!(b.take_packets().is_empty());
}

#[test]
fn what_waits_is_bounded_over_all_peers() {
    let others: Vec<u8> = (2..102).collect();
    let mut node = Node::new(1, &others);
    node.install(1, &others, Mono::NEVER, at(0));
    node.apply(Command::Activate(Epoch(1)), at(0));
    for other in &others {
        for _ in 0..64 {
            node.send(&udp(inner(1), inner(*other), 1, 2, b"x"), at(1));
        }
    }
    assert_eq!(
        node.status(at(1)).discards.of(Discard::QueueFull),
        100 * 64 - 4096
    );
    node.apply(Command::Retire(Epoch(1)), at(2));
    assert_eq!(node.status(at(2)).discards.of(Discard::QueueStale), 4096);
}

#[test]
fn events_that_nobody_reads_are_bounded_and_the_loss_is_told() {
    let (_, mut b) = pair();
    let mut hostile = Hostile::connect(&mut b, at(0));
    for place in 0..10_000u32 {
        let [_, _, high, low] = place.to_be_bytes();
        b.receive(&hostile.seal(b""), ([203, 0, high, low], 9).into(), at(1));
    }
    let events = b.events();
    assert_eq!(
        (events.len(), events.last()),
        (4097, Some(&Event::Overflow))
    );
}
