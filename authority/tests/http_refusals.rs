//! Refusals of the API: each with its status and code, and nothing half done.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use axum::http::{Method, StatusCode, header};
use serde_json::json;
use support::World;
use support::operators::{one_of_each, policy};
use support::web::{Web, lenient, with_authorization};
use tidegate_proto::api::{Enrolled, Nodes};
use tidegate_proto::*;

struct Scene {
    world: World,
    web: Web,
    admin: std::sync::Arc<SigningKey>,
    sovereign: std::sync::Arc<SigningKey>,
}

impl Scene {
    async fn new() -> Self {
        Self::on(World::new().await).await
    }

    async fn on(world: World) -> Self {
        let people = one_of_each();
        world.govern(&people.each_ref()).await;
        let web = Web::of(&world);
        let [_, _, admin, sovereign] = people;
        Self {
            world,
            web,
            admin: admin.key,
            sovereign: sovereign.key,
        }
    }

    async fn invite(&self, uses: u32) -> InviteToken {
        let new = json!({ "uses": uses, "valid_for": 3_600_000 });
        let made = self.web.post(&self.admin, "/v1/invites", &new).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let text = made.value()["invite"].as_str().unwrap().to_owned();
        text.parse::<Invite>().unwrap().token
    }

    async fn names(&self) -> Vec<String> {
        let nodes: Nodes = self.web.get(&self.admin, "/v1/nodes").await.json();
        nodes
            .nodes
            .iter()
            .map(|node| node.name.to_string())
            .collect()
    }
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn bodies_that_cannot_be_right_are_refused_by_name() {
    let scene = Scene::new().await;
    let invites = |body: String| {
        let request = scene
            .web
            .signed(&scene.admin, &Method::POST, "/v1/invites", body);
        async { scene.web.send(request).await.refusal() }
    };
    for (body, code) in [
        ("{", "json-syntax"),
        ("", "not-json"),
        ("[1]", "json-value"),
        (r#"{"uses":1}"#, "missing-member"),
        (r#"{"uses":1,"valid_for":60000,"x":1}"#, "unknown-member"),
        (
            r#"{"uses":1,"uses":2,"valid_for":60000}"#,
            "duplicate-member",
        ),
        (r#"{"uses":1.5,"valid_for":60000}"#, "json-value"),
        (r#"{"uses":-1,"valid_for":60000}"#, "json-value"),
        (
            r#"{"uses":1,"valid_for":60000,"roles":["b","a"]}"#,
            "json-value",
        ),
        (r#"{"uses":1,"valid_for":60000,"roles":null}"#, "json-value"),
        (r#"{"uses":0,"valid_for":60000}"#, "invite-useless"),
    ] {
        let status = if code == "not-json" { 415 } else { 400 };
        assert_eq!(
            invites(body.to_owned()).await,
            refused(status, code),
            "{body}"
        );
    }
    let huge = format!(
        r#"{{"uses":1,"valid_for":60000,"x":"{}"}}"#,
        "x".repeat(70_000)
    );
    assert_eq!(invites(huge).await, refused(413, "body-too-large"));
    let all: api::Invites = scene.web.get(&scene.admin, "/v1/invites").await.json();
    assert!(all.invites.is_empty());
}

#[tokio::test]
async fn another_content_type_and_a_body_where_none_belongs_are_refused() {
    let scene = Scene::new().await;
    let body = r#"{"uses":1,"valid_for":60000}"#;
    let mut request = scene
        .web
        .signed(&scene.admin, &Method::POST, "/v1/invites", body);
    let form = "application/x-www-form-urlencoded".parse().unwrap();
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    assert_eq!(
        scene.web.send(request).await.refusal(),
        refused(415, "not-json")
    );
    let request = scene
        .web
        .signed(&scene.admin, &Method::GET, "/v1/invites", body);
    let refusal = scene.web.send(request).await.refusal();
    assert_eq!(refusal, refused(400, "unexpected-body"));
}

#[tokio::test]
async fn targets_methods_and_queries_that_there_are_not() {
    let scene = Scene::new().await;
    let web = &scene.web;
    let nothing = web.send(web.plain(&Method::GET, "/v2/nodes", "")).await;
    assert_eq!(nothing.refusal(), refused(404, "no-such-target"));
    let method = web.send(web.plain(&Method::PATCH, "/v1/nodes", "")).await;
    assert_eq!(method.refusal(), refused(405, "method-not-allowed"));
    assert!(method.headers.contains_key(header::ALLOW));
    for (target, status, code) in [
        ("/v1/nodes?colour=red", 400, "query-refused"),
        ("/v1/nodes?limit=0", 400, "query-refused"),
        ("/v1/nodes?limit=1&limit=2", 400, "query-refused"),
        ("/v1/nodes?status=gone", 400, "query-refused"),
        ("/v1/nodes?after=1", 400, "query-refused"),
        ("/v1/epoch?x", 400, "query-refused"),
        ("/v1/nodes/nobody", 404, "no-such-node"),
        ("/v1/nodes/No%20Body", 404, "no-such-node"),
        ("/v1/revocations/7", 404, "no-such-revocation"),
        ("/v1/revocations/-7", 404, "no-such-revocation"),
        ("/v1/recovery", 409, "not-recovering"),
    ] {
        let reply = web.get(&scene.admin, target).await;
        assert_eq!(reply.refusal(), refused(status, code), "{target}");
    }
    let long = format!("/v1/nodes?after={}", "n".repeat(2000));
    let refusal = web.get(&scene.admin, &long).await.refusal();
    assert_eq!(refusal, refused(400, "target-too-long"));
}

#[tokio::test]
async fn a_signature_is_for_one_request_at_one_place() {
    let scene = Scene::new().await;
    let (web, key) = (&scene.web, &scene.admin);
    let body = r#"{"uses":1,"valid_for":60000}"#;
    let header = web
        .signature(key, &Method::POST, "/v1/invites", body.as_bytes())
        .to_string();
    let with = |method: &Method, target: &str, body: &'static str| {
        with_authorization(web.plain(method, target, body), &header)
    };
    for other in [
        with(&Method::POST, "/v1/epoch/rotate", ""),
        with(&Method::GET, "/v1/invites", ""),
        with(
            &Method::POST,
            "/v1/invites",
            r#"{"uses":9,"valid_for":60000}"#,
        ),
        with(&Method::POST, "/v1/invites?a=b", body),
    ] {
        let refusal = web.send(other).await.refusal();
        assert_eq!(refusal, refused(401, "bad-signature"));
    }
    let mut elsewhere = with(&Method::POST, "/v1/invites", body);
    let host = "other.example:7443".parse().unwrap();
    elsewhere.headers_mut().insert(header::HOST, host);
    assert_eq!(
        web.send(elsewhere).await.refusal(),
        refused(401, "other-origin")
    );
    let first = web.send(with(&Method::POST, "/v1/invites", body)).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = web.send(with(&Method::POST, "/v1/invites", body)).await;
    assert_eq!(again.refusal(), refused(409, "replayed"));
    let all: api::Invites = web.get(key, "/v1/invites").await.json();
    assert_eq!(all.invites.len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_learns_the_time_and_nobody_else_does() {
    let scene = Scene::new().await;
    let (web, key) = (&scene.web, &scene.admin);
    let header = web.signature(key, &Method::GET, "/v1/nodes", b"");
    scene.world.hand.advance(Span::from_minutes(10));
    let late = with_authorization(
        web.plain(&Method::GET, "/v1/nodes", ""),
        &header.to_string(),
    );
    let problem = web.send(late).await.problem();
    assert_eq!((problem.status, problem.code.as_str()), (401, "clock-skew"));
    let now = scene.world.clock.now();
    let time = problem.time.unwrap();
    let time = time.verify(&scene.world.authority.keyring(), now).unwrap();
    assert_eq!((time.at, time.nonce), (now, header.nonce));
    let stranger = SigningKey::from_seed(&[99; 32]);
    let problem = web.get(&stranger, "/v1/nodes").await.problem();
    assert!(problem.time.is_none());
}

#[tokio::test]
async fn enrolments_that_cannot_be_leave_nothing_behind() {
    let mut scene = Scene::on(World::with(Default::default(), "10.9.0.0/29").await).await;
    let token = scene.invite(1).await;
    let (first, second) = (scene.world.node(), scene.world.node());
    let admitted = scene.web.enroll(&first, "web-1", Some(token.clone())).await;
    assert!(matches!(admitted.json(), Enrolled::Admitted(_)));
    let used = scene.web.enroll(&second, "web-2", Some(token)).await;
    assert_eq!(used.refusal(), refused(403, "invite-exhausted"));
    let unknown = InviteToken::from_bytes([1; 16]);
    let unknown = scene.web.enroll(&second, "web-2", Some(unknown)).await;
    assert_eq!(unknown.refusal(), refused(404, "invite-unknown"));
    let token = scene.invite(9).await;
    let taken = scene
        .web
        .enroll(&second, "web-1", Some(token.clone()))
        .await;
    assert_eq!(taken.refusal(), refused(409, "name-taken"));
    let mut last = (200, String::new());
    for number in 2..10 {
        let node = scene.world.node();
        let name = format!("web-{number}");
        let reply = scene.web.enroll(&node, &name, Some(token.clone())).await;
        if reply.status != StatusCode::OK {
            last = reply.refusal();
            break;
        }
    }
    assert_eq!(last, refused(429, "no-address-left"));
    let third = scene.world.node();
    scene.world.hand.advance(Span::from_hours(2));
    let expired = scene.web.enroll(&third, "late", Some(token)).await;
    assert_eq!(expired.refusal(), refused(403, "invite-expired"));
    assert!(!scene.names().await.contains(&"late".to_owned()));
}

#[tokio::test]
async fn a_challenge_is_answered_once_and_by_the_holder_of_the_keys() {
    let mut scene = Scene::new().await;
    let (node, other) = (scene.world.node(), scene.world.node());
    let mixed = NodeKeys {
        wireguard: other.wireguard.public_key(),
        ..node.keys()
    };
    let signed_by_another = scene
        .web
        .post(&other.identity, "/v1/enroll/challenge", &node.keys())
        .await;
    assert_eq!(signed_by_another.status, StatusCode::UNAUTHORIZED);
    let asked = scene
        .web
        .post(&node.identity, "/v1/enroll/challenge", &mixed)
        .await;
    let challenge: Challenge = asked.json();
    let wrong = json!({
        "keys": mixed,
        "challenge": challenge.nonce,
        "answer": base64_encode(&[0; 32]),
        "name": "web-1",
        "routes": [],
    });
    let refusal = scene.web.post(&node.identity, "/v1/enroll", &wrong).await;
    assert_eq!(refusal.refusal(), refused(401, "keys-not-possessed"));
    assert!(scene.names().await.is_empty());
}

#[tokio::test]
async fn a_bad_policy_changes_nothing() {
    let scene = Scene::new().await;
    let before: api::PolicyText = scene.web.get(&scene.admin, "/v1/policy/file").await.json();
    let put = async |key: &SigningKey, body: serde_json::Value| {
        let body = serde_json::to_vec(&body).unwrap();
        let request = scene.web.signed(key, &Method::PUT, "/v1/policy/file", body);
        scene.web.send(request).await.refusal()
    };
    let syntax = put(&scene.sovereign, json!({ "file": "rules = [" })).await;
    assert_eq!(syntax, refused(400, "policy-file"));
    let nobody = put(&scene.sovereign, json!({ "file": "" })).await;
    assert_eq!(nobody, refused(409, "last-sovereign"));
    let viewer_only = policy(&[&one_of_each()[3]]);
    let changes = put(&scene.admin, json!({ "file": viewer_only })).await;
    assert_eq!(changes, refused(403, "needs-sovereign"));
    let stale = json!({ "file": before.file, "base": 1 });
    assert_eq!(
        put(&scene.sovereign, stale).await,
        refused(409, "policy-changed")
    );
    let after: api::PolicyText = scene.web.get(&scene.admin, "/v1/policy/file").await.json();
    assert_eq!(before, after);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_others_do_not() {
    let world = World::new().await;
    let mut config = lenient();
    config.rates.requests_per_second = 1;
    config.rates.burst = 3;
    let mut web = Web::with(&world, &config);
    let ask = async |web: &Web| web.send(web.plain(&Method::GET, "/v1/genesis", "")).await;
    for _ in 0..3 {
        assert_eq!(ask(&web).await.status, StatusCode::OK);
    }
    let limited = ask(&web).await;
    assert_eq!(limited.refusal(), refused(429, "too-many-requests"));
    assert!(limited.headers.contains_key(header::RETRY_AFTER));
    web.source = "192.0.2.8:40000".parse().unwrap();
    assert_eq!(ask(&web).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_guesses_is_shut_out_and_who_is_known_pays_nothing() {
    let world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let mut config = lenient();
    config.rates.requests_per_second = 1;
    config.rates.burst = 8;
    config.rates.failures_per_minute = 5;
    let mut web = Web::with(&world, &config);
    for _ in 0..50 {
        let reply = web.get(&people[0].key, "/v1/nodes").await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let stranger = SigningKey::from_seed(&[99; 32]);
    web.source = "192.0.2.66:1".parse().unwrap();
    for _ in 0..5 {
        let reply = web.get(&stranger, "/v1/nodes").await;
        assert_eq!(reply.refusal(), refused(401, "key-unknown"));
    }
    let reply = web.get(&stranger, "/v1/nodes").await;
    assert_eq!(reply.refusal(), refused(429, "too-many-requests"));
}

#[tokio::test]
async fn a_database_that_is_gone_is_a_problem_and_not_the_end() {
    let scene = Scene::new().await;
    scene.world.authority.close().await;
    let reply = scene.web.get(&scene.admin, "/v1/nodes").await;
    assert_eq!(reply.refusal(), refused(503, "stopping"));
    let alive = scene
        .web
        .send(scene.web.plain(&Method::GET, "/healthz", ""))
        .await;
    assert_eq!(alive.status, StatusCode::OK);
    let ready = scene
        .web
        .send(scene.web.plain(&Method::GET, "/readyz", ""))
        .await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.value()["ok"], false);
}
