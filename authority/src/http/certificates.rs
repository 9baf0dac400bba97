//! The next certificate.

use axum::http::Method;
use tidegate_proto::api::Renew;
use tidegate_proto::{Certificate, Signed};

use super::answer::Json;
use super::app::App;
use super::door::ByNewcomer;
use super::enrollment::challenge;
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/v1/renew/challenge",
            "Asks for a challenge over a node's keys from now on",
            challenge,
        ),
        route(
            Method::POST,
            "/v1/renew",
            "Answers the challenge and asks for the next certificate",
            renew,
        ),
    ]
}

async fn renew(app: App, asked: ByNewcomer<Renew>) -> Result<Json<Signed<Certificate>>, Refusal> {
    let renewed = app
        .authority()
        .renew(asked.node, asked.body, asked.caller)
        .await?;
    app.metrics().renewed();
    Ok(Json(renewed))
}
