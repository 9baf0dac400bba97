//! From the policy to the data plane's rules.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_proto::policy::{Access, Policy, PortRange, Protocol, Subject};
use tidegate_proto::{Certificate, Genesis, Prefix};
use tidegate_wg::{Destinations, Direction, IcmpKind, PeerId, Peers, Ports, Protocols, Rule};

/// Everything about a rule but whom it is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Shape {
    incoming: bool,
    protocol: Protocol,
    ports: Vec<PortRange>,
    /// `None`: whatever is routed to the peer.
    destinations: Option<Vec<Prefix>>,
}

/// What a node may exchange with its peers, as the policy says. Rules of one shape become one.
pub(crate) fn compile(
    policy: &Policy,
    own: &Certificate,
    genesis: &Genesis,
    peers: &[(PeerId, &Certificate, Behind)],
) -> Vec<Rule> {
    let rules = policy.rules_for(Subject::new(own, genesis));
    let mut shapes: BTreeMap<Shape, BTreeSet<PeerId>> = BTreeMap::new();
    for (id, certificate, behind) in peers {
        let subject = Subject::new(certificate, genesis);
        for access in rules.outbound_to(&subject) {
            let all = behind == &Behind::Nothing && reaches_all(&access.to, &subject);
            let shape = Shape::new(&access, false, all);
            shapes.entry(shape).or_default().insert(*id);
        }
        for access in rules.inbound_from(&subject) {
            // The data plane knows that a packet is the peer's, not which of its addresses it is from.
            if behind == &Behind::Nothing || covers(&access.from, certificate) {
                shapes
                    .entry(Shape::new(&access, true, false))
                    .or_default()
                    .insert(*id);
            }
        }
    }
    shapes
        .into_iter()
        .map(|(shape, ids)| shape.rule(ids))
        .collect()
}

/// Whether networks behind a peer are routed here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Behind {
    /// Only its own addresses are.
    Nothing,
    /// Networks are.
    Networks,
}

/// Whether the access reaches both addresses of the peer.
fn reaches_all(to: &[Prefix], peer: &Subject<'_>) -> bool {
    peer.addresses.iter().all(|own| to.contains(own))
}

/// Whether everything that can come from the peer may, in the families that the access is about.
fn covers(from: &[Prefix], peer: &Certificate) -> bool {
    let within = |prefix: &Prefix| from.iter().any(|allowed| allowed.contains_prefix(prefix));
    let families: BTreeSet<bool> = from.iter().map(Prefix::is_ipv4).collect();
    let own = [
        Prefix::host(peer.ipv4.into()),
        Prefix::host(peer.ipv6.into()),
    ];
    let mut all = own.iter().chain(peer.routes.iter());
    all.all(|prefix| !families.contains(&prefix.is_ipv4()) || within(prefix))
}

impl Shape {
    fn new(access: &Access, incoming: bool, everywhere: bool) -> Self {
        Self {
            incoming,
            protocol: access.protocol,
            ports: access.ports.clone(),
            destinations: (!everywhere).then(|| access.to.clone()),
        }
    }

    fn rule(self, peers: BTreeSet<PeerId>) -> Rule {
        let ports = if self.ports.contains(&PortRange::ALL) {
            Ports::Any
        } else {
            Ports::Within(
                self.ports
                    .iter()
                    .map(|range| range.first()..=range.last())
                    .collect(),
            )
        };
        let destinations = self.destinations.map_or(Destinations::Any, |prefixes| {
            Destinations::Within(prefixes.iter().filter_map(wg_prefix).collect())
        });
        Rule {
            direction: if self.incoming {
                Direction::Incoming
            } else {
                Direction::Outgoing
            },
            peers: Peers::These(peers.into_iter().collect()),
            protocols: match self.protocol {
                Protocol::Any => Protocols::Any,
                Protocol::Tcp => Protocols::Tcp(ports),
                Protocol::Udp => Protocols::Udp(ports),
                Protocol::Icmp => Protocols::Icmp(IcmpKind::Any),
            },
            destinations,
        }
    }
}

/// The data plane's form of a prefix.
pub(crate) fn wg_prefix(prefix: &Prefix) -> Option<tidegate_wg::Prefix> {
    tidegate_wg::Prefix::new(prefix.address(), prefix.length())
}
