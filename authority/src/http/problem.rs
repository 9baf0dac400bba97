//! Refusals, on their way out.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use tidegate_proto::api::{Explanation, Problem};
use tidegate_proto::{Signed, TimeStatement};

use super::app::App;
use super::trace::RequestId;
use crate::service::{Blame, Coded};

/// What a caller is told of a failure that is not its own.
const FAILED: &str =
    "the authority failed; try again, and if that does not help tell its operators the request id";

/// Why a request is not answered as it was meant. What a caller sees and what the log sees are two things.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    detail: String,
    time: Option<Box<Signed<TimeStatement>>>,
    retry_after: Option<u32>,
}

impl Refusal {
    /// A refusal of the HTTP layer's own.
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl std::fmt::Display,
    ) -> Self {
        Self {
            status,
            code,
            detail: detail.to_string(),
            time: None,
            retry_after: None,
        }
    }

    /// The caller has not shown who it is.
    pub(super) fn unproven(code: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// A request that cannot be right.
    pub(super) fn malformed(code: &'static str, detail: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// Too much from one place.
    pub(super) fn too_many(code: &'static str, retry_after: u32) -> Self {
        let detail = format!(
            "too many requests; wait {retry_after} s, or have the limits raised in authority.toml"
        );
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail)
        }
    }

    /// Too many newcomers from one place.
    pub(super) fn too_many_newcomers(retry_after: u32) -> Self {
        let detail = format!(
            "too many nodes without an invite came from this address lately; ask an operator for an invite, wait \
             {retry_after} s, or have 'waiting_per_day' raised in authority.toml"
        );
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-newcomers", detail)
        }
    }

    /// Others are served first; later there may be room.
    pub(super) fn busy(detail: &str, retry_after: u32) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
        }
    }

    /// A method that the target does not have.
    pub(super) fn not_allowed() -> Self {
        let detail = "the target has no such method; the Allow header names those that it has";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
    }

    /// With the time, for a caller whose clock is off.
    pub(super) fn with_time(mut self, time: Option<Signed<TimeStatement>>) -> Self {
        self.time = time.map(Box::new);
        self
    }

    /// Whether somebody tried to be who it is not, or took up room to no end. That its clock is off is neither.
    pub(super) fn is_failed_proof(&self) -> bool {
        match self.status {
            StatusCode::UNAUTHORIZED => self.time.is_none(),
            status => status == StatusCode::REQUEST_TIMEOUT,
        }
    }

    /// Whether it is the authority's own failure.
    pub(super) fn is_own_failure(&self) -> bool {
        self.status.is_server_error()
    }

    /// The response. What is the authority's own failure goes to the log, under the request's id.
    pub(super) fn respond(self, app: &App, request: Option<&RequestId>) -> Response<Body> {
        app.metrics().refused(self.code);
        let internal = self.status.is_server_error();
        let detail = if internal && self.status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(
                code = self.code,
                error = self.detail,
                "the authority failed"
            );
            FAILED
        } else {
            &self.detail
        };
        let problem = Problem {
            code: self.code.parse().unwrap_or_else(|_| unnamed()),
            status: self.status.as_u16(),
            detail: Explanation::of(detail),
            request: request.filter(|_| internal).and_then(RequestId::label),
            time: self.time.map(|time| *time),
        };
        let body = serde_json::to_vec(&problem).unwrap_or_default(); // it has no map whose keys could fail
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(Problem::MEDIA_TYPE),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Tidegate, Bearer"),
            );
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// In place of a code that is no label, which none is.
#[expect(clippy::expect_used, reason = "a constant that is a label")]
fn unnamed() -> tidegate_proto::Label {
    "refused".parse().expect("a label")
}

impl<E: Coded> From<E> for Refusal {
    fn from(error: E) -> Self {
        let status = match (error.code(), error.blame()) {
            ("disk-full", _) => StatusCode::INSUFFICIENT_STORAGE,
            ("authorization-malformed", _) => StatusCode::UNAUTHORIZED,
            ("busy" | "database-locked" | "stopping" | "recovering", _) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            (_, Blame::Malformed) => StatusCode::BAD_REQUEST,
            (_, Blame::Unproven) => StatusCode::UNAUTHORIZED,
            (_, Blame::Forbidden) => StatusCode::FORBIDDEN,
            (_, Blame::Missing) => StatusCode::NOT_FOUND,
            (_, Blame::Conflict) => StatusCode::CONFLICT,
            (_, Blame::Exhausted) => StatusCode::TOO_MANY_REQUESTS,
            (_, Blame::Internal) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self {
            retry_after,
            ..Self::new(status, error.code(), &error)
        }
    }
}
