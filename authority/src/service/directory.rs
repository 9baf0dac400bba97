//! Who is in, at hand for rosters: brought up to date from the database, never decided upon alone.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tidegate_proto::policy::Subject;
use tidegate_proto::{
    BoundedSet, Digest, Genesis, NodeId, NodeName, Prefix, Role, Sequence, Serial, Tag, UnixTime,
};

use super::{Authority, NodeStatus};
use crate::store::node::Node;
use crate::store::{Connection, StoreError, certificate, counter, node};

/// What a roster looks at in a node.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) node: NodeId,
    pub(crate) name: NodeName,
    roles: BoundedSet<Role, 8>,
    tags: BoundedSet<Tag, 32>,
    routes: BoundedSet<Prefix, 32>,
    addresses: [Prefix; 2],
    pub(crate) serial: Serial,
    pub(crate) certificate: Digest,
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
}

/// Everybody who is in or was, as of a roster version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) version: Sequence,
    nodes: BTreeMap<NodeId, Arc<Member>>,
    changes: BTreeMap<Sequence, NodeId>,
}

impl Directory {
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

    fn put(&mut self, member: Member) {
        if let Some(before) = self.nodes.get(&member.node) {
            self.changes.remove(&before.changed);
        }
        self.version = self.version.max(member.changed);
        self.changes.insert(member.changed, member.node);
        self.nodes.insert(member.node, Arc::new(member));
    }
}

impl Authority {
    /// The directory, as of now.
    pub(super) async fn directory(&self) -> Result<Arc<Directory>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let version: Sequence = counter::last(&mut connection, "roster")
            .await?
            .unwrap_or_default();
        let held = Arc::clone(
            &self
                .0
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        );
        if held.version >= version {
            return Ok(held);
        }
        let mut fresh = (*held).clone();
        for node in node::changed_since(&mut connection, held.version).await? {
            if let Some(member) = member(&mut connection, &node).await? {
                fresh.put(member);
            }
        }
        fresh.version = fresh.version.max(version);
        let fresh = Arc::new(fresh);
        let mut held = self
            .0
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if held.version < fresh.version {
            *held = Arc::clone(&fresh);
        }
        Ok(fresh)
    }
}

/// What the directory holds of a node; nothing of one that was never in.
async fn member(connection: &mut Connection, node: &Node) -> Result<Option<Member>, StoreError> {
    let Some(((serial, not_after), (ipv4, ipv6))) = node
        .serial
        .zip(node.not_after)
        .zip(node.ipv4.zip(node.ipv6))
    else {
        return Ok(None);
    };
    let Some(certificate) = certificate::digest(connection, serial).await? else {
        return Ok(None);
    };
    Ok(Some(Member {
        node: node.node,
        name: node.name.clone(),
        roles: node.roles.clone(),
        tags: node.tags.clone(),
        routes: node.routes.clone(),
        addresses: [Prefix::host(ipv4.into()), Prefix::host(ipv6.into())],
        serial,
        certificate,
        not_after,
        is_in: node.status == NodeStatus::Allowed,
        changed: node.changed,
        described: node.described,
    }))
}
