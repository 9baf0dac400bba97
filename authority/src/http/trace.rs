//! One log line per request, under an id of its own. Never a token, never a body.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use tidegate_proto::Label;
use tracing::Instrument as _;

use super::app::App;

/// A request's id: where it came in the life of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestId(u64);

impl RequestId {
    fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The id, as refusals tell it.
    pub(super) fn label(&self) -> Option<Label> {
        self.to_string().parse().ok()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "r{}-{}", std::process::id(), self.0)
    }
}

/// Which route a request took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken(pub(super) &'static str);

/// Logs and measures a request.
pub(super) async fn request(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id = RequestId::next();
    request.extensions_mut().insert(id);
    let begun = Instant::now();
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method);
    let response = next.run(request).instrument(span.clone()).await;
    let Taken(route) = response
        .extensions()
        .get()
        .copied()
        .unwrap_or(Taken("none"));
    let took = begun.elapsed();
    let status = response.status();
    app.metrics()
        .answered(route, method.as_str(), status.as_u16(), took);
    let _entered = span.enter();
    let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if status == StatusCode::TOO_MANY_REQUESTS {
        tracing::debug!(route, status = 429, took_us, "answered"); // who asks too often does not fill the log
    } else {
        tracing::info!(route, status = status.as_u16(), took_us, "answered");
    }
    response
}
