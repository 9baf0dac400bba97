//! Revocations: what was decided, who has confirmed it, and by when everybody has stopped.

use axum::http::Method;
use tidegate_proto::api::{RevocationReport, Revocations};
use tidegate_proto::{BoundedList, Sequence};

use super::answer::Json;
use super::app::App;
use super::door::{ByOperator, ViewRevocations};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::ReadError;
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v1/revocations",
            "The latest revocations",
            list,
        ),
        route(
            Method::GET,
            "/v1/revocations/{sequence}",
            "One revocation: who has confirmed it, who has not, and the bound",
            show,
        ),
    ]
}

async fn list(app: App, _: ByOperator<ViewRevocations>) -> Result<Json<Revocations>, Refusal> {
    let revocations = BoundedList::new(app.authority().revocations().await?)
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(Revocations { revocations }))
}

async fn show(
    app: App,
    asked: ByOperator<ViewRevocations, (), Sequence>,
) -> Result<Json<RevocationReport>, Refusal> {
    let all = app.authority().revocations().await?;
    let mut all = all.into_iter();
    let revocation = all
        .find(|one| one.list == asked.path)
        .ok_or(ReadError::NoRevocation)?;
    let status = app.authority().revocation(asked.path).await?;
    Ok(Json(RevocationReport { revocation, status }))
}
