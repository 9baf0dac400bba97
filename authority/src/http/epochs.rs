//! Epochs, as operators see them.

use axum::http::Method;
use tidegate_proto::BoundedList;
use tidegate_proto::api::{EpochView, Epochs};

use super::answer::{Created, Json};
use super::app::App;
use super::door::{ByOperator, RotateEpoch, ViewEpochs};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/v1/epoch", "The epochs that count now", show),
        route(
            Method::POST,
            "/v1/epoch/rotate",
            "Starts a new epoch at once",
            rotate,
        ),
    ]
}

async fn show(app: App, _: ByOperator<ViewEpochs>) -> Result<Json<Epochs>, Refusal> {
    let epochs = BoundedList::new(app.authority().epochs().await?)
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(Epochs { epochs }))
}

async fn rotate(app: App, asked: ByOperator<RotateEpoch>) -> Result<Created<EpochView>, Refusal> {
    Ok(Created(app.authority().rotate(asked.caller).await?))
}
