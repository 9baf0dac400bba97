//! Nodes, and what operators decide over them.

use axum::http::Method;
use tidegate_proto::api::{
    Approval, Decision, NodeView, Nodes, RevocationStatus, Revoke as PutOut,
};
use tidegate_proto::{BoundedList, Certificate, NodeId, RevocationKind, Signed};

use super::answer::{Done, Json};
use super::app::App;
use super::door::{Approve, ByOperator, Deny, Reinstate, Revoke, Suspend, ViewNodes};
use super::param::{Limit, NodeQuery};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::{Caller, NodeFilter, NodeRef};
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/v1/nodes", "The nodes, page by page", list),
        route(
            Method::GET,
            "/v1/nodes/{node}",
            "One node, by id or name",
            show,
        ),
        route(
            Method::POST,
            "/v1/nodes/{node}/approve",
            "Lets a waiting node in",
            approve,
        ),
        route(
            Method::POST,
            "/v1/nodes/{node}/deny",
            "Turns a waiting node away",
            deny,
        ),
        route(
            Method::POST,
            "/v1/nodes/{node}/revoke",
            "Puts a node out for good",
            revoke,
        ),
        route(
            Method::POST,
            "/v1/nodes/{node}/suspend",
            "Puts a node out for now",
            suspend,
        ),
        route(
            Method::POST,
            "/v1/nodes/{node}/reinstate",
            "Ends a suspension, or lets a node come back with new keys",
            reinstate,
        ),
    ]
}

async fn list(
    app: App,
    asked: ByOperator<ViewNodes, (), (), NodeQuery>,
) -> Result<Json<Nodes>, Refusal> {
    let limit = asked.query.limit.map_or(Limit::MOST, |limit| limit.0);
    let filter = NodeFilter {
        status: asked.query.status,
        after: asked.query.after,
        limit: Some(limit),
    };
    let nodes = app.authority().nodes(filter).await?;
    let full = nodes.len() >= limit as usize;
    let next = nodes.last().filter(|_| full).map(|node| node.node);
    let nodes = BoundedList::new(nodes).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(Nodes { nodes, next }))
}

async fn show(
    app: App,
    asked: ByOperator<ViewNodes, (), NodeRef>,
) -> Result<Json<NodeView>, Refusal> {
    Ok(Json(app.authority().node(&asked.path).await?))
}

async fn approve(
    app: App,
    asked: ByOperator<Approve, Approval, NodeRef>,
) -> Result<Json<Signed<Certificate>>, Refusal> {
    let node = named(&app, &asked.path).await?;
    let certificate = app
        .authority()
        .approve(node, asked.body, asked.caller)
        .await?;
    app.metrics().enrolled("approved");
    Ok(Json(certificate))
}

async fn deny(app: App, asked: ByOperator<Deny, Decision, NodeRef>) -> Result<Done, Refusal> {
    let node = named(&app, &asked.path).await?;
    app.authority()
        .deny(node, asked.body.reason, asked.caller)
        .await?;
    app.metrics().enrolled("denied");
    Ok(Done)
}

async fn revoke(
    app: App,
    asked: ByOperator<Revoke, Decision, NodeRef>,
) -> Result<Json<RevocationStatus>, Refusal> {
    put_out(
        app,
        &asked.path,
        RevocationKind::Revoked,
        asked.body,
        asked.caller,
    )
    .await
}

async fn suspend(
    app: App,
    asked: ByOperator<Suspend, Decision, NodeRef>,
) -> Result<Json<RevocationStatus>, Refusal> {
    put_out(
        app,
        &asked.path,
        RevocationKind::Suspended,
        asked.body,
        asked.caller,
    )
    .await
}

async fn put_out(
    app: App,
    node: &NodeRef,
    kind: RevocationKind,
    decision: Decision,
    caller: Caller,
) -> Result<Json<RevocationStatus>, Refusal> {
    let node = named(&app, node).await?;
    let reason = decision.reason;
    let status = app
        .authority()
        .revoke(node, PutOut { kind, reason }, caller)
        .await?;
    app.metrics().put_out(kind);
    Ok(Json(status))
}

async fn reinstate(
    app: App,
    asked: ByOperator<Reinstate, Decision, NodeRef>,
) -> Result<Done, Refusal> {
    let node = named(&app, &asked.path).await?;
    app.authority()
        .reinstate(node, asked.body.reason, asked.caller)
        .await?;
    Ok(Done)
}

/// The id of the node that is meant.
async fn named(app: &App, node: &NodeRef) -> Result<NodeId, Refusal> {
    match node {
        NodeRef::Id(id) => Ok(*id),
        NodeRef::Name(_) => Ok(app.authority().node(node).await?.node),
    }
}
