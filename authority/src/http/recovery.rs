//! After a restored backup: what nodes still know, and the end of waiting for it.

use axum::http::Method;
use tidegate_proto::api::{Override, Recovered, Recovery, RecoveryView};

use super::answer::{Done, Json};
use super::app::App;
use super::door::{ByNewcomer, ByOperator, OverrideRecovery, ViewNodes};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::RecoveryError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/v1/recovery",
            "Tells a restored authority what the node still has of before",
            report,
        ),
        route(
            Method::GET,
            "/v1/recovery",
            "How the recovery stands, if there is one",
            show,
        ),
        route(
            Method::POST,
            "/v1/recovery/override",
            "Ends the recovery though not every node was heard",
            end,
        ),
    ]
}

async fn report(app: App, asked: ByNewcomer<Recovery>) -> Result<Json<Recovered>, Refusal> {
    Ok(Json(
        app.authority().recover(asked.body, asked.caller).await?,
    ))
}

async fn show(app: App, _: ByOperator<ViewNodes>) -> Result<Json<RecoveryView>, Refusal> {
    let recovery = app.authority().recovery().await?;
    Ok(Json(recovery.ok_or(RecoveryError::NotRecovering)?))
}

async fn end(app: App, asked: ByOperator<OverrideRecovery, Override>) -> Result<Done, Refusal> {
    app.authority()
        .override_recovery(asked.body.reason, asked.caller)
        .await?;
    Ok(Done)
}
