//! What a policy says about a pair of nodes.

use super::{Policy, PortRange, Protocol, Rule, Selector};
use crate::document::{Certificate, Genesis};
use crate::name::{NodeName, Role, Tag};
use crate::net::Prefix;

/// What a policy looks at in a node.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a NodeName,
    /// Its roles, in order.
    pub roles: &'a [Role],
    /// Its tags, in order.
    pub tags: &'a [Tag],
    /// Its own overlay addresses.
    pub addresses: [Prefix; 2],
    /// The networks that it routes for.
    pub routes: &'a [Prefix],
    /// The network, whose overlay no route reaches into.
    pub genesis: &'a Genesis,
}

impl<'a> Subject<'a> {
    /// The subject that a certificate makes in its network.
    pub fn new(certificate: &'a Certificate, genesis: &'a Genesis) -> Self {
        Self {
            name: &certificate.name,
            roles: &certificate.roles,
            tags: &certificate.tags,
            addresses: [
                Prefix::host(certificate.ipv4.into()),
                Prefix::host(certificate.ipv6.into()),
            ],
            routes: &certificate.routes,
            genesis,
        }
    }

    /// What of its routes lies in `cidr`. Addresses of the overlay belong to the nodes that have them, and to
    /// nobody who routes for everything.
    fn routes_within(&self, cidr: &Prefix) -> impl Iterator<Item = Prefix> {
        let outside = |prefix: &Prefix| {
            !self
                .genesis
                .prefixes()
                .any(|own| own.contains_prefix(prefix))
        };
        self.routes
            .iter()
            .filter_map(move |route| route.intersection(cidr))
            .filter(outside)
    }
}

/// One kind of flow that is permitted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Access {
    /// Where it may come from.
    pub from: Vec<Prefix>,
    /// Where it may go.
    pub to: Vec<Prefix>,
    /// With which protocol.
    pub protocol: Protocol,
    /// To which ports.
    pub ports: Vec<PortRange>,
}

/// The rules that can matter to one node.
#[derive(Clone, Debug)]
pub struct NodeRules<'a> {
    policy: &'a Policy,
    node: Subject<'a>,
    /// Rules under which the node may begin, with the addresses that it may use.
    outbound: Vec<(&'a Rule, Vec<Prefix>)>,
    /// Rules under which others may come to it, with the addresses that they reach.
    inbound: Vec<(&'a Rule, Vec<Prefix>)>,
}

impl Policy {
    /// Whether flows are permitted between two nodes, in at least one direction: whether they are peers.
    pub fn permits(&self, a: &Subject<'_>, b: &Subject<'_>) -> bool {
        self.rules
            .iter()
            .any(|rule| self.joins(rule, a, b) || self.joins(rule, b, a))
    }

    fn joins(&self, rule: &Rule, from: &Subject<'_>, to: &Subject<'_>) -> bool {
        let (from, to) = (self.reach(&rule.from, from), self.reach(&rule.to, to));
        from.iter()
            .any(|from| to.iter().any(|to| from.is_ipv4() == to.is_ipv4()))
    }

    /// The rules that can matter to `node`.
    pub fn rules_for<'a>(&'a self, node: Subject<'a>) -> NodeRules<'a> {
        let matching = |end: fn(&Rule) -> &[Selector]| {
            let reached = |rule: &'a Rule| (rule, self.reach(end(rule), &node));
            self.rules
                .iter()
                .map(reached)
                .filter(|(_, prefixes)| !prefixes.is_empty())
                .collect()
        };
        NodeRules {
            policy: self,
            node,
            outbound: matching(|rule| &rule.from),
            inbound: matching(|rule| &rule.to),
        }
    }

    /// Whether `node` may relay for others.
    pub fn may_relay(&self, node: &Subject<'_>) -> bool {
        self.selects(&self.relays, node)
    }

    /// Whether any of `selectors` chooses the node itself, whatever lies behind it.
    pub fn selects(&self, selectors: &[Selector], node: &Subject<'_>) -> bool {
        let itself = Subject {
            routes: &[],
            ..*node
        };
        !self.reach(selectors, &itself).is_empty()
    }

    /// The addresses of `node`, its own or behind it, that `selectors` choose. None: it is not chosen.
    pub(super) fn reach(&self, selectors: &[Selector], node: &Subject<'_>) -> Vec<Prefix> {
        let mut reached: Vec<_> = selectors
            .iter()
            .flat_map(|selector| self.reach_of(selector, node))
            .collect();
        reached.sort_unstable();
        reached.dedup();
        reached
    }

    fn reach_of(&self, selector: &Selector, node: &Subject<'_>) -> Vec<Prefix> {
        let own_if = |chosen: bool| {
            if chosen {
                node.addresses.to_vec()
            } else {
                Vec::new()
            }
        };
        match selector {
            Selector::All => own_if(true),
            Selector::Tag(tag) => own_if(node.tags.contains(tag)),
            Selector::Role(role) => own_if(node.roles.contains(role)),
            Selector::Node(name) => own_if(node.name == name),
            Selector::Cidr(cidr) => {
                let own = node
                    .addresses
                    .iter()
                    .filter_map(|own| own.intersection(cidr));
                own.chain(node.routes_within(cidr)).collect()
            }
            Selector::Group(name) => {
                let group = self.groups.iter().find(|group| group.name == *name);
                group
                    .map(|group| self.reach(&group.members, node))
                    .unwrap_or_default()
            }
        }
    }
}

impl<'a> NodeRules<'a> {
    /// Whether no flow to or from anybody can be permitted.
    pub fn is_empty(&self) -> bool {
        self.outbound.is_empty() && self.inbound.is_empty()
    }

    /// The node that the rules are for.
    pub fn node(&self) -> &Subject<'a> {
        &self.node
    }

    /// What this node may begin with `peer`.
    pub fn outbound_to(&self, peer: &Subject<'_>) -> Vec<Access> {
        let access = |(rule, own): &(&Rule, Vec<Prefix>)| {
            Access::under(rule, own.clone(), self.policy.reach(&rule.to, peer))
        };
        self.outbound.iter().filter_map(access).collect()
    }

    /// What `peer` may begin with this node.
    pub fn inbound_from(&self, peer: &Subject<'_>) -> Vec<Access> {
        let access = |(rule, own): &(&Rule, Vec<Prefix>)| {
            Access::under(rule, self.policy.reach(&rule.from, peer), own.clone())
        };
        self.inbound.iter().filter_map(access).collect()
    }
}

impl Access {
    /// The flows between `from` and `to`, if there can be any: addresses of one family only meet each other.
    fn under(rule: &Rule, mut from: Vec<Prefix>, mut to: Vec<Prefix>) -> Option<Self> {
        let met = |prefix: &Prefix, others: &[Prefix]| {
            others
                .iter()
                .any(|other| other.is_ipv4() == prefix.is_ipv4())
        };
        from.retain(|prefix| met(prefix, &to));
        to.retain(|prefix| met(prefix, &from));
        if from.is_empty() {
            return None;
        }
        let all = || vec![PortRange::ALL];
        let ports = rule.ports.as_ref().map_or_else(all, |ports| ports.to_vec());
        let protocol = rule.protocol;
        Some(Self {
            from,
            to,
            protocol,
            ports,
        })
    }
}
