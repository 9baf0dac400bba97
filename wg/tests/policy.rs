//! The packet filter, through the engine: what a policy lets pass, and what follows from it.

mod net;

use net::{
    Node, address, at, connected, echo, exchange, fragment, inner, inner6, ip, peer, tcp, udp,
};
use std::net::IpAddr;
use std::sync::Arc;
use tidegate_wg::{
    Addresses, Command, Direction, Discard, Epoch, Filter, IcmpKind, Mono, Peers, Ports, Prefix,
    Protocols, Routes, Rule,
};

const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;
const ACK: u8 = 0x10;

fn incoming(protocols: Protocols) -> Rule {
    Rule {
        protocols,
        ..Rule::everything(Direction::Incoming)
    }
}

/// Two connected nodes; the second has this policy, the first allows everything.
fn guarded(rules: impl IntoIterator<Item = Rule>) -> (Node, Node) {
    let (a, mut b) = connected();
    b.apply(Command::SetFilter(Arc::new(Filter::new(rules))), at(1));
    (a, b)
}

/// Whether a packet of the first node reaches the second.
fn arrives(a: &mut Node, b: &mut Node, packet: &[u8]) -> bool {
    a.send(packet, at(2));
    exchange(&mut [a, b], at(2));
    !b.take_packets().is_empty()
}

fn ssh() -> Rule {
    incoming(Protocols::Tcp(Ports::Within(vec![22..=22, 8000..=8010])))
}

#[test]
fn only_what_a_rule_names_may_begin() {
    let (mut a, mut b) = guarded([ssh()]);
    for (port, allowed) in [
        (22, true),
        (23, false),
        (7999, false),
        (8000, true),
        (8010, true),
        (8011, false),
    ] {
        assert_eq!(
            arrives(
                &mut a,
                &mut b,
                &tcp(inner(1), inner(2), 999, port, SYN, b"")
            ),
            allowed,
            "{port}"
        );
    }
    assert!(!arrives(
        &mut a,
        &mut b,
        &udp(inner(1), inner(2), 999, 22, b"x")
    ));
    assert!(!arrives(&mut a, &mut b, &echo(inner(1), inner(2), true, 1)));
    assert!(!arrives(
        &mut a,
        &mut b,
        &ip(inner(1), inner(2), 47, b"gre....")
    ));
    assert_eq!(b.status(at(2)).discards.of(Discard::Filtered), 6);
}

#[test]
fn replies_follow_from_the_flow_and_nothing_else_does() {
    let (mut a, mut b) = guarded([ssh()]);
    assert!(arrives(
        &mut a,
        &mut b,
        &tcp(inner(1), inner(2), 999, 22, SYN, b"")
    ));
    assert!(arrives(
        &mut b,
        &mut a,
        &tcp(inner(2), inner(1), 22, 999, SYN_ACK, b"")
    ));
    assert!(arrives(
        &mut a,
        &mut b,
        &tcp(inner(1), inner(2), 999, 22, ACK, b"data")
    ));
    assert!(
        !arrives(
            &mut b,
            &mut a,
            &tcp(inner(2), inner(1), 22, 998, SYN_ACK, b"")
        ),
        "another port"
    );
    assert!(
        !arrives(&mut b, &mut a, &tcp(inner(2), inner(1), 22, 999, SYN, b"")),
        "a connection of its own"
    );
}

#[test]
fn an_echo_reply_answers_a_request_and_never_comes_first() {
    let (mut a, mut b) = guarded([incoming(Protocols::Icmp(IcmpKind::Echo))]);
    for (one, two) in [(inner(1), inner(2)), (inner6(1), inner6(2))] {
        assert!(!arrives(&mut a, &mut b, &echo(one, two, false, 4)));
        assert!(arrives(&mut a, &mut b, &echo(one, two, true, 5)));
        assert!(arrives(&mut b, &mut a, &echo(two, one, false, 5)));
        assert!(
            !arrives(&mut b, &mut a, &echo(two, one, true, 5)),
            "a request of its own"
        );
        assert!(!arrives(&mut b, &mut a, &echo(two, one, false, 6)));
    }
}

#[test]
fn an_icmp_error_passes_if_it_quotes_a_known_flow() {
    let (mut a, mut b) = guarded([Rule::everything(Direction::Outgoing)]);
    let asked = udp(inner(2), inner(1), 5000, 53, b"question");
    assert!(arrives(&mut b, &mut a, &asked));
    let error = |quote: &[u8]| {
        ip(
            inner(1),
            inner(2),
            1,
            &[&[3, 3, 0, 0, 0, 0, 0, 0], quote].concat(),
        )
    };
    assert!(arrives(&mut a, &mut b, &error(&asked[..28])));
    assert!(!arrives(
        &mut a,
        &mut b,
        &error(&udp(inner(2), inner(1), 5001, 53, b"")[..28])
    ));
    assert!(!arrives(&mut a, &mut b, &error(&asked[..19])), "cut off");
    let asked = udp(inner6(2), inner6(1), 5000, 53, b"question");
    assert!(arrives(&mut b, &mut a, &asked));
    let error = ip(
        inner6(1),
        inner6(2),
        58,
        &[&[1, 4, 0, 0, 0, 0, 0, 0], &asked[..48]].concat(),
    );
    assert!(arrives(&mut a, &mut b, &error));
}

#[test]
fn rules_name_peers_and_destinations() {
    let to = Addresses::Within(vec![Prefix::host(inner(2))]);
    let (mut a, mut b) = guarded([Rule {
        destinations: to,
        ..incoming(Protocols::Any)
    }]);
    assert!(arrives(
        &mut a,
        &mut b,
        &udp(inner(1), inner(2), 1, 2, b"x")
    ));
    assert!(!arrives(
        &mut a,
        &mut b,
        &udp(inner6(1), inner6(2), 1, 2, b"x")
    ));
    for (peers, allowed) in [
        (Peers::These(vec![peer(1)]), true),
        (Peers::These(vec![peer(9)]), false),
        (Peers::These(vec![]), false),
    ] {
        let (mut a, mut b) = guarded([Rule {
            peers,
            ..incoming(Protocols::Any)
        }]);
        assert_eq!(
            arrives(&mut a, &mut b, &udp(inner(1), inner(2), 1, 2, b"x")),
            allowed
        );
    }
    let (mut a, mut b) = guarded([incoming(Protocols::Tcp(Ports::Within(vec![])))]);
    assert!(
        !arrives(&mut a, &mut b, &tcp(inner(1), inner(2), 1, 2, SYN, b"")),
        "an empty list is not everything"
    );
    let (mut a, mut b) = guarded([
        incoming(Protocols::Number(47)),
        incoming(Protocols::Icmp(IcmpKind::Any)),
    ]);
    assert!(arrives(
        &mut a,
        &mut b,
        &ip(inner(1), inner(2), 47, b"gre....")
    ));
    assert!(arrives(
        &mut a,
        &mut b,
        &ip(inner(1), inner(2), 1, &[13, 0, 0, 0, 0, 0, 0, 0])
    ));
}

#[test]
fn networks_behind_a_peer_are_told_from_the_peer_itself() {
    let behind = |last| IpAddr::from([192, 168, 7, last]);
    let network = Prefix::new(behind(0), 24).unwrap();
    let from = |sources| Rule {
        sources: Addresses::Within(sources),
        ..incoming(Protocols::Any)
    };
    let opened = |rule: Rule, source: IpAddr| {
        let (mut a, mut b) = guarded([rule]);
        let routes = [(Prefix::host(inner(1)), peer(1)), (network, peer(1))];
        b.apply(Command::SetRoutes(Arc::new(Routes::new(routes))), at(1));
        arrives(&mut a, &mut b, &udp(source, inner(2), 1, 2, b"x"))
    };
    let itself = || from(vec![Prefix::host(inner(1)), Prefix::host(inner6(1))]);
    assert!(opened(itself(), inner(1)));
    assert!(!opened(itself(), behind(5)));
    assert!(opened(from(vec![network]), behind(5)));
    assert!(!opened(from(vec![network]), inner(1)));
    assert!(!opened(from(vec![]), inner(1)), "an empty list is nobody");
    let anywhere = || incoming(Protocols::Any);
    assert!(opened(anywhere(), behind(5)));
    let stranger = IpAddr::from([192, 168, 8, 5]);
    assert!(!opened(anywhere(), stranger), "it leads to nobody");
}

#[test]
fn flows_survive_a_rotation_but_not_a_change_of_policy() {
    let (mut a, mut b) = guarded([ssh()]);
    assert!(arrives(
        &mut a,
        &mut b,
        &tcp(inner(1), inner(2), 999, 22, SYN, b"")
    ));
    for (node, other) in [(&mut a, 2), (&mut b, 1)] {
        node.install(2, &[other], Mono::NEVER, at(10));
    }
    a.tick(at(300));
    exchange(&mut [&mut a, &mut b], at(300));
    for node in [&mut a, &mut b] {
        node.apply(Command::Activate(Epoch(2)), at(301));
        node.apply(Command::Retire(Epoch(1)), at(302));
    }
    let reply = tcp(inner(2), inner(1), 22, 999, ACK, b"data");
    assert!(arrives(&mut b, &mut a, &reply));
    b.apply(Command::SetFilter(Arc::new(Filter::deny_all())), at(303));
    assert!(!arrives(&mut b, &mut a, &reply));
    assert!(!arrives(
        &mut a,
        &mut b,
        &tcp(inner(1), inner(2), 999, 22, ACK, b"data")
    ));
    assert_eq!(b.status(at(303)).flows, 0);
}

#[test]
fn a_flow_ends_with_its_peer() {
    let (mut a, mut b) = guarded([ssh()]);
    assert!(arrives(
        &mut a,
        &mut b,
        &tcp(inner(1), inner(2), 999, 22, SYN, b"")
    ));
    b.apply(Command::RemovePeer(peer(1)), at(3));
    b.apply(
        Command::AddPeer(net::PeerSetup::with_epoch(&b, 1, 1)),
        at(3),
    );
    b.send(&tcp(inner(2), inner(1), 22, 999, ACK, b"data"), at(4));
    assert_eq!(b.status(at(4)).discards.of(Discard::Filtered), 1);
}

#[test]
fn later_fragments_follow_their_first_and_only_that() {
    let (mut a, mut b) = guarded([ssh()]);
    let head = tcp(inner(1), inner(2), 999, 22, SYN, &[1; 20])[20..].to_vec();
    let piece = |id, offset, body: &[u8]| fragment(inner(1), inner(2), 6, id, offset, true, body);
    assert!(
        !arrives(&mut a, &mut b, &piece(1, 40, &[2; 16])),
        "before its first"
    );
    assert!(arrives(&mut a, &mut b, &piece(1, 0, &head)));
    assert!(arrives(&mut a, &mut b, &piece(1, 40, &[2; 16])));
    assert!(
        !arrives(&mut a, &mut b, &piece(2, 40, &[2; 16])),
        "of another packet"
    );
    let closed = tcp(inner(1), inner(2), 999, 23, SYN, &[1; 20])[20..].to_vec();
    assert!(!arrives(&mut a, &mut b, &piece(3, 0, &closed)));
    assert!(
        !arrives(&mut a, &mut b, &piece(3, 40, &[2; 16])),
        "its first was refused"
    );
    b.apply(Command::SetFilter(Arc::new(Filter::deny_all())), at(3));
    assert!(
        !arrives(&mut a, &mut b, &piece(1, 56, &[2; 16])),
        "the policy changed"
    );
}

#[test]
fn a_denied_peer_learns_nothing_but_keeps_its_session() {
    let (mut a, mut b) = guarded([]);
    assert!(!arrives(
        &mut a,
        &mut b,
        &udp(inner(1), inner(2), 1, 2, b"x")
    ));
    assert!(b.wire.sent.is_empty());
    assert_eq!(b.status(at(2)).peers[0].endpoint, Some(address(1)));
    assert_eq!(b.status(at(2)).tunnels, 1);
}
