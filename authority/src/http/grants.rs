//! A node's keys to the epochs.

use axum::http::Method;
use tidegate_proto::BoundedList;
use tidegate_proto::api::Grants;

use super::answer::Json;
use super::app::App;
use super::door::ByMember;
use super::problem::Refusal;
use super::route::{Route, route};
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/v1/grants",
        "The grants that the node may hold now",
        grants,
    )]
}

async fn grants(app: App, ByMember(asked): ByMember) -> Result<Json<Grants>, Refusal> {
    let grants = app.authority().grants(asked.node).await?;
    let grants = BoundedList::new(grants).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(Grants { grants }))
}
