//! Nodes, as they are looked up and listed.

use tidegate_proto::{KeyId, NodeId, PublicKey};

use super::{Authority, NodeFilter, NodeRef, NodeStatus, NodeView, ReadError};
use crate::store::node::Node;
use crate::store::{Connection, StoreError, node, presence};

/// The most nodes on one page.
const LARGEST_PAGE: u32 = 1000;

impl Authority {
    /// Who signs with this key: the node, its identity key and how it stands.
    pub async fn identity(
        &self,
        key: KeyId,
    ) -> Result<Option<(NodeId, PublicKey, NodeStatus)>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let known = node::by_key(&mut connection, key).await?;
        Ok(known.map(|node| (node.node, node.identity, node.standing())))
    }

    /// The nodes, as far as `filter` lets them through.
    pub async fn nodes(&self, filter: NodeFilter) -> Result<Vec<NodeView>, ReadError> {
        let limit = filter.limit.unwrap_or(LARGEST_PAGE).min(LARGEST_PAGE);
        let mut connection = self.0.store.read().await?;
        let mut views = Vec::new();
        for node in node::page(&mut connection, filter.status, filter.after, limit).await? {
            views.push(self.shown(&mut connection, node).await?);
        }
        Ok(views)
    }

    /// One node.
    pub async fn node(&self, node: &NodeRef) -> Result<NodeView, ReadError> {
        let mut connection = self.0.store.read().await?;
        let found = match node {
            NodeRef::Id(id) => node::load(&mut connection, *id).await?,
            NodeRef::Name(name) => {
                let mut named = node::by_name(&mut connection, name).await?;
                if named.len() > 1 {
                    return Err(ReadError::Ambiguous);
                }
                named.pop()
            }
        };
        Ok(self
            .shown(&mut connection, found.ok_or(ReadError::NoNode)?)
            .await?)
    }

    /// How many nodes stand how; the offline ones count as allowed.
    pub async fn census(&self) -> Result<Vec<(NodeStatus, i64)>, StoreError> {
        let mut connection = self.0.store.read().await?;
        node::census(&mut connection).await
    }

    async fn shown(&self, connection: &mut Connection, node: Node) -> Result<NodeView, StoreError> {
        let presence = match self.heard(node.node) {
            Some(heard) => Some(heard),
            None => presence::load(connection, node.node).await?,
        };
        Ok(NodeView {
            status: node.standing(),
            node: node.node,
            name: node.name,
            reason: node.reason,
            since: node.since,
            identity: node.identity,
            wireguard: node.wireguard,
            sealing: node.sealing,
            roles: node.roles,
            tags: node.tags,
            wanted_routes: node.wanted_routes,
            routes: node.routes,
            ipv4: node.ipv4,
            ipv6: node.ipv6,
            serial: node.serial,
            not_after: node.not_after,
            enrolled_at: node.enrolled_at,
            presence,
        })
    }
}
