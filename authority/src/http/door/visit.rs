//! A request at a door, as far as it has been looked at.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_proto::api::LARGEST_NODE_BODY;
use tidegate_proto::{Origin, RequestError, RequestParts, RequestSignature};

use tokio::sync::OwnedSemaphorePermit;

use crate::http::app::App;
use crate::http::body::{self, FromBody};
use crate::http::gate::Kind;
use crate::http::param::{self, PathValue, Query};
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;
use crate::service::AuthenticationError;

/// The other end of the connection, as the listener saw it. Every request carries it among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub SocketAddr);

/// The longest target.
const LONGEST_TARGET: usize = 1024;

/// A request whose source may ask at all.
pub(super) struct Visit {
    pub(super) source: SocketAddr,
    pub(super) parts: Parts,
    /// Behind a lock that nobody waits for, so that a visit can be looked at from any thread.
    body: Mutex<Option<Body>>,
    bytes: Bytes,
    room: Option<OwnedSemaphorePermit>,
}

/// What a request asks for.
pub(super) struct Asked<B, P, Q> {
    pub(super) body: B,
    pub(super) path: P,
    pub(super) query: Q,
}

impl Visit {
    /// Lets a request as far as the door, if its source has not asked too often.
    pub(super) fn begin(app: &App, request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let Some(Source(source)) = parts.extensions.get().copied() else {
            let detail = "a request came without the address of its source";
            return Err(crate::store::StoreError::Failed(detail.to_owned()).into());
        };
        app.admit(source, Kind::Request)?;
        if target(&parts).len() > LONGEST_TARGET {
            let detail = format!("the target has more than {LONGEST_TARGET} bytes");
            return Err(Refusal::malformed("target-too-long", detail));
        }
        Ok(Self {
            source,
            parts,
            body: Mutex::new(Some(body)),
            bytes: Bytes::new(),
            room: None,
        })
    }

    /// Takes in the body. Large ones wait for each other, so that together they stay small.
    pub(super) async fn read(&mut self, app: &App, limit: usize) -> Result<(), Refusal> {
        if limit > LARGEST_NODE_BODY {
            self.room = app.large_body().await;
        }
        let body = self
            .body
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(body) = body {
            self.bytes = body::collect(body, limit).await?;
        }
        Ok(())
    }

    /// The value of the only `Authorization` header.
    pub(super) fn authorization(&self, app: &App) -> Result<&str, Refusal> {
        app.check_failures(self.source.ip())?;
        let mut all = self.parts.headers.get_all(header::AUTHORIZATION).iter();
        match (all.next(), all.next()) {
            (Some(one), None) => one.to_str().map_err(|_| unreadable()),
            (Some(_), Some(_)) => Err(unreadable()),
            (None, _) => Err(Refusal::unproven(
                "unsigned",
                "this needs a signed request; 'tidegate' signs its own",
            )),
        }
    }

    /// The signature in the `Authorization` header.
    pub(super) fn signature(&self, app: &App) -> Result<RequestSignature, Refusal> {
        self.authorization(app)?.parse().map_err(|_| unreadable())
    }

    /// Which of our origins the request is for: what it was signed for has to be the place that it came to.
    pub(super) fn origin(&self, app: &App) -> Result<Origin, Refusal> {
        let host = self.parts.headers.get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
        app.origin(host).ok_or_else(|| {
            Refusal::unproven(
                "other-origin",
                "the request came under a host name that is not this authority's; use a URL that the genesis names",
            )
        })
    }

    /// What was signed.
    pub(super) fn signed<'a>(&'a self, app: &App, origin: &'a Origin) -> RequestParts<'a> {
        RequestParts {
            network: app.authority().network(),
            origin,
            method: self.parts.method.as_str(),
            target: target(&self.parts),
            body: &self.bytes,
        }
    }

    /// Reads what is asked for, now that it is known who asks.
    pub(super) async fn asked<B, P, Q>(&mut self) -> Result<Asked<B, P, Q>, Refusal>
    where
        B: FromBody,
        P: PathValue,
        Q: Query,
    {
        let path = RawPathParams::from_request_parts(&mut self.parts, &()).await;
        let path = path.map_err(|_| Refusal::malformed("path-refused", "the path is no text"))?;
        let value = path.iter().next().map_or("", |(_, value)| value);
        Ok(Asked {
            path: P::read(value)?,
            query: param::query(&self.parts.uri)?,
            body: B::read(&self.parts.headers, &self.bytes)?,
        })
    }

    /// Refuses whoever did not prove to be somebody. One whose clock is off learns the time, as only the holder of the
    /// key does.
    pub(super) fn refuse(
        &self,
        app: &App,
        error: AuthenticationError,
        signature: Option<&RequestSignature>,
    ) -> Refusal {
        let off = matches!(
            error,
            AuthenticationError::Request(RequestError::ClockSkew { .. })
        );
        let refusal = Refusal::from(error);
        if off {
            let time = signature.map(|one| app.authority().time_statement(one.nonce));
            return refusal.with_time(time.and_then(Result::ok));
        }
        self.unproven(app, refusal)
    }

    /// Counts `refusal` against the source, unless it is the authority's own failure.
    pub(super) fn unproven(&self, app: &App, refusal: Refusal) -> Refusal {
        if refusal.is_unproven() {
            app.failed(self.source.ip());
        }
        refusal
    }

    /// The headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
}

/// Path and query, exactly as sent.
fn target(parts: &Parts) -> &str {
    parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
}

fn unreadable() -> Refusal {
    Refusal::unproven("authorization-malformed", RequestError::Header)
}

/// The parameters of a target, as OpenAPI has them.
pub(super) fn parameters<P: PathValue, Q: Query>(schemas: &mut Schemas) -> Vec<Value> {
    let path = P::NAME.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": P::describe(schemas) })
    });
    let query = Q::describe(schemas).into_iter().map(|(name, schema)| {
        json!({ "name": name, "in": "query", "required": false, "schema": schema })
    });
    path.into_iter().chain(query).collect()
}
