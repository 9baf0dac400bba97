//! The policy: signed for nodes, as a file for operators.

use axum::http::Method;
use tidegate_proto::api::{PolicyInForce, PolicyProposal, PolicyReport, PolicyText};
use tidegate_proto::policy::{Policy, PolicyFile};
use tidegate_proto::{BoundedList, Signed};

use super::answer::Json;
use super::app::App;
use super::door::{ByMember, ByOperator, ChangePolicy, CheckPolicy, ViewPolicy};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::PolicyChangeError;
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v1/policy",
            "The policy in force, signed",
            signed,
        ),
        route(
            Method::GET,
            "/v1/policy/file",
            "The policy in force, as people write it",
            file,
        ),
        route(
            Method::PUT,
            "/v1/policy/file",
            "Puts a policy in force",
            put,
        ),
        route(
            Method::POST,
            "/v1/policy/check",
            "What a policy would do; nothing changes",
            check,
        ),
    ]
}

async fn signed(app: App, _: ByMember) -> Result<Json<Signed<Policy>>, Refusal> {
    Ok(Json(app.authority().policy().await?))
}

async fn file(app: App, _: ByOperator<ViewPolicy>) -> Result<Json<PolicyText>, Refusal> {
    let policy = app.authority().policy_document().await?;
    Ok(Json(PolicyText {
        version: policy.version,
        file: PolicyFile::render(&policy),
    }))
}

async fn put(
    app: App,
    asked: ByOperator<ChangePolicy, PolicyProposal>,
) -> Result<Json<PolicyInForce>, Refusal> {
    let PolicyProposal { base, file } = asked.body;
    let signed = app.authority().put_policy(file, base, asked.caller).await?;
    let verified = signed
        .verify(&app.authority().keyring(), app.authority().clock().now())
        .map_err(|error| PolicyChangeError::Refused(error.to_string()))?;
    Ok(Json(PolicyInForce {
        version: verified.version,
        digest: signed.digest(),
    }))
}

async fn check(
    app: App,
    asked: ByOperator<CheckPolicy, PolicyProposal>,
) -> Result<Json<PolicyReport>, Refusal> {
    let check = app.authority().check_policy(&asked.body.file).await?;
    let isolated =
        BoundedList::new(check.isolated).map_err(|error| StoreError::Failed(error.to_string()))?;
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    Ok(Json(PolicyReport {
        rules: count(check.policy.rules.len()),
        operators: count(check.policy.operators.len()),
        isolated,
    }))
}
