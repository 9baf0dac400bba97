//! Who is in, at hand for rosters: brought up to date from the database, never decided upon alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use tidegate_proto::policy::{Class, Policy, Subject};
use tidegate_proto::{
    BoundedSet, Digest, Genesis, NodeId, NodeName, Prefix, Revision, Role, Sequence, Tag, UnixTime,
};

use super::NodeStatus;
use super::authority::Trust;
use super::pieces::Element;
use super::policies::InForce;
use crate::store::node::{Node, WithCertificate};
use crate::store::{Connection, StoreError, node};

/// What a roster looks at in a node.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) name: NodeName,
    roles: BoundedSet<Role, 8>,
    tags: BoundedSet<Tag, 32>,
    routes: BoundedSet<Prefix, 32>,
    addresses: [Prefix; 2],
    pub(crate) digest: Digest,
    /// Its certificate, as everybody is told it.
    pub(crate) certificate: Element,
    pub(crate) not_after: UnixTime,
    /// Whether it is in: with a certificate, and neither revoked nor suspended.
    pub(crate) is_in: bool,
    pub(crate) changed: Sequence,
    pub(crate) described: Sequence,
}

impl Member {
    pub(crate) fn subject<'a>(&'a self, genesis: &'a Genesis) -> Subject<'a> {
        Subject {
            name: &self.name,
            roles: &self.roles,
            tags: &self.tags,
            addresses: self.addresses,
            routes: &self.routes,
            genesis,
        }
    }

    /// What the directory holds of a node; nothing of one that never had an address.
    fn of(
        WithCertificate {
            node,
            digest,
            certificate,
        }: WithCertificate,
    ) -> Result<Option<Self>, StoreError> {
        let Some((ipv4, ipv6)) = node.ipv4.zip(node.ipv6) else {
            return Ok(None);
        };
        let is_in = node.status == NodeStatus::Allowed;
        let Node {
            node,
            name,
            roles,
            tags,
            routes,
            changed,
            described,
            ..
        } = node;
        Ok(Some(Self {
            node,
            name,
            roles,
            tags,
            routes,
            addresses: [Prefix::host(ipv4.into()), Prefix::host(ipv6.into())],
            digest,
            not_after: certificate.1,
            certificate: Element::of(&certificate.0)?,
            is_in,
            changed,
            described,
        }))
    }
}

/// A map that shares with its clones all that is the same: a revocation waits for the next directory, whatever else it
/// holds.
type Shared<K, V> = RedBlackTreeMapSync<K, V>;

/// Everybody who is in or was, as of a roster version, and whom the policy lets talk.
#[derive(Clone, Default)]
pub(crate) struct Directory {
    pub(crate) version: Sequence,
    nodes: Shared<NodeId, Arc<Member>>,
    changes: Shared<Sequence, NodeId>,
    reach: Reach,
}

/// Nodes by what the policy sees of them: a network has few kinds of nodes, however many nodes it has.
#[derive(Clone, Default)]
struct Reach {
    /// Under which policy and which genesis.
    under: (Option<Sequence>, Option<Revision>),
    class_of: Shared<NodeId, Arc<Class>>,
    members: BTreeMap<Arc<Class>, Arc<BTreeSet<NodeId>>>,
}

impl Directory {
    /// The directory at `version`, which is now, from the one before.
    pub(super) async fn bring_up(
        moment: &mut Connection,
        before: Option<&Self>,
        version: Sequence,
        trust: &Trust,
        policy: Option<&Arc<InForce>>,
    ) -> Result<Self, StoreError> {
        let mut fresh = before.cloned().unwrap_or_default();
        let genesis = trust.chain.genesis();
        let under = (policy.map(|policy| policy.version), Some(trust.revision()));
        let policy = policy.map(|in_force| &in_force.policy);
        for changed in node::changed_since(moment, fresh.version).await? {
            fresh.put(changed, policy, genesis)?;
        }
        fresh.version = version;
        if fresh.reach.under != under {
            fresh.reach = Reach::of(&fresh.nodes, policy, genesis, under);
        }
        Ok(fresh)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.nodes.values().filter(|member| member.is_in)
    }

    /// A node that is in or was.
    pub(crate) fn node(&self, node: NodeId) -> Option<&Arc<Member>> {
        self.nodes.get(&node)
    }

    /// Those that changed behind `version`.
    pub(crate) fn changed_since(&self, version: Sequence) -> impl Iterator<Item = &Arc<Member>> {
        let behind = (
            std::ops::Bound::Excluded(version),
            std::ops::Bound::Unbounded,
        );
        self.changes
            .range(behind)
            .filter_map(|(_, node)| self.nodes.get(node))
    }

    /// Whether the policy lets two nodes talk. Without a policy nobody may.
    pub(crate) fn permits(&self, a: &Member, b: &Member) -> bool {
        let (class, other) = (
            self.reach.class_of.get(&a.node),
            self.reach.class_of.get(&b.node),
        );
        a.node != b.node
            && class
                .zip(other)
                .is_some_and(|(class, other)| class.meets(other))
    }

    /// Everybody whom the policy lets talk to `member`, in or not, in the order of ids.
    pub(crate) fn reach_of(&self, member: &Member) -> Vec<&Arc<Member>> {
        let Some(class) = self.reach.class_of.get(&member.node) else {
            return Vec::new();
        };
        let met = self
            .reach
            .members
            .iter()
            .filter(|(other, _)| class.meets(other));
        let mut reached: Vec<_> = met
            .flat_map(|(_, nodes)| nodes.iter())
            .filter(|node| **node != member.node)
            .filter_map(|node| self.nodes.get(node))
            .collect();
        reached.sort_unstable_by_key(|peer| peer.node);
        reached
    }

    fn put(
        &mut self,
        changed: WithCertificate,
        policy: Option<&Policy>,
        genesis: &Genesis,
    ) -> Result<(), StoreError> {
        let Some(member) = Member::of(changed)? else {
            return Ok(());
        };
        if let Some(before) = self.nodes.get(&member.node) {
            self.changes.remove_mut(&before.changed);
        }
        self.changes.insert_mut(member.changed, member.node);
        self.reach.put(&member, policy, genesis);
        self.nodes.insert_mut(member.node, Arc::new(member));
        Ok(())
    }
}

impl Reach {
    fn of(
        nodes: &Shared<NodeId, Arc<Member>>,
        policy: Option<&Policy>,
        genesis: &Genesis,
        under: (Option<Sequence>, Option<Revision>),
    ) -> Self {
        let mut reach = Self {
            under,
            ..Self::default()
        };
        for member in nodes.values() {
            reach.put(member, policy, genesis);
        }
        reach
    }

    fn put(&mut self, member: &Member, policy: Option<&Policy>, genesis: &Genesis) {
        self.remove(member.node);
        let class = policy.map(|policy| policy.class_of(&member.subject(genesis)));
        let Some(class) = class.filter(|class| !class.is_nobody()) else {
            return;
        };
        let shared = self.members.get_key_value(&class);
        let class =
            shared.map_or_else(|| Arc::new(class.clone()), |(shared, _)| Arc::clone(shared));
        let nodes = self.members.entry(Arc::clone(&class)).or_default();
        Arc::make_mut(nodes).insert(member.node);
        self.class_of.insert_mut(member.node, class);
    }

    fn remove(&mut self, node: NodeId) {
        let Some(class) = self.class_of.get(&node).cloned() else {
            return;
        };
        self.class_of.remove_mut(&node);
        if let Some(nodes) = self.members.get_mut(&class) {
            Arc::make_mut(nodes).remove(&node);
            if nodes.is_empty() {
                self.members.remove(&class);
            }
        }
    }
}
