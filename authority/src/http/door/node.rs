//! The door for nodes.

use std::net::SocketAddr;

use axum::extract::Request;
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

    async fn enter(app: &App, request: Request) -> Result<Self, Refusal> {
        let mut visit = Visit::begin(app, request)?;
        let signature = visit.signature(app)?;
        let origin = visit.origin(app)?;
        visit.read(app, B::LIMIT).await?;
        let from = Some(visit.source.ip());
        let parts = visit.signed(app, &origin);
        let known = app
            .authority()
            .authenticate_node(&signature, &parts, from)
            .await;
        let (caller, status) = known.map_err(|error| visit.refuse(app, error, Some(&signature)))?;
        let Actor::Node(node) = caller.actor else {
            return Err(AccessError::NotOperator.into()); // it is always a node
        };
        if matches!(status, NodeStatus::Allowed | NodeStatus::Offline) {
            app.is_known(visit.source.ip(), &caller.actor)?; // who waits or is out counts as a stranger
        }
        let Asked::<B, (), Q> { body, query, .. } = visit.asked().await?;
        Ok(Self {
            node,
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

    async fn enter(app: &App, request: Request) -> Result<Self, Refusal> {
        let entered = ByNode::<B, Q>::enter(app, request).await?;
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
