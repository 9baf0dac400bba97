//! A request before it is addressed and signed.

use bytes::Bytes;
use getrandom::SysRng;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use rand_core::UnwrapErr;
use serde::Serialize;
use tidegate_proto::{NetworkId, Nonce, Origin, RequestParts, UnixTime};

use super::{ClientError, Identity};

/// The name under which this program introduces itself.
const AGENT: &str = concat!("tidegate/", env!("CARGO_PKG_VERSION"));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What is asked, of whichever authority of the network.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    body: Bytes,
    /// Where a stream is to be taken up again; set only for streams.
    resume: Option<Option<String>>,
}

impl Ask {
    pub(super) fn get(target: impl Into<String>) -> Self {
        Self::bare(Method::GET, target)
    }

    /// A request without a body.
    pub(super) fn bare(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: Bytes::new(),
            resume: None,
        }
    }

    /// A request with a JSON body.
    pub(super) fn with(
        method: Method,
        target: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<Self, ClientError> {
        let body = serde_json::to_vec(body);
        let body = body.map_err(|error| ClientError::Unwritable(error.to_string()))?;
        Ok(Self {
            body: body.into(),
            ..Self::bare(method, target)
        })
    }

    /// A stream of events, behind the one with the id `last`.
    pub(super) fn stream(target: impl Into<String>, last: Option<String>) -> Self {
        Self {
            resume: Some(last),
            ..Self::get(target)
        }
    }

    /// The request for what anybody may ask, as it is sent to `origin`.
    pub(super) fn public(&self, origin: &Origin) -> Result<Request<Full<Bytes>>, ClientError> {
        let nobody = NetworkId::from_bytes([0; 16]); // nothing is signed
        let addressed = self.addressed(nobody, origin, &Identity::Nobody, UnixTime::default());
        addressed.map(|(request, _)| request)
    }

    /// Whether asking twice has the same effect as asking once.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method.is_idempotent()
    }

    /// The request as it is sent to `origin`, and the nonce that it spends if it is signed.
    pub(super) fn addressed(
        &self,
        network: NetworkId,
        origin: &Origin,
        identity: &Identity,
        now: UnixTime,
    ) -> Result<(Request<Full<Bytes>>, Option<Nonce>), ClientError> {
        let parts = RequestParts {
            network,
            origin,
            method: self.method.as_str(),
            target: &self.target,
            body: &self.body,
        };
        let (authorization, nonce) = authorization(&parts, identity, now)?;
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.target.as_str())
            .header(HOST, origin.authority())
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, if self.resume.is_some() { EVENTS } else { JSON });
        if !self.body.is_empty() {
            request = request.header(CONTENT_TYPE, JSON);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(Some(last)) = &self.resume {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Full::new(self.body.clone()));
        let request = request.map_err(|error| ClientError::Unwritable(error.to_string()))?;
        Ok((request, nonce))
    }
}

/// A nonce that nobody has used before.
pub(super) fn nonce() -> Result<Nonce, ClientError> {
    getrandom::fill(&mut [0; 16]).map_err(|error| ClientError::Random(error.to_string()))?;
    Ok(Nonce::generate(&mut UnwrapErr(SysRng))) // it has just answered
}

fn authorization(
    parts: &RequestParts<'_>,
    identity: &Identity,
    now: UnixTime,
) -> Result<(Option<HeaderValue>, Option<Nonce>), ClientError> {
    let (text, nonce) = match identity {
        Identity::Nobody => return Ok((None, None)),
        Identity::Key(key) => {
            let nonce = nonce()?;
            (parts.sign(key, now, nonce).to_string(), Some(nonce))
        }
        Identity::Token(token) => (format!("Bearer {}", token.expose()), None),
    };
    let mut value =
        HeaderValue::try_from(text).map_err(|error| ClientError::Unwritable(error.to_string()))?;
    value.set_sensitive(true);
    Ok((Some(value), nonce))
}
