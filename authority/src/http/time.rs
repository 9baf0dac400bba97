//! What time it is.

use axum::http::Method;
use tidegate_proto::api::TimeQuestion;
use tidegate_proto::{Signed, TimeStatement};

use super::answer::Json;
use super::app::App;
use super::door::Public;
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::POST,
        "/v1/time",
        "What time it is, signed over the asker's nonce",
        tell,
    )]
}

async fn tell(
    app: App,
    asked: Public<TimeQuestion>,
) -> Result<Json<Signed<TimeStatement>>, Refusal> {
    Ok(Json(app.authority().time_statement(asked.body.nonce)?))
}
