//! Bodies, as they come in: bounded in size and time, and read strictly.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_proto::api::{self, LARGEST_NODE_BODY, LARGEST_OPERATOR_BODY, LARGEST_RECOVERY_BODY};
use tidegate_proto::strict::{self, ReadError};
use tidegate_proto::{NodeKeys, PeerRecord, Receipt, Signed};

use super::problem::Refusal;
use super::schema::{Described, Schemas};

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What a request brings in its body.
pub(super) trait FromBody: Sized + Send + 'static {
    /// The most bytes.
    const LIMIT: usize;

    /// Reads it; the signature over `bytes` has been checked, where the door asks for one.
    fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Refusal>;

    /// Its schema; none where there is no body.
    fn describe(schemas: &mut Schemas) -> Option<Value>;
}

impl FromBody for () {
    const LIMIT: usize = 0;

    fn read(_headers: &HeaderMap, _bytes: &[u8]) -> Result<Self, Refusal> {
        Ok(())
    }

    fn describe(_schemas: &mut Schemas) -> Option<Value> {
        None
    }
}

/// Names the types that come as JSON.
macro_rules! json_bodies {
    ($($name:ty, $limit:expr;)*) => {
        $(impl FromBody for $name {
            const LIMIT: usize = $limit;

            fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Refusal> {
                read_json(headers, bytes, Self::LIMIT)
            }

            fn describe(schemas: &mut Schemas) -> Option<Value> {
                Some(schemas.of::<Self>())
            }
        })*
    };
}

json_bodies! {
    NodeKeys, LARGEST_NODE_BODY;
    api::Enroll, LARGEST_NODE_BODY;
    api::Renew, LARGEST_NODE_BODY;
    api::Heartbeat, LARGEST_NODE_BODY;
    api::Recovery, LARGEST_RECOVERY_BODY;
    api::TimeQuestion, 256;
    Signed<PeerRecord>, LARGEST_NODE_BODY;
    Signed<Receipt>, LARGEST_NODE_BODY;
    api::Approval, LARGEST_NODE_BODY;
    api::Decision, 4096;
    api::NewInvite, LARGEST_NODE_BODY;
    api::NewToken, 4096;
    api::NewOperator, 4096;
    api::PolicyProposal, LARGEST_OPERATOR_BODY;
    api::Override, 4096;
}

/// The body's bytes, of which there may be at most `limit`.
pub(super) async fn collect(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let read = Limited::new(body, limit).collect();
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large(limit)),
        Ok(Err(_)) => Err(Refusal::malformed(
            "body-cut-off",
            "the body ended before its end; send it again",
        )),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-too-slow",
            "the body did not arrive in time; send it again",
        )),
    }
}

fn too_large(limit: usize) -> Refusal {
    if limit == 0 {
        return Refusal::malformed(
            "unexpected-body",
            "this request has no body; send it without",
        );
    }
    let detail = format!("the body is larger than the {limit} bytes that this request may have");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

fn read_json<T: DeserializeOwned + Described>(
    headers: &HeaderMap,
    bytes: &[u8],
    limit: usize,
) -> Result<T, Refusal> {
    let sent = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.as_bytes());
    if sent.is_none_or(|sent| !sent.eq_ignore_ascii_case(b"application/json")) {
        return Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not-json",
            "the body has to be JSON; send it with Content-Type: application/json",
        ));
    }
    strict::read(bytes, limit).map_err(|error| {
        let code = match error {
            ReadError::UnknownMember(_) => "unknown-member",
            ReadError::DuplicateMember(_) => "duplicate-member",
            ReadError::MissingMember(_) => "missing-member",
            ReadError::Syntax { .. } => "json-syntax",
            _ => "json-value",
        };
        Refusal::malformed(code, format!("the body was refused: {error}"))
    })
}
