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
        let own_addresses = [Prefix::host(own.ipv4.into()), Prefix::host(own.ipv6.into())];
        let expected = Rule {
            direction: Direction::Incoming,
            peers: Peers::These(vec![PeerId(2), PeerId(3)]),
            protocols: tcp(),
            destinations: Destinations::Within(
                own_addresses.iter().filter_map(wg_prefix).collect(),
            ),
        };
        assert_eq!(rules, [expected]);
        let rules = compile(&policy("tag:db", "tag:web"), &own, &genesis, &peers);
        let expected = Rule {
            direction: Direction::Outgoing,
            peers: Peers::These(vec![PeerId(2), PeerId(3)]),
            protocols: tcp(),
            destinations: Destinations::Any,
        };
        assert_eq!(rules, [expected]);
    }

    #[test]
    fn networks_behind_a_peer_get_no_more_than_the_policy_names() {
        let (own, genesis) = (certificate(1, "db", &[]), genesis());
        let router = certificate(2, "web", &["192.168.7.0/24"]);
        let peers = [(PeerId(2), &router, Behind::Networks)];
        let outgoing = compile(&policy("tag:db", "tag:web"), &own, &genesis, &peers);
        let hosts = [
            Prefix::host(router.ipv4.into()),
            Prefix::host(router.ipv6.into()),
        ];
        let hosts = hosts.iter().filter_map(wg_prefix).collect();
        assert_eq!(outgoing[0].destinations, Destinations::Within(hosts));
        let incoming = compile(&policy("tag:web", "tag:db"), &own, &genesis, &peers);
        assert_eq!(
            incoming,
            [],
            "what comes from behind it cannot be told from what it sends itself"
        );
        let incoming = compile(&policy("cidr:0.0.0.0/0", "tag:db"), &own, &genesis, &peers);
        assert_eq!(incoming.len(), 1, "where all of it may come, it may");
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
