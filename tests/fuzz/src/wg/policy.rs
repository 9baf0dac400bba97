//! Routes and rules.

use super::net::{inner, inner6, peer};
use super::script::Script;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tidegate_wg::packet::{Packet, Transport};
use tidegate_wg::{
    Addresses, Direction, Filter, IcmpKind, PeerId, Peers, Ports, Prefix, Protocols, Routes, Rule,
};

/// A table of routes and addresses near them: each look-up equals a walk over all prefixes.
pub fn routes(data: &[u8]) {
    let mut script = Script(data);
    let mut list: Vec<(Prefix, PeerId)> = Vec::new();
    for number in 0..script.byte() {
        let (address, len) = (address(&mut script), script.byte());
        list.extend(Prefix::new(address, len % 129).map(|prefix| (prefix, peer(number))));
    }
    let routes = Routes::new(list.iter().copied());
    let near: Vec<IpAddr> = list.iter().map(|(prefix, _)| prefix.address()).collect();
    let mut asked: Vec<IpAddr> = near
        .iter()
        .flat_map(|address| [*address, step(*address, 1), step(*address, -1)])
        .collect();
    while script.more() {
        asked.push(address(&mut script));
    }
    for address in asked {
        // Of equal prefixes the later one wins, as it does with max_by_key.
        let holding = list
            .iter()
            .filter(|(prefix, _)| same_bits(*prefix, address));
        let expected = holding
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, peer)| *peer);
        assert_eq!(routes.lookup(address), expected, "{address}");
    }
}

fn address(script: &mut Script<'_>) -> IpAddr {
    if script.byte() & 1 == 0 {
        Ipv4Addr::new(
            script.below(3),
            script.below(3),
            script.byte(),
            script.byte(),
        )
        .into()
    } else {
        let (top, bottom) = (u128::from(script.word()), u128::from(script.word()));
        Ipv6Addr::from_bits(top << 112 | bottom).into()
    }
}

fn step(address: IpAddr, by: i32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(u32::from(v4).wrapping_add_signed(by)).into(),
        IpAddr::V6(v6) => {
            Ipv6Addr::from_bits(u128::from(v6).wrapping_add_signed(i128::from(by))).into()
        }
    }
}

/// Whether the leading bits are the same, looked at one by one.
fn same_bits(prefix: Prefix, address: IpAddr) -> bool {
    let bits = |address: IpAddr| -> Vec<bool> {
        let bytes = match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
            .collect()
    };
    let (own, other) = (bits(prefix.address()), bits(address));
    let len = usize::from(prefix.len());
    own.len() == other.len() && own[..len] == other[..len]
}

/// Rules and a packet: the compiled filter says what the rules say, read one by one.
pub fn filter(data: &[u8]) {
    let mut script = Script(data);
    let rules: Vec<Rule> = (0..script.below(8)).map(|_| rule(&mut script)).collect();
    let filter = Filter::new(rules.clone());
    while script.more() {
        let direction = direction(&mut script);
        let from = peer(script.below(4));
        let bytes = packet(&mut script);
        let Ok(packet) = Packet::parse(&bytes) else {
            continue;
        };
        let expected = rules
            .iter()
            .any(|rule| rule.direction == direction && says(rule, from, &packet));
        assert_eq!(
            filter.permits(direction, from, &packet),
            expected,
            "{rules:?} {packet:?}"
        );
    }
}

fn direction(script: &mut Script<'_>) -> Direction {
    if script.byte() & 1 == 0 {
        Direction::Incoming
    } else {
        Direction::Outgoing
    }
}

fn rule(script: &mut Script<'_>) -> Rule {
    let direction = direction(script);
    let peers = match script.below(4) {
        0 => Peers::Any,
        count => Peers::These((1..count).map(|_| peer(script.below(4))).collect()),
    };
    let protocols = match script.below(6) {
        0 => Protocols::Any,
        1 => Protocols::Tcp(ports(script)),
        2 => Protocols::Udp(ports(script)),
        3 => Protocols::Icmp(IcmpKind::Echo),
        4 => Protocols::Icmp(IcmpKind::Any),
        _ => Protocols::Number(script.byte()),
    };
    Rule {
        direction,
        peers,
        protocols,
        sources: addresses(script),
        destinations: addresses(script),
    }
}

fn addresses(script: &mut Script<'_>) -> Addresses {
    match script.below(3) {
        0 => Addresses::Any,
        1 => Addresses::Within(Vec::new()),
        _ => {
            let prefix = Prefix::new(inner(script.below(4)), 24 + script.below(9));
            let host = Prefix::host(inner6(1));
            Addresses::Within(prefix.into_iter().chain([host]).collect())
        }
    }
}

fn ports(script: &mut Script<'_>) -> Ports {
    match script.below(4) {
        0 => Ports::Any,
        count => Ports::Within(
            (1..count)
                .map(|_| u16::from(script.byte())..=u16::from(script.byte()))
                .collect(),
        ),
    }
}

fn packet(script: &mut Script<'_>) -> Vec<u8> {
    let (one, two) = (script.below(4), script.below(4));
    let (from, to) = if script.byte() & 1 == 0 {
        (inner(one), inner(two))
    } else {
        (inner6(one), inner6(two))
    };
    let protocol = [1, 6, 17, 58, script.byte()][usize::from(script.below(5))];
    let mut body = vec![0; 24];
    (body[1], body[3], body[12]) = (script.byte(), script.byte(), 0x50);
    if protocol == 1 || protocol == 58 {
        (body[0], body[1]) = (script.byte(), 0);
    }
    super::net::ip(from, to, protocol, &body)
}

fn says(rule: &Rule, from: PeerId, packet: &Packet) -> bool {
    let peers = match &rule.peers {
        Peers::Any => true,
        Peers::These(peers) => peers.contains(&from),
    };
    let (from, to) = (packet.source, packet.destination);
    let addresses = lies_in(&rule.sources, from) && lies_in(&rule.destinations, to);
    let icmp = if packet.source.is_ipv4() { 1 } else { 58 };
    let protocols = match &rule.protocols {
        Protocols::Any => true,
        Protocols::Tcp(ports) => {
            matches!(packet.transport, Transport::Tcp { destination, .. } if holds(ports, destination))
        }
        Protocols::Udp(ports) => {
            matches!(packet.transport, Transport::Udp { destination, .. } if holds(ports, destination))
        }
        Protocols::Icmp(IcmpKind::Echo) => {
            matches!(packet.transport, Transport::Echo { request: true, .. })
        }
        Protocols::Icmp(IcmpKind::Any) => packet.protocol == icmp,
        Protocols::Number(number) => packet.protocol == *number,
    };
    peers && addresses && protocols
}

fn lies_in(addresses: &Addresses, address: IpAddr) -> bool {
    match addresses {
        Addresses::Any => true,
        Addresses::Within(prefixes) => prefixes.iter().any(|prefix| same_bits(*prefix, address)),
    }
}

fn holds(ports: &Ports, port: u16) -> bool {
    match ports {
        Ports::Any => true,
        Ports::Within(ranges) => ranges
            .iter()
            .any(|range| *range.start() <= port && port <= *range.end()),
    }
}
