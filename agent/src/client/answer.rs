//! Answers, read within bounds.

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use tidegate_proto::api::Problem;
use tidegate_proto::{Origin, strict};

use super::ClientError;

/// More than any refusal holds.
const LARGEST_PROBLEM: usize = 16 * 1024;

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) origin: Origin,
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Answer {
    /// Reads the body, of which there may be `limit` bytes.
    pub(super) async fn read(
        origin: &Origin,
        response: Response<Incoming>,
        limit: usize,
    ) -> Result<Self, ClientError> {
        let status = response.status();
        let limit = if status.is_success() {
            limit
        } else {
            LARGEST_PROBLEM
        };
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|error| {
            let origin = origin.clone();
            if error.is::<LengthLimitError>() {
                ClientError::TooLarge { origin, limit }
            } else {
                let reason = format!("the answer broke off: {error}");
                ClientError::Unanswered { origin, reason }
            }
        })?;
        Ok(Self {
            origin: origin.clone(),
            status,
            body: body.to_bytes(),
        })
    }

    /// The answer, unless it is a refusal.
    pub(super) fn accepted(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(match strict::read::<Problem>(&self.body, LARGEST_PROBLEM) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) => self.malformed(format!("HTTP status {}", self.status)),
        })
    }

    /// What the answer says.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        strict::read(&self.body, self.body.len()).map_err(|error| self.malformed(error.to_string()))
    }

    /// What the answer says, as text.
    pub(super) fn text(&self) -> Result<String, ClientError> {
        let text = String::from_utf8(self.body.to_vec());
        text.map_err(|_| self.malformed("not text".to_owned()))
    }

    fn malformed(&self, reason: String) -> ClientError {
        ClientError::Malformed {
            origin: self.origin.clone(),
            reason,
        }
    }
}
