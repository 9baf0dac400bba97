//! Two engines: sessions, roaming, removal, pings.

mod net;

use net::{
    Hostile, Node, address, at, connected, echo, exchange, inner, inner6, pair, peer, tcp, udp,
};
use std::time::Duration;
use tidegate_wg::{ApplyError, Command, Discard, Epoch, Event, Mono, Ping};

#[test]
fn the_first_packet_starts_a_handshake_and_arrives_after_it() {
    let (mut a, mut b) = pair();
    let packet = udp(inner(1), inner(2), 1000, 2000, b"first");
    a.send(&packet, at(0));
    assert_eq!(a.wire.sent.len(), 1);
    assert_eq!(
        (a.wire.sent[0].0, a.wire.sent[0].1.len()),
        (address(2), 148)
    );
    exchange(&mut [&mut a, &mut b], at(0));
    assert_eq!(b.take_packets(), [packet]);
    let connected = |peer| Event::Connected {
        peer,
        epoch: Epoch(1),
    };
    assert!(a.events().contains(&connected(peer(2))));
    assert!(b.events().contains(&connected(peer(1))));
}

#[test]
fn both_families_and_all_protocols_go_both_ways() {
    let (mut a, mut b) = connected();
    let there = [
        udp(inner6(1), inner6(2), 7, 8, b"six"),
        tcp(inner(1), inner(2), 7, 8, 0x02, b""),
        echo(inner(1), inner(2), true, 5),
        echo(inner6(1), inner6(2), true, 5),
    ];
    for packet in &there {
        a.send(packet, at(1));
    }
    exchange(&mut [&mut a, &mut b], at(1));
    assert_eq!(b.take_packets(), there);
}

#[test]
fn a_large_frame_is_sealed_segment_by_segment() {
    use tidegate_wg::split::Segments;
    use tidegate_wg::vnet::{LEN, Offload, SegmentKind};
    let (mut a, mut b) = connected();
    let mut frame = [
        vec![0; LEN],
        tcp(inner(1), inner(2), 7, 8, 0x10, &[7; 60_000]),
    ]
    .concat();
    Offload::Segment {
        kind: SegmentKind::Tcp4,
        size: 1380,
        start: 20,
        headers: 40,
    }
    .write(&mut frame);
    let mut copy = [&frame[..], &[0; 16]].concat();
    let mut segments = Segments::new(&mut copy, frame.len()).unwrap();
    let expected: Vec<_> = std::iter::from_fn(|| segments.advance().map(<[u8]>::to_vec)).collect();
    a.send_frame(&frame, at(1));
    assert_eq!(a.wire.sent.len(), 44);
    assert!(
        a.wire.sent[..43]
            .iter()
            .all(|(to, datagram)| *to == address(2) && datagram.len() == 1452)
    );
    exchange(&mut [&mut a, &mut b], at(1));
    assert_eq!(b.take_packets(), expected);
    let traffic = a.status(at(1)).peers[0].traffic;
    assert_eq!(traffic.sent_packets, 1 + 44);
    assert_eq!(traffic, flip(b.status(at(1)).peers[0].traffic));
}

fn flip(traffic: tidegate_wg::Traffic) -> tidegate_wg::Traffic {
    tidegate_wg::Traffic {
        sent_packets: traffic.received_packets,
        sent_bytes: traffic.received_bytes,
        received_packets: traffic.sent_packets,
        received_bytes: traffic.sent_bytes,
    }
}

#[test]
fn nothing_passes_for_a_removed_peer_not_even_what_waited() {
    let (mut a, mut b) = connected();
    let packet = udp(inner(1), inner(2), 1000, 2000, b"x");
    b.send(&udp(inner(2), inner(1), 2000, 1000, b"in flight"), at(1));
    let in_flight = b.take_sent();
    a.apply(Command::RemovePeer(peer(2)), at(1));
    a.send(&packet, at(1));
    a.receive(&in_flight[0].1, address(2), at(1));
    a.tick(at(400));
    assert!(a.wire.sent.is_empty() && a.tun.packets.is_empty());
    assert_eq!(a.status(at(1)).discards.of(Discard::NoPeer), 1);
    assert_eq!(a.status(at(1)).discards.of(Discard::UnknownIndex), 1);
    assert_eq!(a.status(at(1)).tunnels, 0);
}

#[test]
fn packets_that_wait_for_a_removed_peer_are_never_sent() {
    let (mut a, mut b) = pair();
    a.send(&udp(inner(1), inner(2), 1000, 2000, b"waiting"), at(0));
    let initiation = a.take_sent();
    b.receive(&initiation[0].1, address(1), at(0));
    let response = b.take_sent();
    a.apply(Command::RemovePeer(peer(2)), at(0));
    a.apply(
        Command::AddPeer(net::PeerSetup::with_epoch(&a, 2, 1)),
        at(0),
    );
    a.receive(&response[0].1, address(2), at(0));
    exchange(&mut [&mut a, &mut b], at(0));
    assert!(b.take_packets().is_empty());
    a.send(&udp(inner(1), inner(2), 1000, 2000, b"again"), at(50));
    exchange(&mut [&mut a, &mut b], at(50));
    assert_eq!(
        b.take_packets().len(),
        1,
        "the peer works again, so the silence above means something"
    );
}

#[test]
fn replayed_and_changed_data_is_dropped_with_its_reason() {
    let (mut a, mut b) = connected();
    a.send(&udp(inner(1), inner(2), 1000, 2000, b"once"), at(1));
    let datagram = a.take_sent().remove(0).1;
    let mut changed = datagram.clone();
    *changed.last_mut().unwrap() ^= 1;
    b.receive(&changed, address(1), at(1));
    b.receive(&datagram, address(1), at(1));
    b.receive(&datagram, address(66), at(1));
    let mut ending = datagram.clone();
    ending[8..16].copy_from_slice(&(u64::MAX - 8191).to_le_bytes());
    b.receive(&ending, address(1), at(1));
    let mut strange = datagram.clone();
    strange[7] ^= 0x80;
    b.receive(&strange, address(1), at(1));
    let mut other = datagram;
    other[4] ^= 1;
    b.receive(&other, address(1), at(1));
    assert_eq!(b.take_packets().len(), 1);
    let status = b.status(at(1));
    for (reason, count) in [
        (Discard::BadTag, 1),
        (Discard::Replayed, 2),
        (Discard::UnknownIndex, 1),
        (Discard::NoSession, 1),
    ] {
        assert_eq!(status.discards.of(reason), count, "{}", reason.name());
    }
    assert_eq!(
        status.peers[0].endpoint,
        Some(address(1)),
        "a replay moves nobody"
    );
}

#[test]
fn an_authenticated_packet_from_a_new_address_moves_the_peer() {
    let (mut a, mut b) = connected();
    a.send(
        &udp(inner(1), inner(2), 1000, 2000, b"from elsewhere"),
        at(1),
    );
    let datagram = a.take_sent().remove(0).1;
    b.receive(&datagram, address(9), at(1));
    assert_eq!(
        b.events(),
        [Event::Roamed {
            peer: peer(1),
            endpoint: address(9)
        }]
    );
    b.send(&udp(inner(2), inner(1), 2000, 1000, b"back"), at(1));
    assert_eq!(b.wire.sent[0].0, address(9));
}

#[test]
fn a_packet_with_somebody_elses_source_is_dropped() {
    let mut b = Node::new(2, &[1, 3]);
    b.install(1, &[1, 3], Mono::NEVER, at(0));
    b.apply(Command::Activate(Epoch(1)), at(0));
    let mut hostile = Hostile::connect(&mut b, at(0));
    let mut receive = |source| {
        b.receive(
            &hostile.seal(&udp(source, inner(2), 1, 2, b"x")),
            address(1),
            at(1),
        );
        (
            b.take_packets().len(),
            b.status(at(1)).discards.of(Discard::WrongSource),
        )
    };
    assert_eq!(receive(inner(1)), (1, 0));
    assert_eq!(receive(inner(3)), (0, 1), "another peer's");
    assert_eq!(receive(inner(2)), (0, 2), "our own");
    assert_eq!(receive(inner(9)), (0, 3), "nobody's");
}

#[test]
fn a_ping_is_answered_by_the_other_engine_whatever_its_policy() {
    let (mut a, mut b) = connected();
    b.apply(Command::SetFilter(Default::default()), at(1));
    for (token, (from, to)) in [(7, (inner(1), inner(2))), (8, (inner6(1), inner6(2)))] {
        a.apply(
            Command::Ping(Ping {
                peer: peer(2),
                token,
                from,
                to,
                len: 1400,
            }),
            at(10),
        );
        let request = a.take_sent();
        b.receive(&request[0].1, address(1), at(20));
        let reply = b.take_sent();
        assert_eq!(reply[0].1.len(), request[0].1.len());
        a.receive(&reply[0].1, address(2), at(35));
        let round_trip = Duration::from_millis(25);
        assert_eq!(
            a.events(),
            [Event::Pong {
                peer: peer(2),
                token,
                round_trip
            }]
        );
        a.receive(&reply[0].1, address(2), at(36));
    }
    assert!(a.tun.packets.is_empty() && b.tun.packets.is_empty());
    let wrong = Ping {
        peer: peer(2),
        token: 9,
        from: inner(2),
        to: inner(2),
        len: 100,
    };
    let refused = a.engine.apply(Command::Ping(wrong), &mut a.wire, at(40));
    assert_eq!(refused, Err(ApplyError::BadPing));
}

#[test]
fn echoes_are_limited_and_unasked_replies_dropped() {
    let (mut a, mut b) = connected();
    for token in 0..200 {
        a.apply(
            Command::Ping(Ping {
                peer: peer(2),
                token,
                from: inner(1),
                to: inner(2),
                len: 72,
            }),
            at(10),
        );
    }
    exchange(&mut [&mut a, &mut b], at(10));
    let answered = a.events().len();
    assert!((50..200).contains(&answered), "{answered}");
    assert_eq!(
        b.status(at(10)).discards.of(Discard::EchoLimit),
        200 - answered as u64
    );
    let mut forged = echo(inner(1), inner(2), false, 3);
    forged.truncate(28);
    let unasked = net::ip(
        inner(1),
        inner(2),
        1,
        &[&forged[20..], b"tidegate", &[9; 8]].concat(),
    );
    a.send(&unasked, at(11));
    exchange(&mut [&mut a, &mut b], at(11));
    assert_eq!(b.status(at(11)).discards.of(Discard::EchoUnknown), 1);
}

#[test]
fn idle_engines_ask_for_no_timer() {
    let (mut a, _) = pair();
    assert_eq!(a.engine.poll_timeout(), None);
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(0));
    assert!(a.engine.poll_timeout().unwrap() <= at(250).mono);
}

#[test]
fn a_silent_peer_is_tried_again_and_again_at_all_its_addresses() {
    let mut a = Node::new(1, &[2]);
    a.apply(
        Command::SetCandidates(peer(2), vec![address(20), address(21), address(22)]),
        at(0),
    );
    a.install(1, &[2], Mono::NEVER, at(0));
    a.apply(Command::Activate(Epoch(1)), at(0));
    a.apply(Command::Connect(peer(2)), at(0));
    for millis in [250, 500, 750] {
        a.tick(at(millis));
    }
    let tried: Vec<_> = a.take_sent().into_iter().map(|(to, _)| to).collect();
    assert_eq!(tried, [address(20), address(21), address(22), address(20)]);
}

#[test]
fn a_narrow_path_lowers_segments_and_answers_what_is_too_big() {
    use tidegate_wg::packet::{Packet, Transport};
    let (mut a, mut b) = connected();
    a.apply(Command::SetMtu(peer(2), Some(1300)), at(1));
    let syn = |from, to| {
        let mut packet = tcp(from, to, 7, 8, 0x02, &[2, 4, 0x05, 0xb4]);
        let header = packet.len() - 24 + 12;
        packet[header] = 0x60;
        packet
    };
    let announced = |packet: &Vec<u8>| packet[packet.len() - 2..].to_vec();
    a.send(&syn(inner(1), inner(2)), at(1));
    b.send(&syn(inner6(2), inner6(1)), at(1));
    exchange(&mut [&mut a, &mut b], at(1));
    assert_eq!(announced(&b.take_packets()[0]), 1260u16.to_be_bytes());
    assert_eq!(announced(&a.take_packets()[0]), 1240u16.to_be_bytes());
    for (from, to) in [(inner(1), inner(2)), (inner6(1), inner6(2))] {
        a.send(&udp(from, to, 1, 2, &[0; 1400]), at(2));
        let answer = a.take_packets().remove(0);
        let parsed = Packet::parse(&answer).unwrap_or_else(|reason| panic!("{reason:?}"));
        assert_eq!((parsed.source, parsed.destination), (to, from));
        assert!(matches!(parsed.transport, Transport::IcmpError { .. }));
        assert_eq!(
            answer[parsed.offset + 6..parsed.offset + 8],
            1300u16.to_be_bytes()
        );
    }
    assert!(a.wire.sent.is_empty());
    assert_eq!(a.status(at(2)).discards.of(Discard::TooBig), 2);
}
