//! The policy of one moment, compiled for look-up. What no rule allows is dropped.

use crate::key::PeerId;
use crate::packet::{Packet, Transport, protocol};
use crate::routes::Prefix;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From a peer to this host.
    Incoming,
    /// From this host to a peer.
    Outgoing,
}

/// Whom a rule is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Peers {
    /// Every peer.
    Any,
    /// These; an empty list is nobody.
    These(Vec<PeerId>),
}

/// Which destination ports a rule is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ports {
    /// Every port.
    Any,
    /// Those in one of these ranges; an empty list is none.
    Within(Vec<RangeInclusive<u16>>),
}

/// Which ICMP messages a rule is about. Errors about a known flow need no rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IcmpKind {
    /// Echo requests, whose replies follow from the flow.
    Echo,
    /// Every message.
    Any,
}

/// Which protocol a rule is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Protocols {
    /// Every protocol.
    Any,
    /// TCP to these ports.
    Tcp(Ports),
    /// UDP to these ports.
    Udp(Ports),
    /// ICMP of both families.
    Icmp(IcmpKind),
    /// The protocol of this number, whatever it says of ports.
    Number(u8),
}

/// Which source or destination addresses a rule is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Addresses {
    /// Every address.
    Any,
    /// Those in one of these; an empty list is none.
    Within(Vec<Prefix>),
}

/// Allows the first packet of a flow; the rest, and the replies, follow from the flow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// Which way the first packet goes.
    pub direction: Direction,
    /// From or to whom.
    pub peers: Peers,
    /// By which protocol.
    pub protocols: Protocols,
    /// From which address. Whatever a rule says, only addresses that lead to a peer are its own to send from.
    pub sources: Addresses,
    /// To which address.
    pub destinations: Addresses,
}

impl Rule {
    /// Allows everything in one direction.
    pub fn everything(direction: Direction) -> Self {
        Self {
            direction,
            peers: Peers::Any,
            protocols: Protocols::Any,
            sources: Addresses::Any,
            destinations: Addresses::Any,
        }
    }
}

/// A compiled policy.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    incoming: Vec<Rule>,
    outgoing: Vec<Rule>,
}

impl Filter {
    /// Compiles rules; their order does not matter, for each only allows.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut filter = Self::default();
        for mut rule in rules {
            if let Peers::These(peers) = &mut rule.peers {
                peers.sort_unstable();
            }
            match rule.direction {
                Direction::Incoming => filter.incoming.push(rule),
                Direction::Outgoing => filter.outgoing.push(rule),
            }
        }
        filter
    }

    /// Allows nothing.
    pub fn deny_all() -> Self {
        Self::default()
    }

    /// Whether a rule allows this packet to open a flow.
    pub fn permits(&self, direction: Direction, peer: PeerId, packet: &Packet) -> bool {
        let rules = match direction {
            Direction::Incoming => &self.incoming,
            Direction::Outgoing => &self.outgoing,
        };
        rules.iter().any(|rule| rule.matches(peer, packet))
    }
}

impl Rule {
    fn matches(&self, peer: PeerId, packet: &Packet) -> bool {
        self.protocols.hold(packet)
            && self.peers.hold(peer)
            && self.destinations.hold(packet.destination)
            && self.sources.hold(packet.source)
    }
}

impl Peers {
    fn hold(&self, peer: PeerId) -> bool {
        match self {
            Self::Any => true,
            Self::These(peers) => peers.binary_search(&peer).is_ok(),
        }
    }
}

impl Ports {
    fn hold(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Within(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }
}

impl Protocols {
    fn hold(&self, packet: &Packet) -> bool {
        match (self, packet.transport) {
            (Self::Any, _) => true,
            (Self::Tcp(ports), Transport::Tcp { destination, .. }) => ports.hold(destination),
            (Self::Udp(ports), Transport::Udp { destination, .. }) => ports.hold(destination),
            (Self::Icmp(IcmpKind::Echo), Transport::Echo { request, .. }) => request,
            (Self::Icmp(IcmpKind::Any), _) => is_icmp(packet),
            (Self::Number(number), _) => *number == packet.protocol,
            _ => false,
        }
    }
}

impl Addresses {
    fn hold(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Within(prefixes) => prefixes.iter().any(|prefix| prefix.contains(address)),
        }
    }
}

fn is_icmp(packet: &Packet) -> bool {
    packet.protocol
        == if packet.source.is_ipv4() {
            protocol::ICMP
        } else {
            protocol::ICMPV6
        }
}
