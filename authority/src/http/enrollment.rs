//! Coming in.

use axum::http::Method;
use tidegate_proto::api::{Enroll, Enrolled};
use tidegate_proto::{Challenge, NodeKeys};

use super::answer::Json;
use super::app::App;
use super::door::{ByNewcomer, ByNode};
use super::gate::Kind;
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::EnrollError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::POST,
            "/v1/enroll/challenge",
            "Asks for a challenge over a newcomer's keys",
            challenge,
        ),
        route(
            Method::POST,
            "/v1/enroll",
            "Answers the challenge and asks to come in, with an invite or without",
            enroll,
        ),
        route(
            Method::GET,
            "/v1/enroll",
            "What became of the enrolment",
            enrolled,
        ),
    ]
}

pub(super) async fn challenge(
    app: App,
    asked: ByNewcomer<NodeKeys>,
) -> Result<Json<Challenge>, Refusal> {
    let origin = asked.caller.origin.ok_or(EnrollError::NotPossessed)?;
    Ok(Json(app.authority().challenge(&asked.body, &origin).await?))
}

async fn enroll(app: App, asked: ByNewcomer<Enroll>) -> Result<Json<Enrolled>, Refusal> {
    if !asked.claim.is_in() {
        app.admit(asked.source, Kind::Enrollment)?;
    }
    let waits = asked.claim.status.is_none() && asked.body.token.is_none();
    if waits {
        app.admit(asked.source, Kind::Waiting)?;
    }
    let enrolled = app.authority().enroll(asked.body, asked.caller).await;
    if waits && enrolled.is_err() {
        app.give_back(asked.source, Kind::Waiting);
    }
    let enrolled = enrolled?;
    let outcome = match &enrolled {
        Enrolled::Admitted(_) => "admitted",
        Enrolled::Pending => "pending",
    };
    app.metrics().enrolled(outcome);
    Ok(Json(enrolled))
}

async fn enrolled(app: App, asked: ByNode) -> Result<Json<Enrolled>, Refusal> {
    Ok(Json(app.authority().enrolled(asked.node).await?))
}
