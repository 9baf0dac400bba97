//! Whether the process lives, whether it can work, and what it measures.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, Response, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tidegate_proto::{Nonce, UnixTime};

use super::answer::{Answer, Json, Media, Text};
use super::app::App;
use super::door::Public;
use super::problem::Refusal;
use super::route::{Route, route};
use super::schema::Schemas;
use crate::service::Coded as _;

/// How long an answer about readiness is good: nobody makes the disk work by asking.
const GOOD_FOR: Duration = Duration::from_secs(3);
/// The same for an answer that something is amiss, which may end any moment.
const BAD_FOR: Duration = Duration::from_secs(1);
/// This program was made after this.
const PAST: UnixTime = UnixTime::from_millis(1_760_000_000_000);

/// Asks for the time, to see whether the keys sign.
const PROBE: Nonce = Nonce::from_bytes([0; 16]);

/// How the authority is.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Health {
    /// Whether all is well.
    pub(crate) ok: bool,
    /// What was looked at.
    pub(crate) checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What.
    pub(crate) name: &'static str,
    /// Whether it is well.
    pub(crate) ok: bool,
    /// If not, why: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/healthz", "Whether the process lives", lives),
        route(
            Method::GET,
            "/readyz",
            "Whether the authority can do its work, and if not, why",
            ready,
        ),
        route(
            Method::GET,
            "/metrics",
            "Measurements for Prometheus",
            metrics,
        ),
    ]
}

async fn lives(_: App, _: Public) -> Result<Json<Health>, Refusal> {
    Ok(Json(Health {
        ok: true,
        checks: Vec::new(),
    }))
}

/// The answer about readiness: 200, or 503 with the reasons.
struct Readiness(Arc<Health>);

impl Answer for Readiness {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "it can work; with 503 it cannot, and the body says why";

    fn respond(self) -> Response<Body> {
        let mut response = Json(&*self.0).plain();
        if !self.0.ok {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response
    }

    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Json::<Health>::describe(schemas)
    }

    fn failure(schemas: &mut Schemas) -> Option<(StatusCode, &'static str, Value)> {
        let (media, schema) = Self::describe(schemas)?;
        Some((StatusCode::SERVICE_UNAVAILABLE, media, schema))
    }
}

async fn ready(app: App, _: Public) -> Result<Readiness, Refusal> {
    let mut last = app.readiness().lock().await;
    if let Some((at, health)) = &*last
        && at.elapsed() < if health.ok { GOOD_FOR } else { BAD_FOR }
    {
        return Ok(Readiness(Arc::clone(health)));
    }
    let health = Arc::new(examine(&app).await);
    app.metrics().is_ready(health.ok);
    *last = Some((Instant::now(), Arc::clone(&health)));
    Ok(Readiness(health))
}

async fn examine(app: &App) -> Health {
    let authority = app.authority();
    let now = authority.clock().now();
    let written = authority.store().check_writable().await;
    let written = written.map_err(|error| error.code());
    let signed = authority.time_statement(PROBE);
    let epoch = match authority.epochs().await {
        Ok(epochs) if epochs.iter().any(|one| one.starts <= now && now < one.ends) => Ok(()),
        Ok(_) => Err("no-epoch"),
        Err(error) => Err(error.code()),
    };
    let clock = (now > PAST).then_some(()).ok_or("clock-in-the-past");
    let running = (!*app.stopping().borrow()).then_some(()).ok_or("stopping");
    let checks = vec![
        check("database", written),
        check("clock", clock),
        check("keys", signed.map(drop).map_err(|error| error.code())),
        check("epoch", epoch),
        check("running", running),
    ];
    Health {
        ok: checks.iter().all(|check| check.ok),
        checks,
    }
}

fn check(name: &'static str, outcome: Result<(), &'static str>) -> Check {
    Check {
        name,
        ok: outcome.is_ok(),
        reason: outcome.err(),
    }
}

/// Prometheus' media type.
pub(super) enum OpenMetrics {}

impl Media for OpenMetrics {
    const NAME: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
}

async fn metrics(app: App, _: Public) -> Result<Text<OpenMetrics>, Refusal> {
    if app.serves_metrics() {
        Ok(Text::new(app.measure().await?))
    } else {
        let detail = "metrics have an address of their own; see [metrics] in authority.toml";
        Err(Refusal::new(StatusCode::NOT_FOUND, "not-here", detail))
    }
}
