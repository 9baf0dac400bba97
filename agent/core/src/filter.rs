//! From the policy to the data plane's rules.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_proto::policy::{Access, Policy, PortRange, Protocol, Subject};
use tidegate_proto::{Certificate, Genesis, Prefix};
use tidegate_wg::{Addresses, Direction, IcmpKind, PeerId, Peers, Ports, Protocols, Rule};

/// Everything about a rule but whom it is about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Shape {
    incoming: bool,
    protocol: Protocol,
    ports: Vec<PortRange>,
    /// `None`: all that the peer may send from.
    sources: Option<Vec<Prefix>>,
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
            let shape = Shape::outgoing(access, &subject, *behind);
            shapes.entry(shape).or_default().insert(*id);
        }
        for access in rules.inbound_from(&subject) {
            let shape = Shape::incoming(access, &subject, *behind);
            shapes.entry(shape).or_default().insert(*id);
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

/// The peer's end of an access; `None` if that is all that is routed to the peer anyway, which is the same for many peers.
/// `other` is the other end, whose families are the only ones that matter.
fn end_of(
    prefixes: Vec<Prefix>,
    other: &[Prefix],
    peer: &Subject<'_>,
    behind: Behind,
) -> Option<Vec<Prefix>> {
    let meets = |own: &Prefix| other.iter().any(|other| other.is_ipv4() == own.is_ipv4());
    let mut own = peer.addresses.iter().filter(|own| meets(own));
    let all = behind == Behind::Nothing && own.all(|own| prefixes.contains(own));
    (!all).then_some(prefixes)
}

impl Shape {
    fn outgoing(access: Access, peer: &Subject<'_>, behind: Behind) -> Self {
        Self {
            incoming: false,
            protocol: access.protocol,
            ports: access.ports,
            destinations: end_of(access.to, &access.from, peer, behind),
            sources: Some(access.from),
        }
    }

    fn incoming(access: Access, peer: &Subject<'_>, behind: Behind) -> Self {
        Self {
            incoming: true,
            protocol: access.protocol,
            ports: access.ports,
            sources: end_of(access.from, &access.to, peer, behind),
            destinations: Some(access.to),
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
            sources: addresses(self.sources),
            destinations: addresses(self.destinations),
        }
    }
}

fn addresses(prefixes: Option<Vec<Prefix>>) -> Addresses {
    prefixes.map_or(Addresses::Any, |prefixes| {
        Addresses::Within(prefixes.iter().filter_map(wg_prefix).collect())
    })
}

/// The data plane's form of a prefix.
pub(crate) fn wg_prefix(prefix: &Prefix) -> Option<tidegate_wg::Prefix> {
    tidegate_wg::Prefix::new(prefix.address(), prefix.length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_proto::policy::{PolicyFile, Rule as PolicyRule};
    use tidegate_proto::{
        BoundedList, BoundedSet, NetworkId, NodeId, Revision, SealingSecretKey, Sequence, Serial,
        SigningKey, UnixTime, WgSecretKey,
    };

    fn certificate(number: u8, tag: &str, routes: &[&str]) -> Certificate {
        let identity = SigningKey::from_seed(&[number; 32]).public_key();
        Certificate {
            network: NetworkId::from_bytes([9; 16]),
            revision: Revision::FIRST,
            node: NodeId::of(&identity),
            name: format!("n{number}").parse().unwrap(),
            identity,
            wireguard: WgSecretKey::from_bytes([number; 32]).public_key(),
            sealing: SealingSecretKey::from_seed([number; 32])
                .public_key()
                .unwrap()
                .hash(),
            ipv4: format!("10.211.0.{number}").parse().unwrap(),
            ipv6: format!("fd01:203:405::{number:x}").parse().unwrap(),
            roles: BoundedSet::default(),
            tags: BoundedSet::new(vec![tag.parse().unwrap()]).unwrap(),
            routes: BoundedSet::new(routes.iter().map(|route| route.parse().unwrap()).collect())
                .unwrap(),
            not_before: UnixTime::default(),
            not_after: UnixTime::MAX,
            serial: Serial::default(),
        }
    }

    fn policy(from: &str, to: &str) -> Policy {
        let selector = |text: &str| BoundedSet::new(vec![text.parse().unwrap()]).unwrap();
        let rule = PolicyRule {
            from: selector(from),
            to: selector(to),
            protocol: Protocol::Tcp,
            ports: Some(BoundedSet::new(vec!["5432".parse().unwrap()]).unwrap()),
        };
        let (network, time) = (NetworkId::from_bytes([9; 16]), UnixTime::default());
        Policy {
            rules: BoundedList::new(vec![rule]).unwrap(),
            ..PolicyFile::parse("").unwrap().into_policy(
                network,
                Revision::FIRST,
                Sequence::default(),
                time,
            )
        }
    }

    fn genesis() -> Genesis {
        let bytes = include_bytes!("../../../tests/fuzz/corpus/proto_document/genesis");
        serde_json::from_slice(bytes).unwrap()
    }

    fn hosts(node: &Certificate) -> Addresses {
        let hosts = [node.ipv4.into(), node.ipv6.into()].map(Prefix::host);
        addresses(Some(hosts.to_vec()))
    }

    fn tcp() -> Protocols {
        Protocols::Tcp(Ports::Within(vec![5432..=5432]))
    }

    #[test]
    fn one_rule_serves_all_peers_of_one_kind_in_its_direction_only() {
        let (own, genesis) = (certificate(1, "db", &[]), genesis());
        let (web, other) = (certificate(2, "web", &[]), certificate(3, "web", &[]));
        let stranger = certificate(4, "mail", &[]);
        let peers = [
            (PeerId(2), &web, Behind::Nothing),
            (PeerId(3), &other, Behind::Nothing),
            (PeerId(4), &stranger, Behind::Nothing),
        ];
        let rules = compile(&policy("tag:web", "tag:db"), &own, &genesis, &peers);
        let expected = Rule {
            direction: Direction::Incoming,
            peers: Peers::These(vec![PeerId(2), PeerId(3)]),
            protocols: tcp(),
            sources: Addresses::Any,
            destinations: hosts(&own),
        };
        assert_eq!(rules, [expected]);
        let rules = compile(&policy("tag:db", "tag:web"), &own, &genesis, &peers);
        let expected = Rule {
            direction: Direction::Outgoing,
            peers: Peers::These(vec![PeerId(2), PeerId(3)]),
            protocols: tcp(),
            sources: hosts(&own),
            destinations: Addresses::Any,
        };
        assert_eq!(rules, [expected]);
    }

    #[test]
    fn networks_behind_a_peer_get_no_more_than_the_policy_names() {
        let (own, genesis) = (certificate(1, "db", &[]), genesis());
        let router = certificate(2, "web", &["192.168.7.0/24"]);
        let peers = [(PeerId(2), &router, Behind::Networks)];
        let outgoing = compile(&policy("tag:db", "tag:web"), &own, &genesis, &peers);
        assert_eq!(outgoing[0].destinations, hosts(&router));
        let incoming = compile(&policy("all", "tag:db"), &own, &genesis, &peers);
        assert_eq!(incoming[0].sources, hosts(&router), "the router itself");
        let behind = "192.168.7.0/24".parse().unwrap();
        let incoming = compile(
            &policy("cidr:192.168.7.0/24", "tag:db"),
            &own,
            &genesis,
            &peers,
        );
        assert_eq!(
            incoming[0].sources,
            addresses(Some(vec![behind])),
            "what is behind it alone"
        );
    }

    #[test]
    fn a_router_opens_flows_only_for_whom_the_policy_names() {
        let (own, genesis) = (certificate(1, "db", &["192.168.7.0/24"]), genesis());
        let web = certificate(2, "web", &[]);
        let peers = [(PeerId(2), &web, Behind::Nothing)];
        let itself = compile(&policy("all", "tag:web"), &own, &genesis, &peers);
        assert_eq!(itself[0].sources, hosts(&own));
        let from_behind = policy("cidr:192.168.7.128/25", "tag:web");
        let from_behind = compile(&from_behind, &own, &genesis, &peers);
        let half = "192.168.7.128/25".parse().unwrap();
        assert_eq!(from_behind[0].sources, addresses(Some(vec![half])));
        assert_eq!(
            from_behind[0].destinations,
            Addresses::Any,
            "of the peer's addresses, only those of the family matter"
        );
    }

    #[test]
    fn without_rules_nothing_is_allowed() {
        let (own, genesis, peer) = (
            certificate(1, "db", &[]),
            genesis(),
            certificate(2, "web", &[]),
        );
        let peers = [(PeerId(2), &peer, Behind::Nothing)];
        assert_eq!(
            compile(&policy("tag:a", "tag:b"), &own, &genesis, &peers),
            []
        );
    }
}
