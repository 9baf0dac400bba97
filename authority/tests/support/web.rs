//! Requests to the router, in process, as they come from a connection.

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::{BoxError, Router};
use http_body_util::BodyExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate_authority::config::Config;
use tidegate_authority::http::{App, Source, router};
use tidegate_proto::api::Problem;
use tidegate_proto::*;
use tower::ServiceExt as _;

use super::operators::{nonce, origin};
use super::{TestNode, World};

/// The API of a world's authority.
pub struct Web {
    pub app: App,
    pub router: Router,
    pub source: SocketAddr,
    clock: tidegate_authority::Clock,
    network: NetworkId,
}

/// An answer, all of it.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Bytes,
}

/// Settings under which no test is too fast.
pub fn lenient() -> Config {
    let mut config = Config::default();
    config.rates.requests_per_second = 100_000;
    config.rates.burst = 100_000;
    config.rates.enrollments_per_minute = 100_000;
    config.rates.failures_per_minute = 100_000;
    config.rates.waiting_per_day = 100_000;
    config
}

impl Web {
    pub fn of(world: &World) -> Self {
        Self::with(world, &lenient())
    }

    pub fn with(world: &World, config: &Config) -> Self {
        let app = App::new(world.authority.clone(), config);
        Self {
            router: router(app.clone()),
            app,
            source: "192.0.2.7:40000".parse().unwrap(),
            clock: world.clock.clone(),
            network: world.authority.network(),
        }
    }

    /// A request without anybody's signature.
    pub fn plain(&self, method: &Method, target: &str, body: impl Into<Bytes>) -> Request<Body> {
        let body = body.into();
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, origin().authority());
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(Source(self.source));
        request
    }

    /// The signature over a request, at the time of the world.
    pub fn signature(
        &self,
        key: &SigningKey,
        method: &Method,
        target: &str,
        body: &[u8],
    ) -> RequestSignature {
        let origin = origin();
        let parts = RequestParts {
            network: self.network,
            origin: &origin,
            method: method.as_str(),
            target,
            body,
        };
        parts.sign(key, self.clock.now(), nonce())
    }

    /// A request signed with `key`.
    pub fn signed(
        &self,
        key: &SigningKey,
        method: &Method,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Request<Body> {
        let body = body.into();
        let signature = self.signature(key, method, target, &body);
        with_authorization(self.plain(method, target, body), &signature.to_string())
    }

    pub async fn open(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (head, body) = self.open(request).await.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub async fn get(&self, key: &SigningKey, target: &str) -> Reply {
        self.send(self.signed(key, &Method::GET, target, "")).await
    }

    pub async fn post(&self, key: &SigningKey, target: &str, body: &impl Serialize) -> Reply {
        let body = serde_json::to_vec(body).unwrap();
        self.send(self.signed(key, &Method::POST, target, body))
            .await
    }

    /// All of an enrolment.
    pub async fn enroll(&self, node: &TestNode, name: &str, token: Option<InviteToken>) -> Reply {
        let target = "/v1/enroll/challenge";
        let asked = self.post(&node.identity, target, &node.keys()).await;
        if asked.status != StatusCode::OK {
            return asked;
        }
        let challenge: Challenge = asked.json();
        let origin = origin();
        let place = Place {
            network: self.network,
            origin: &origin,
        };
        let answer = node
            .keys()
            .answer(place, &challenge, &node.wireguard, &node.sealing)
            .unwrap();
        let enroll = api::Enroll {
            keys: node.keys(),
            challenge: challenge.nonce,
            answer,
            name: name.parse().unwrap(),
            routes: BoundedSet::default(),
            token,
        };
        self.post(&node.identity, "/v1/enroll", &enroll).await
    }
}

pub fn with_authorization(mut request: Request<Body>, value: &str) -> Request<Body> {
    let value = value.parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, value);
    request
}

impl Reply {
    /// The body, read as strictly as clients do.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        assert!(self.status.is_success(), "{self:?}");
        strict::read(&self.body, usize::MAX).unwrap()
    }

    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem that it is, with everything about it in order.
    pub fn problem(&self) -> Problem {
        let kind = self.headers.get(header::CONTENT_TYPE).unwrap();
        assert_eq!(kind, Problem::MEDIA_TYPE, "{self:?}");
        let problem: Problem = strict::read(&self.body, 64 * 1024).unwrap();
        assert_eq!(problem.status, self.status.as_u16());
        assert!(!problem.detail.as_str().is_empty());
        problem
    }

    /// Status and code of a refusal.
    pub fn refusal(&self) -> (u16, String) {
        let problem = self.problem();
        (problem.status, problem.code.to_string())
    }
}

/// The events of a stream as they come.
pub struct Events {
    body: Body,
    buffer: String,
}

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: Option<String>,
    pub name: String,
    pub data: Value,
}

impl Events {
    pub fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            body: response.into_body(),
            buffer: String::new(),
        }
    }

    /// The next event or comment, as it stands there; `None` at the end.
    pub async fn block(&mut self) -> Result<Option<String>, BoxError> {
        loop {
            if let Some(end) = self.buffer.find("\n\n") {
                let rest = self.buffer.split_off(end + 2);
                return Ok(Some(std::mem::replace(&mut self.buffer, rest)));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let bytes = frame?.into_data().unwrap();
                    self.buffer.push_str(std::str::from_utf8(&bytes)?);
                }
            }
        }
    }

    /// The next event, comments aside.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await.unwrap()?;
            if block.starts_with(':') {
                continue;
            }
            let line = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.map(str::to_owned)
            };
            return Some(Event {
                id: line("id: "),
                name: line("event: ").unwrap(),
                data: serde_json::from_str(&line("data: ").unwrap()).unwrap(),
            });
        }
    }

    /// The first event of this name.
    pub async fn until(&mut self, name: &str) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.name == name {
                return event;
            }
        }
    }
}
