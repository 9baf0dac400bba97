//! Invites.

use axum::http::Method;
use tidegate_proto::InviteId;
use tidegate_proto::api::{Invites, MadeInvite, NewInvite};

use super::answer::{Created, Done, Json};
use super::app::App;
use super::door::{ByOperator, MakeInvite, RevokeInvite, ViewInvites};
use super::problem::Refusal;
use super::route::{Route, route};

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::POST, "/v1/invites", "Makes an invite", make),
        route(
            Method::GET,
            "/v1/invites",
            "The invites, without their tokens",
            list,
        ),
        route(
            Method::DELETE,
            "/v1/invites/{id}",
            "Takes an invite back",
            revoke,
        ),
    ]
}

async fn make(
    app: App,
    asked: ByOperator<MakeInvite, NewInvite>,
) -> Result<Created<MadeInvite>, Refusal> {
    let made = app.authority().new_invite(asked.body, asked.caller).await?;
    Ok(Created(MadeInvite {
        invite: made.invite.expose().into(),
        view: made.view,
    }))
}

async fn list(app: App, _: ByOperator<ViewInvites>) -> Result<Json<Invites>, Refusal> {
    Ok(Json(app.authority().invites().await?.into()))
}

async fn revoke(app: App, asked: ByOperator<RevokeInvite, (), InviteId>) -> Result<Done, Refusal> {
    app.authority()
        .revoke_invite(asked.path, asked.caller)
        .await?;
    Ok(Done)
}
