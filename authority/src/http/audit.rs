//! The audit log: page by page, and whole for verification elsewhere.

use std::io;

use axum::body::Body;
use axum::http::Method;
use futures_util::stream;
use tidegate_proto::BoundedList;
use tidegate_proto::api::AuditPage;

use super::answer::{Json, JsonLines};
use super::app::App;
use super::door::{ByOperator, ViewAudit};
use super::param::{Limit, LogQuery};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::store::StoreError;

/// Records on a page, unless fewer are asked for.
const PAGE: u32 = 500;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(
            Method::GET,
            "/v1/audit",
            "The audit log, page by page, or its end",
            page,
        ),
        route(
            Method::GET,
            "/v1/audit/export",
            "The whole audit log under a fresh checkpoint, to be verified offline",
            export,
        ),
    ]
}

async fn page(
    app: App,
    asked: ByOperator<ViewAudit, (), (), LogQuery>,
) -> Result<Json<AuditPage>, Refusal> {
    if let Some(last) = asked.query.last {
        return end(&app, last).await;
    }
    let limit = asked.query.limit.map_or(PAGE, |limit| limit.0).min(PAGE);
    let after = asked.query.after.unwrap_or_default();
    let records = app.authority().audit(after, Some(limit)).await?;
    let full = records.len() >= limit as usize;
    let next = records.last().filter(|_| full);
    let next = next.map(|last| last.record.sequence);
    let records =
        BoundedList::new(records).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(AuditPage { records, next }))
}

/// The end of the log, behind which there is nothing yet.
async fn end(app: &App, last: Limit) -> Result<Json<AuditPage>, Refusal> {
    let records = app.authority().audit_end(last.0).await?;
    let records =
        BoundedList::new(records).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(AuditPage {
        records,
        next: None,
    }))
}

async fn export(app: App, asked: ByOperator<ViewAudit>) -> Result<JsonLines, Refusal> {
    let place = app.stream_place(&asked.caller.actor)?;
    let export = app.authority().export_audit().await?;
    let lines = stream::try_unfold((export, place), |(mut export, place)| async move {
        let lines = export.next().await;
        let lines = lines.map_err(|error| io::Error::other(error.to_string()))?; // which cuts the export off
        Ok::<_, io::Error>(lines.map(|lines| (lines, (export, place))))
    });
    Ok(JsonLines::new(Body::from_stream(lines)))
}
