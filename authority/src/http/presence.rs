//! What nodes say of themselves: that they are there, where they are found, what they have applied.

use axum::http::Method;
use tidegate_proto::api::{Heartbeat, HeartbeatReply};
use tidegate_proto::{PeerRecord, Receipt, Signed};

use super::answer::{Done, Json};
use super::app::App;
use super::door::ByMember;
use super::gate::Kind;
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/v1/heartbeat",
            "Says how a node is, and asks for the time",
            heartbeat,
        ),
        route(
            Method::PUT,
            "/v1/record",
            "Says where a node is found",
            record,
        ),
        route(
            Method::POST,
            "/v1/receipts",
            "Confirms that a revocation list is applied",
            receipt,
        ),
    ]
}

async fn heartbeat(
    app: App,
    ByMember(asked): ByMember<Heartbeat>,
) -> Result<Json<HeartbeatReply>, Refusal> {
    if asked.body.record.is_some() {
        app.take_known(asked.source.ip(), &asked.caller.actor, Kind::Record)?;
    }
    let reply = app
        .authority()
        .heartbeat(asked.node, asked.body, Some(asked.source), asked.caller)
        .await?;
    app.metrics().heard();
    Ok(Json(reply))
}

async fn record(app: App, ByMember(asked): ByMember<Signed<PeerRecord>>) -> Result<Done, Refusal> {
    app.take_known(asked.source.ip(), &asked.caller.actor, Kind::Record)?;
    app.authority()
        .put_record(asked.node, asked.body, Some(asked.source), asked.caller)
        .await?;
    app.metrics().recorded();
    Ok(Done)
}

async fn receipt(app: App, ByMember(asked): ByMember<Signed<Receipt>>) -> Result<Done, Refusal> {
    app.authority()
        .put_receipt(asked.node, asked.body, asked.caller)
        .await?;
    app.metrics().confirmed();
    Ok(Done)
}
