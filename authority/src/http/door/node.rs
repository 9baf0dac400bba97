//! The door for nodes.

use std::net::SocketAddr;

use axum::http::HeaderMap;
use serde_json::Value;
use tidegate_proto::NodeId;

use super::visit::{self, Asked, Visit};
use super::{Door, Need};
use crate::http::app::App;
use crate::http::body::FromBody;
use crate::http::param::Query;
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;
use crate::service::{AccessError, Actor, Caller, NodeStatus, ReadError};

/// A request signed by a node that is known, however it stands.
pub(crate) struct ByNode<B = (), Q = ()> {
    pub(in crate::http) node: NodeId,
    pub(in crate::http) status: NodeStatus,
    pub(in crate::http) caller: Caller,
    pub(in crate::http) body: B,
    pub(in crate::http) query: Q,
    pub(in crate::http) source: SocketAddr,
    pub(in crate::http) headers: HeaderMap,
}

/// A request signed by a node that is in.
pub(crate) struct ByMember<B = (), Q = ()>(pub(in crate::http) ByNode<B, Q>);

impl<B: FromBody, Q: Query> Door for ByNode<B, Q> {
    const NEED: Need = Need::Node;

    async fn pass(app: &App, visit: &mut Visit) -> Result<Self, Refusal> {
        let signature = visit.signature()?;
        let origin = visit.origin(app)?;
        let claim = app.authority().claimed_node(signature.key).await?;
        let claim = claim.ok_or_else(|| visit.unknown(app, signature.key))?;
        if !claim.is_in() {
            visit.pay_as_stranger(app)?; // who waits or is out counts as one
        }
        visit.read(app, B::LIMIT).await?;
        let caller = visit.prove(app, &claim, &signature, &origin)?;
        let (Actor::Node(node), Some(status)) = (&caller.actor, claim.status) else {
            return Err(AccessError::NotOperator.into()); // it is always a node that is known
        };
        let Asked::<B, (), Q> { body, query, .. } = visit.asked().await?;
        Ok(Self {
            node: *node,
            status,
            caller,
            body,
            query,
            source: visit.source,
            headers: visit.headers().clone(),
        })
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<(), Q>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}

impl<B: FromBody, Q: Query> Door for ByMember<B, Q> {
    const NEED: Need = Need::Member;

    async fn pass(app: &App, visit: &mut Visit) -> Result<Self, Refusal> {
        let entered = ByNode::<B, Q>::pass(app, visit).await?;
        match entered.status {
            NodeStatus::Allowed | NodeStatus::Offline => Ok(Self(entered)),
            status => Err(ReadError::NotMember(status).into()),
        }
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<(), Q>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}
