//! Whom a node may talk to.

use axum::http::Method;
use tidegate_proto::api::RosterUpdate;

use super::answer::Prepared;
use super::app::App;
use super::door::ByMember;
use super::param::SinceQuery;
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/v1/roster",
        "Whom the node may talk to: what changed behind a version, or all",
        roster,
    )]
}

async fn roster(
    app: App,
    ByMember(asked): ByMember<(), SinceQuery>,
) -> Result<Prepared<RosterUpdate>, Refusal> {
    let update = app
        .authority()
        .roster(asked.node, asked.query.since)
        .await?;
    Ok(Prepared::in_pieces(update))
}
