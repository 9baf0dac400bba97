//! API tokens.

use axum::http::Method;
use tidegate_proto::TokenId;
use tidegate_proto::api::{MadeToken, NewToken, Tokens};

use super::answer::{Created, Done, Json};
use super::app::App;
use super::door::{ByOperator, MakeToken, RevokeToken, ViewTokens};
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/v1/tokens", "Makes an API token", make),
        route(
            Method::GET,
            "/v1/tokens",
            "The API tokens, without their secrets",
            list,
        ),
        route(
            Method::DELETE,
            "/v1/tokens/{id}",
            "Takes an API token back",
            revoke,
        ),
    ]
}

async fn make(
    app: App,
    asked: ByOperator<MakeToken, NewToken>,
) -> Result<Created<MadeToken>, Refusal> {
    let made = app.authority().new_token(asked.body, asked.caller).await?;
    Ok(Created(MadeToken {
        token: made.token.expose().into(),
        view: made.view,
    }))
}

async fn list(app: App, _: ByOperator<ViewTokens>) -> Result<Json<Tokens>, Refusal> {
    Ok(Json(app.authority().tokens().await?.into()))
}

async fn revoke(app: App, asked: ByOperator<RevokeToken, (), TokenId>) -> Result<Done, Refusal> {
    app.authority()
        .revoke_token(asked.path, asked.caller)
        .await?;
    Ok(Done)
}
