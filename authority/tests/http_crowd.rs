//! Many behind one address: what a stranger does there is not held against those who prove who they are.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode, header};
use futures_util::stream;
use serde_json::json;
use support::operators::{Person, one_of_each, policy};
use support::web::{Reply, Web, lenient, with_authorization};
use support::{TestNode, World};
use tidegate_authority::config::Config;
use tidegate_proto::api::Enrolled;
use tidegate_proto::*;
use tokio::sync::Notify;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    world: World,
    web: Web,
    people: [Person; 4],
}

impl Scene {
    async fn new(settings: impl FnOnce(&mut Config)) -> Self {
        let world = World::new().await;
        let people = one_of_each();
        world.govern(&people.each_ref()).await;
        world.authority.tick().await.unwrap();
        let mut config = lenient();
        settings(&mut config);
        let web = Web::with(&world, &config);
        Self { world, web, people }
    }

    async fn plain(&self, method: Method, target: &str) -> Reply {
        self.web.send(self.web.plain(&method, target, "")).await
    }

    /// A request under `node`'s name that `node` did not sign.
    fn forged(&self, node: &TestNode, target: &str) -> Request<Body> {
        let signature = self
            .web
            .signature(&node.identity, &Method::GET, "/v1/elsewhere", b"");
        let request = self.web.plain(&Method::GET, target, "");
        with_authorization(request, &signature.to_string())
    }
}

fn strict(config: &mut Config) {
    config.rates.requests_per_second = 1;
    config.rates.burst = 12;
    config.rates.failures_per_minute = 4;
    config.rates.enrollments_per_minute = 1;
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn too_many() -> (u16, String) {
    refused(429, "too-many-requests")
}

/// Asks until there is nothing left.
async fn exhaust(ask: impl AsyncFn() -> Reply) {
    for _ in 0..100 {
        if ask().await.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
    }
    panic!("there is no end to it");
}

#[tokio::test]
async fn a_stranger_does_not_lock_out_who_shares_its_address() {
    let mut scene = Scene::new(strict).await;
    let member = scene.world.member("web-1").await;
    let waiting = scene.world.node();
    let authority = scene.world.authority.clone();
    waiting.join(&authority, "waits", None).await.unwrap();
    let [viewer, .., sovereign] = &scene.people;
    let new = json!({ "name": "ci", "role": "viewer", "valid_for": 3_600_000 });
    let made = scene.web.post(&sovereign.key, "/v1/tokens", &new).await;
    let token = format!("Bearer {}", made.value()["token"].as_str().unwrap());
    let (web, stranger) = (&scene.web, SigningKey::from_seed(&[99; 32]));
    let stranger_keys = NodeKeys {
        identity: stranger.public_key(),
        ..member.keys()
    };

    exhaust(|| web.get(&stranger, "/v1/nodes")).await;
    exhaust(|| scene.plain(Method::GET, "/v1/genesis")).await;
    exhaust(|| web.send(scene.forged(&member, "/v1/grants"))).await; // a name alone proves nothing

    for _ in 0..20 {
        let asked = web.get(&member.identity, "/v1/grants").await;
        assert_eq!(asked.status, StatusCode::OK, "{asked:?}");
        let listed = web.get(&viewer.key, "/v1/nodes").await;
        assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
        let plain = web.plain(&Method::GET, "/v1/nodes", "");
        let listed = web.send(with_authorization(plain, &token)).await;
        assert_eq!(listed.status, StatusCode::OK, "{listed:?}");
    }
    let challenge = "/v1/renew/challenge";
    let renewed = web.post(&member.identity, challenge, &member.keys()).await;
    assert_eq!(renewed.status, StatusCode::OK, "{renewed:?}");
    for _ in 0..3 {
        let again = web.enroll(&member, "web-1", None).await;
        assert!(
            matches!(again.json(), Enrolled::Admitted(_)),
            "lost its state"
        );
    }
    let rotate = web.signed(&viewer.key, &Method::POST, "/v1/epoch/rotate", "");
    let forbidden = web.send(rotate).await;
    assert_eq!(forbidden.refusal(), refused(403, "forbidden"));

    exhaust(|| web.get(&stranger, "/v1/grants")).await;
    exhaust(|| web.get(&waiting.identity, "/v1/enroll")).await;
    exhaust(|| web.post(&stranger, challenge, &stranger_keys)).await;
    exhaust(|| scene.plain(Method::GET, "/v1/genesis")).await;
}

#[tokio::test]
async fn a_wrong_clock_is_set_right_even_in_a_crowd() {
    let mut scene = Scene::new(strict).await;
    let member = scene.world.member("web-1").await;
    let late = scene
        .web
        .signed(&member.identity, &Method::GET, "/v1/grants", "");
    scene.world.hand.advance(Span::from_minutes(10));
    exhaust(|| scene.plain(Method::GET, "/v1/genesis")).await;
    let problem = scene.web.send(late).await.problem();
    assert_eq!((problem.status, problem.code.as_str()), (401, "clock-skew"));
    assert!(problem.time.is_some());
}

#[tokio::test]
async fn what_leads_nowhere_is_counted_too() {
    let scene = Scene::new(strict).await;
    let nothing = scene.plain(Method::GET, "/v2/nothing").await;
    assert_eq!(nothing.refusal(), refused(404, "no-such-target"));
    let other = scene.plain(Method::PATCH, "/v1/nodes").await;
    assert_eq!(other.refusal(), refused(405, "method-not-allowed"));
    exhaust(|| scene.plain(Method::GET, "/v2/nothing")).await;
    exhaust(|| scene.plain(Method::PATCH, "/v1/nodes")).await;
}

#[tokio::test]
async fn one_address_does_not_fill_the_waiting_room() {
    let mut scene = Scene::new(|config| config.rates.waiting_per_day = 2).await;
    scene.world.member("web-1").await;
    let token = scene.world.invite(1).await;
    let nodes = [(); 5].map(|()| scene.world.node());
    let web = &mut scene.web;
    let pending = |reply: Reply| assert_eq!(reply.json::<Enrolled>(), Enrolled::Pending);
    for _ in 0..5 {
        let taken = web.enroll(&nodes[0], "web-1", None).await;
        assert_eq!(taken.refusal(), refused(409, "name-taken"));
    }
    pending(web.enroll(&nodes[0], "a", None).await);
    pending(web.enroll(&nodes[1], "b", None).await);
    let third = web.enroll(&nodes[2], "c", None).await;
    assert_eq!(third.refusal(), refused(429, "too-many-newcomers"));
    assert!(third.headers.contains_key(header::RETRY_AFTER));
    pending(web.enroll(&nodes[1], "b", None).await);
    let invited = web.enroll(&nodes[3], "d", Some(token)).await;
    assert!(matches!(invited.json(), Enrolled::Admitted(_)));
    web.source = "192.0.2.8:40000".parse().unwrap();
    pending(web.enroll(&nodes[2], "c", None).await);
}

/// A body of which nothing ever comes, and which tells when it is awaited.
fn endless(awaited: &Arc<Notify>) -> Body {
    let tell = Arc::clone(awaited);
    let body = stream::poll_fn(move |_| {
        tell.notify_one();
        std::task::Poll::<Option<Result<Bytes, std::io::Error>>>::Pending
    });
    Body::from_stream(body)
}

#[tokio::test]
async fn one_address_does_not_hold_up_the_large_bodies_of_others() {
    let mut scene = Scene::new(|_| ()).await;
    let (sovereign, target) = (&scene.people[3].key, "/v1/policy/file");
    let mut held = tokio::task::JoinSet::new();
    let awaited = Arc::new(Notify::new());
    for _ in 0..8 {
        let body = endless(&awaited);
        let request = scene.web.signed(sovereign, &Method::PUT, target, "{}");
        let router = scene.web.router.clone();
        held.spawn(tower::ServiceExt::oneshot(router, request.map(|_| body)));
    }
    awaited.notified().await;
    scene.web.source = "192.0.2.8:40000".parse().unwrap();
    let long = format!(
        "# {}\n{}",
        "x".repeat(100_000),
        policy(&scene.people.each_ref())
    );
    let body = serde_json::to_vec(&json!({ "file": long })).unwrap();
    let put = scene.web.signed(sovereign, &Method::PUT, target, body);
    let put = tokio::time::timeout(Duration::from_secs(8), scene.web.send(put)).await;
    assert_eq!(put.expect("it waits for no one").status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_never_comes_counts_as_a_failure() {
    let scene = Scene::new(|config| config.rates.failures_per_minute = 1).await;
    let stranger = SigningKey::from_seed(&[99; 32]);
    let target = "/v1/enroll/challenge";
    let request = scene.web.signed(&stranger, &Method::POST, target, "{}");
    let slow = scene.web.send(request.map(|_| endless(&Arc::default())));
    let slow = tokio::time::timeout(PATIENCE, slow).await.unwrap();
    assert_eq!(slow.refusal(), refused(408, "body-too-slow"));
    let again = scene.web.signed(&stranger, &Method::POST, target, "{}");
    assert_eq!(scene.web.send(again).await.refusal(), too_many());
}
