//! A request at a door, as far as it has been looked at.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts as _, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tidegate_proto::api::LARGEST_NODE_BODY;
use tidegate_proto::{KeyId, Origin, RequestError, RequestParts, RequestSignature};

use crate::http::app::App;
use crate::http::body::{self, FromBody};
use crate::http::gate::{Kind, Place};
use crate::http::param::{self, PathValue, Query};
use crate::http::problem::Refusal;
use crate::http::room::Room;
use crate::http::schema::Schemas;
use crate::service::{Actor, AuthenticationError, Caller, Claim};

/// The other end of the connection, as the listener saw it. Every request carries it among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub SocketAddr);

/// The longest target.
const LONGEST_TARGET: usize = 1024;

/// A request on its way through a door.
pub(crate) struct Visit {
    pub(super) source: SocketAddr,
    pub(super) parts: Parts,
    /// Behind a lock that nobody waits for, so that a visit can be looked at from any thread.
    body: Mutex<Option<Body>>,
    bytes: Bytes,
    payer: Payer,
    room: Option<Room>,
}

/// From whose share a request is paid.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Payer {
    /// That is not clear yet.
    Nobody,
    /// The address that it comes from.
    Stranger,
    /// Somebody known, whatever others do at the same address.
    Known(Place),
}

/// What a request asks for.
pub(super) struct Asked<B, P, Q> {
    pub(super) body: B,
    pub(super) path: P,
    pub(super) query: Q,
}

impl Visit {
    /// A request that has just come in.
    pub(super) fn begin(request: Request) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let Some(Source(source)) = parts.extensions.get().copied() else {
            let detail = "a request came without the address of its source";
            return Err(crate::store::StoreError::Failed(detail.to_owned()).into());
        };
        Ok(Self {
            source,
            parts,
            body: Mutex::new(Some(body)),
            bytes: Bytes::new(),
            payer: Payer::Nobody,
            room: None,
        })
    }

    /// Takes the request from the share of its address.
    pub(super) fn pay(&mut self, app: &App) -> Result<(), Refusal> {
        if self.payer == Payer::Nobody {
            self.payer = Payer::Stranger;
            app.admit(self.source, Kind::Request)?;
        }
        Ok(())
    }

    /// The same for a request that has to prove something, from where not too much was left unproved.
    pub(super) fn pay_as_stranger(&mut self, app: &App) -> Result<(), Refusal> {
        self.pay(app)?;
        app.check_failures(self.source.ip())
    }

    /// Takes the request from the share of `who`, whose it is proved to be.
    pub(super) fn pay_as_known(&mut self, app: &App, who: &Actor) -> Result<(), Refusal> {
        self.payer = Payer::Known(Place::of_known(who));
        app.take_known(self.source.ip(), who, Kind::Known)
    }

    /// What is answered to a request that is refused. Where it is nobody's who is known, the address pays for it, and
    /// for a proof that failed; if it has nothing left, that is the answer.
    pub(super) fn charge(&mut self, app: &App, refusal: Refusal) -> Refusal {
        if matches!(self.payer, Payer::Known(_)) || refusal.is_own_failure() {
            return refusal;
        }
        let mut paid = match self.payer {
            Payer::Nobody => app.admit(self.source, Kind::Request),
            _ => Ok(()),
        };
        if paid.is_ok() && refusal.is_failed_proof() {
            paid = app.admit(self.source, Kind::Failure);
        }
        paid.err().unwrap_or(refusal)
    }

    /// Takes in the body. Large ones wait for each other, so that together they stay small.
    pub(super) async fn read(&mut self, app: &App, limit: usize) -> Result<(), Refusal> {
        let body = self
            .body
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(body) = body else { return Ok(()) };
        let most = body.size_hint().upper().unwrap_or(u64::MAX);
        if limit > LARGEST_NODE_BODY && most > LARGEST_NODE_BODY as u64 {
            let place = match self.payer {
                Payer::Known(place) => place,
                _ => Place::of(self.source.ip()),
            };
            self.room = Some(app.rooms().enter(place).await?);
        }
        self.bytes = body::collect(body, limit).await?;
        Ok(())
    }

    /// The value of the only `Authorization` header.
    pub(super) fn authorization(&self) -> Result<&str, Refusal> {
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
    pub(super) fn signature(&self) -> Result<RequestSignature, Refusal> {
        self.authorization()?.parse().map_err(|_| unreadable())
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

    /// Refuses a target that is longer than any.
    pub(super) fn check_target(&self) -> Result<(), Refusal> {
        if target(&self.parts).len() > LONGEST_TARGET {
            let detail = format!("the target has more than {LONGEST_TARGET} bytes");
            return Err(Refusal::malformed("target-too-long", detail));
        }
        Ok(())
    }

    /// What was signed.
    fn signed<'a>(&'a self, app: &App, origin: &'a Origin) -> RequestParts<'a> {
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

    /// Has the signature prove that the request comes from whom it claims; one who is in pays for it. One whose clock is
    /// off learns the time, as only the holder of the key does.
    pub(super) fn prove(
        &mut self,
        app: &App,
        claim: &Claim,
        signature: &RequestSignature,
        origin: &Origin,
    ) -> Result<Caller, Refusal> {
        let (parts, from) = (self.signed(app, origin), Some(self.source.ip()));
        let proof = app.authority().authenticate(claim, signature, &parts, from);
        let is_off = matches!(
            proof,
            Err(AuthenticationError::Request(RequestError::ClockSkew { .. }))
        );
        if claim.is_in() && (proof.is_ok() || is_off) {
            self.pay_as_known(app, &claim.actor)?;
        }
        proof.map_err(|error| {
            let time = is_off.then(|| app.authority().time_statement(signature.nonce));
            Refusal::from(error).with_time(time.and_then(Result::ok))
        })
    }

    /// The refusal of a key that nobody has.
    pub(super) fn unknown(&self, app: &App, key: KeyId) -> Refusal {
        let from = Some(self.source.ip());
        app.authority().unknown(key, from).into()
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
