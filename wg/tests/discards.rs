//! Every reason to drop a packet is provoked once, and counted where it belongs.

mod net;

use net::{
    Hostile, Node, PeerSetup, address, at, connected, exchange, inner, inner6, ip, key, pair, peer,
    public, tcp, udp,
};
use std::sync::Arc;
use tidegate_wg::{
    Command, Direction, Discard, EngineConfig, Epoch, Filter, Local, Mono, Ping, Prefix,
    PrivateKey, Routes, Rule,
};

#[test]
fn every_reason_occurs_where_it_should() {
    for reason in Discard::ALL {
        let node = provoke(*reason);
        let now = at(100_000);
        assert!(
            node.status(now).discards.of(*reason) >= 1,
            "{} did not occur",
            reason.name()
        );
        assert!(
            node.tun.packets.is_empty(),
            "{} let a packet through",
            reason.name()
        );
    }
}

/// A node that has dropped something for this reason. The match makes sure that no reason is left out.
fn provoke(reason: Discard) -> Node {
    match reason {
        Discard::Garbage => received(&[4, 0, 0, 0, 1, 2, 3]),
        Discard::BadMac => received(&[[1, 0, 0, 0].as_slice(), &[7; 144]].concat()),
        Discard::BadHandshake => bad_handshake(),
        Discard::UnknownPeer => unknown_peer(),
        Discard::ReplayedHandshake => replayed_handshake(),
        Discard::HandshakeFlood | Discard::CookieSent => flood(|_, _, _| ()),
        Discard::HandshakeRate => handshake_rate(),
        Discard::UnknownIndex => received(&[[4, 0, 0, 0].as_slice(), &[7; 60]].concat()),
        Discard::NoEpoch => sent(Node::new(1, &[2])),
        Discard::Deadline => deadline(),
        Discard::Replayed => data(|datagrams| datagrams.push(datagrams[0].clone())),
        Discard::BadTag => data(|datagrams| datagrams[0][20] ^= 1),
        Discard::NoSession => data(|datagrams| datagrams[0][4] ^= 1),
        Discard::Malformed => inside(&[
            0x45, 0, 0, 5, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]),
        Discard::Extension => inside(&ip(inner6(1), inner6(2), 43, &[6, 0, 0, 0, 0, 0, 0, 0, 1])),
        Discard::WrongSource => inside(&udp(inner(9), inner(2), 1, 2, b"x")),
        Discard::NoRoute => frame(&udp(inner(1), inner(77), 1, 2, b"x")),
        Discard::NoPeer => no_peer(),
        Discard::NoEndpoint => no_endpoint(),
        Discard::Filtered => filtered(),
        Discard::FlowLimit => flow_limit(),
        Discard::TinyFragment => inside(&fragment(0, true, &[1, 2, 3, 4, 0, 0, 0, 0])),
        Discard::OrphanFragment => inside(&fragment(800, true, &[0; 64])),
        Discard::TooBig => {
            let mut node = frame(&udp(inner(1), inner(2), 1, 2, &[0; 1500]));
            assert_eq!(node.take_packets().len(), 1, "the sender is told");
            node
        }
        Discard::QueueFull => waiting(),
        Discard::QueueStale => waiting(),
        Discard::BadOffload => bad_offload(),
        Discard::EchoLimit => pinged(),
        Discard::EchoUnknown => inside(&ip(
            inner(1),
            inner(2),
            1,
            &[&[0; 8][..], b"tidegate", &[1; 8]].concat(),
        )),
    }
}

fn received(datagram: &[u8]) -> Node {
    let (mut node, _) = pair();
    node.receive(datagram, address(2), at(1));
    assert!(node.wire.sent.is_empty());
    node
}

fn sent(mut node: Node) -> Node {
    node.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(1));
    assert!(node.wire.sent.is_empty());
    node
}

/// A connected node that is asked to send a packet.
fn frame(packet: &[u8]) -> Node {
    let (mut node, _) = connected();
    node.send(packet, at(1));
    assert!(node.wire.sent.is_empty());
    node
}

/// A node whose peer sends it a packet that an honest engine would not.
fn inside(packet: &[u8]) -> Node {
    let (_, mut b) = pair();
    let mut hostile = Hostile::connect(&mut b, at(1));
    let datagram = hostile.seal(packet);
    b.receive(&datagram, address(1), at(1));
    b
}

fn data(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Node {
    let (mut a, mut b) = connected();
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(1));
    let mut datagrams: Vec<_> = a
        .take_sent()
        .into_iter()
        .map(|(_, datagram)| datagram)
        .collect();
    change(&mut datagrams);
    for datagram in &datagrams {
        b.receive(datagram, address(1), at(1));
    }
    b.take_packets();
    b
}

fn bad_handshake() -> Node {
    // The mac holds, for the sender knows our key, but the message was made for another session state.
    let (mut a, mut b) = pair();
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(0));
    let mut message = a.take_sent().remove(0).1;
    message[100] ^= 1;
    net::fix_mac(&mut message, &public(2));
    b.receive(&message, address(1), at(0));
    assert!(b.wire.sent.is_empty());
    b
}

fn unknown_peer() -> Node {
    let (_, mut b) = pair();
    let mut stranger = Node::new(3, &[2]);
    stranger.install(1, &[2], Mono::NEVER, at(0));
    stranger.apply(Command::Activate(Epoch(1)), at(0));
    stranger.apply(Command::Connect(peer(2)), at(0));
    let initiation = stranger.take_sent().remove(0).1;
    b.receive(&initiation, address(3), at(0));
    assert!(b.wire.sent.is_empty());
    b
}

fn replayed_handshake() -> Node {
    let (mut a, mut b) = pair();
    a.apply(Command::Connect(peer(2)), at(0));
    let initiation = a.take_sent().remove(0).1;
    b.receive(&initiation, address(1), at(0));
    b.take_sent();
    b.receive(&initiation, address(1), at(500));
    assert!(b.wire.sent.is_empty());
    b
}

/// A flood of messages whose mac holds, from ever new addresses; then whatever the test adds.
fn flood(then: impl FnOnce(&mut Node, &mut Node, &[u8])) -> Node {
    let (mut a, mut b) = pair();
    a.apply(Command::Connect(peer(2)), at(0));
    let message = a.take_sent().remove(0).1;
    drown(&mut b, &message, 3000, at(1));
    let replies = b.take_sent();
    assert!(replies.len() > 900 && replies.iter().all(|(_, reply)| reply.len() <= 92));
    then(&mut a, &mut b, &message);
    b
}

fn drown(node: &mut Node, message: &[u8], count: u32, now: tidegate_wg::Now) {
    for source in 0..count {
        let [_, _, high, low] = source.to_be_bytes();
        node.receive(message, ([203, 0, high, low], 1).into(), now);
    }
}

/// One source that proves its address and still asks for more than its share.
fn handshake_rate() -> Node {
    let node = flood(|a, b, _| {
        for step in 0..400 {
            let now = at(2000 + step);
            exchange_handshakes(a, b, now);
        }
    });
    let status = node.status(at(0));
    assert!(status.discards.of(Discard::HandshakeRate) > 0);
    node
}

fn exchange_handshakes(a: &mut Node, b: &mut Node, now: tidegate_wg::Now) {
    a.apply(Command::RemovePeer(peer(2)), now);
    a.apply(Command::AddPeer(PeerSetup::with_epoch(a, 2, 1)), now);
    a.apply(Command::Connect(peer(2)), now);
    for (_, message) in a.take_sent() {
        b.receive(&message, address(1), now);
    }
    b.take_sent();
}

fn deadline() -> Node {
    let (mut node, _) = connected();
    node.apply(Command::SetPeerDeadline(peer(2), at(1).mono), at(1));
    sent(node)
}

fn no_peer() -> Node {
    let (mut node, _) = connected();
    node.apply(Command::RemovePeer(peer(2)), at(1));
    sent(node)
}

fn no_endpoint() -> Node {
    let mut node = Node::new(1, &[2]);
    node.install(1, &[2], Mono::NEVER, at(0));
    node.apply(Command::Activate(Epoch(1)), at(0));
    node.apply(Command::SetCandidates(peer(2), Vec::new()), at(0));
    sent(node)
}

fn filtered() -> Node {
    let (mut node, _) = connected();
    node.apply(Command::SetFilter(Arc::new(Filter::deny_all())), at(1));
    sent(node)
}

/// Nine peers want a flow each in a table of eight.
fn flow_limit() -> Node {
    let others: Vec<u8> = (2..=10).collect();
    let mut node = Node::new(1, &[]);
    let config = EngineConfig {
        key: key(1),
        local: Local {
            addresses: vec![inner(1)],
            mtu: 1420,
        },
        flows: 8,
        seed: [1; 32],
    };
    node.engine = tidegate_wg::Engine::new(config, at(0));
    for other in &others {
        node.apply(Command::AddPeer(node.peer_config(*other)), at(0));
    }
    let hosts = others
        .iter()
        .map(|other| (Prefix::host(inner(*other)), peer(*other)));
    node.apply(Command::SetRoutes(Arc::new(Routes::new(hosts))), at(0));
    node.apply(
        Command::SetFilter(Arc::new(Filter::new([Rule::everything(
            Direction::Outgoing,
        )]))),
        at(0),
    );
    for other in others {
        node.send(&udp(inner(1), inner(other), 1, 2, b"x"), at(1));
    }
    node
}

fn waiting() -> Node {
    let (mut node, _) = pair();
    for _ in 0..100 {
        node.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(1));
    }
    assert_eq!(node.status(at(1)).discards.of(Discard::QueueFull), 100 - 64);
    node.tick(at(16_000));
    assert_eq!(node.status(at(1)).discards.of(Discard::QueueStale), 64);
    node
}

fn bad_offload() -> Node {
    let (mut node, _) = connected();
    let mut bytes = [vec![0; 10], tcp(inner(1), inner(2), 1, 2, 0x10, &[0; 3000])].concat();
    (bytes[1], bytes[6]) = (1, 20);
    node.send_frame(&bytes, at(1));
    assert!(node.wire.sent.is_empty());
    node
}

fn pinged() -> Node {
    let (mut a, mut b) = connected();
    for token in 0..300 {
        a.apply(
            Command::Ping(Ping {
                peer: peer(2),
                token,
                from: inner(1),
                to: inner(2),
                len: 72,
            }),
            at(1),
        );
    }
    exchange(&mut [&mut a, &mut b], at(1));
    b
}

fn fragment(offset: u16, more: bool, body: &[u8]) -> Vec<u8> {
    net::fragment(inner(1), inner(2), 6, 7, offset, more, body)
}

#[test]
fn a_peers_own_counters_show_its_packets_and_no_one_elses() {
    let node = inside(&udp(inner(9), inner(2), 1, 2, b"x"));
    let status = node.status(at(1));
    assert_eq!(status.peers[0].discards.of(Discard::WrongSource), 1);
    let stranger = unknown_peer().status(at(1));
    assert_eq!(stranger.peers[0].discards.total(), 0);
}

#[test]
fn a_flood_leaves_room_for_who_shows_a_cookie() {
    flood(|a, b, message| {
        // The flood goes on; the honest peer is asked for a cookie, shows it, and gets its session.
        for (now, answer) in [(at(600), 64), (at(1200), 92)] {
            a.tick(now);
            let initiation = a.take_sent().remove(0).1;
            drown(b, message, 400, now);
            b.take_sent();
            b.receive(&initiation, address(1), now);
            assert_eq!(
                b.wire.sent[0].1.len(),
                answer,
                "first a cookie, then a response"
            );
            exchange(&mut [a, b], now);
        }
        a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(1300));
        exchange(&mut [a, b], at(1300));
        assert_eq!(b.take_packets().len(), 1);
    });
}

#[test]
fn keys_that_cannot_be_a_peers_are_refused() {
    use tidegate_wg::{ApplyError, PeerConfig, PublicKey};
    let mut node = Node::new(1, &[2]);
    let mut add = |config: PeerConfig| {
        let mut wire = net::Wire::default();
        node.engine
            .apply(Command::AddPeer(config), &mut wire, at(0))
    };
    let config = PeerSetup::with_epoch(&Node::new(1, &[]), 3, 1);
    let with = |key: PublicKey| PeerConfig {
        key,
        ..config.clone()
    };
    assert!(matches!(
        add(with(PublicKey([0; 32]))),
        Err(ApplyError::BadKey { .. })
    ));
    assert!(matches!(
        add(with(public(1))),
        Err(ApplyError::BadKey { .. })
    ));
    assert!(matches!(
        add(with(public(2))),
        Err(ApplyError::KeyInUse { .. })
    ));
    let _ = PrivateKey([0; 32]);
    assert!(add(config).is_ok());
}
