//! What everybody may know: the genesis chain and who is out.

use axum::http::Method;
use tidegate_proto::{Genesis, RevocationList, Signed};

use super::answer::Json;
use super::app::App;
use super::door::Public;
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v1/genesis",
            "The genesis chain, the first revision first",
            chain,
        ),
        route(
            Method::GET,
            "/v1/revocations/list",
            "The revocation list in force",
            list,
        ),
    ]
}

async fn chain(app: App, _: Public) -> Result<Json<Vec<Signed<Genesis>>>, Refusal> {
    Ok(Json(app.authority().genesis_chain().await?))
}

async fn list(app: App, _: Public) -> Result<Json<Signed<RevocationList>>, Refusal> {
    Ok(Json(app.authority().revocation_list().await?))
}
