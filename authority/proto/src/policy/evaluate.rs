//! What a policy says about a pair of nodes.

use super::{Policy, PortRange, Protocol, Rule, Selector};
use crate::document::Certificate;
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
}

impl<'a> From<&'a Certificate> for Subject<'a> {
    fn from(certificate: &'a Certificate) -> Self {
        Self {
            name: &certificate.name,
            roles: &certificate.roles,
            tags: &certificate.tags,
            addresses: [
                Prefix::host(certificate.ipv4.into()),
                Prefix::host(certificate.ipv6.into()),
            ],
            routes: &certificate.routes,
        }
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
        !self.reach(&rule.from, from).is_empty() && !self.reach(&rule.to, to).is_empty()
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
        !self.reach(&self.relays, node).is_empty()
    }

    /// Whether any of `selectors` chooses `node`.
    pub fn selects(&self, selectors: &[Selector], node: &Subject<'_>) -> bool {
        !self.reach(selectors, node).is_empty()
    }

    /// The addresses of `node`, its own or behind it, that `selectors` choose. None: it is not chosen.
    fn reach(&self, selectors: &[Selector], node: &Subject<'_>) -> Vec<Prefix> {
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
                let held = node.addresses.iter().chain(node.routes);
                held.filter_map(|prefix| prefix.intersection(cidr))
                    .collect()
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
            let to = self.policy.reach(&rule.to, peer);
            (!to.is_empty()).then(|| Access::under(rule, own.clone(), to))
        };
        self.outbound.iter().filter_map(access).collect()
    }

    /// What `peer` may begin with this node.
    pub fn inbound_from(&self, peer: &Subject<'_>) -> Vec<Access> {
        let access = |(rule, own): &(&Rule, Vec<Prefix>)| {
            let from = self.policy.reach(&rule.from, peer);
            (!from.is_empty()).then(|| Access::under(rule, from, own.clone()))
        };
        self.inbound.iter().filter_map(access).collect()
    }
}

impl Access {
    fn under(rule: &Rule, from: Vec<Prefix>, to: Vec<Prefix>) -> Self {
        let ports = rule
            .ports
            .as_ref()
            .map_or_else(|| vec![PortRange::ALL], |ports| ports.to_vec());
        Self {
            from,
            to,
            protocol: rule.protocol,
            ports,
        }
    }
}
