//! The doors: every route of the API, as its own description lists them, against everybody who may come.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use axum::http::{Method, StatusCode};
use serde_json::Value;
use support::operators::{Person, one_of_each};
use support::web::{Reply, Web, with_authorization};
use support::{TestNode, World};
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::*;

/// One operation, as the OpenAPI document has it.
struct Listed {
    method: Method,
    target: String,
    /// The names of its security schemes; none: for anybody.
    doors: Vec<String>,
    role: Option<OperatorRole>,
    has_body: bool,
}

async fn listed(web: &Web) -> Vec<Listed> {
    let document = web.send(web.plain(&Method::GET, "/openapi.json", "")).await;
    let document: Value = document.value();
    assert_eq!(document["openapi"], "3.1.0");
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let schemes = operation["security"].as_array().unwrap();
            let names = schemes
                .iter()
                .flat_map(|one| one.as_object().unwrap().keys());
            let role = operation.get("x-tidegate-role").map(|role| {
                let named = |one: &&OperatorRole| one.to_string() == role.as_str().unwrap();
                *OperatorRole::ALL.iter().find(named).unwrap()
            });
            all.push(Listed {
                method: method.to_uppercase().parse().unwrap(),
                target: sample(path),
                doors: names.cloned().collect(),
                role,
                has_body: operation.get("requestBody").is_some(),
            });
        }
    }
    assert!(all.len() >= 45, "{} operations", all.len());
    all
}

/// The path with something for each name in it that is well formed and means nothing.
fn sample(path: &str) -> String {
    path.replace("{node}", "nobody")
        .replace("{sequence}", "1")
        .replace("{operator}", "nobody")
        .replace("/invites/{id}", "/invites/invite0000000000000")
        .replace("/tokens/{id}", "/tokens/token0000000000000")
}

fn body(listed: &Listed) -> &'static str {
    if listed.has_body { "{}" } else { "" }
}

fn assert_unproven(reply: &Reply, codes: &[&str], what: &Listed) {
    let (status, code) = reply.refusal();
    let at = format!("{} {}: {status} {code}", what.method, what.target);
    assert_eq!(status, 401, "{at}");
    assert!(codes.contains(&code.as_str()), "{at}");
    assert!(reply.headers.contains_key("www-authenticate"), "{at}");
}

#[tokio::test]
async fn nobody_gets_in_without_showing_who_it_is() {
    let world = World::new().await;
    world.govern(&one_of_each().each_ref()).await;
    let web = Web::of(&world);
    for listed in listed(&web).await {
        let plain = || web.plain(&listed.method, &listed.target, body(&listed));
        if listed.doors.is_empty() {
            let reply = web.send(plain()).await;
            assert_ne!(reply.status, StatusCode::UNAUTHORIZED, "{}", listed.target);
            continue;
        }
        assert_unproven(&web.send(plain()).await, &["unsigned"], &listed);
        for nonsense in [
            "Basic YTpi",
            "Tidegate key=1",
            "Bearer",
            "tidegate-token-00",
        ] {
            let reply = web.send(with_authorization(plain(), nonsense)).await;
            assert_unproven(&reply, &["authorization-malformed"], &listed);
        }
        let token = format!("Bearer tidegate-token-{}", "0".repeat(64));
        let reply = web.send(with_authorization(plain(), &token)).await;
        assert_unproven(
            &reply,
            &["token-unknown", "authorization-malformed"],
            &listed,
        );
        let stranger = SigningKey::from_seed(&[99; 32]);
        let (method, target) = (&listed.method, &listed.target);
        let reply = web
            .send(web.signed(&stranger, method, target, body(&listed)))
            .await;
        let newcomers = [StatusCode::BAD_REQUEST, StatusCode::CONFLICT]; // its key would be in the body
        if !newcomers.contains(&reply.status) {
            assert_unproven(&reply, &["key-unknown"], &listed);
        }
    }
}

#[tokio::test]
async fn each_role_gets_through_the_doors_that_are_its_own_and_no_other() {
    let world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let web = Web::of(&world);
    let mut judged = 0;
    for listed in listed(&web).await {
        let Some(needs) = listed.role else { continue };
        for person in &people {
            let role = person.operator.role;
            let request = web.signed(&person.key, &listed.method, &listed.target, body(&listed));
            let response = web.open(request).await; // a stream would not end
            let at = format!("{role} at {} {}", listed.method, listed.target);
            if role < needs {
                assert_eq!(response.status(), StatusCode::FORBIDDEN, "{at}");
            } else {
                let status = response.status();
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{at}");
                assert_ne!(status, StatusCode::FORBIDDEN, "{at}");
                assert!(!status.is_server_error(), "{at}: {status}");
            }
            judged += 1;
        }
    }
    assert!(judged >= 4 * 25, "{judged}");
}

#[tokio::test]
async fn a_token_opens_what_its_description_says() {
    let world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let web = Web::of(&world);
    let made = web
        .post(
            &people[3].key,
            "/v1/tokens",
            &serde_json::json!({ "name": "automation", "role": "sovereign", "valid_for": 3_600_000 }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let token = format!("Bearer {}", made.value()["token"].as_str().unwrap());
    for listed in listed(&web).await {
        if listed.role.is_none() {
            continue;
        }
        let plain = web.plain(&listed.method, &listed.target, body(&listed));
        let response = web.open(with_authorization(plain, &token)).await;
        let opens = listed.doors.iter().any(|door| door == "token");
        let at = format!("{} {}: {}", listed.method, listed.target, response.status());
        assert_eq!(response.status() != StatusCode::FORBIDDEN, opens, "{at}");
        assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{at}");
    }
}

#[tokio::test]
async fn a_node_that_waits_or_is_out_gets_nothing() {
    let mut world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let waiting = world.node();
    waiting.join(&world.authority, "waits", None).await.unwrap();
    let out = world.member("out").await;
    let member = world.member("in").await;
    let web = Web::of(&world);
    let reason = serde_json::json!({ "reason": "laptop lost" });
    let put_out = web.post(&people[1].key, "/v1/nodes/out/revoke", &reason);
    assert_eq!(put_out.await.status, StatusCode::OK);
    for target in ["/v1/grants", "/v1/roster", "/v1/policy", "/v1/stream"] {
        for node in [&waiting, &out] {
            let reply = web.get(&node.identity, target).await;
            assert_eq!(
                reply.refusal(),
                (403, "not-a-member".to_owned()),
                "{target}"
            );
        }
        let response = web
            .open(web.signed(&member.identity, &Method::GET, target, ""))
            .await;
        assert_eq!(response.status(), StatusCode::OK, "{target}");
    }
}

#[tokio::test]
async fn an_operator_is_no_node_and_a_node_no_operator() {
    let mut world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let member = world.member("web-1").await;
    let web = Web::of(&world);
    let sovereign: &Person = &people[3];
    let node: &TestNode = &member;
    let as_node = web.get(&sovereign.key, "/v1/roster").await;
    assert_eq!(as_node.refusal(), (401, "key-unknown".to_owned()));
    let as_operator = web.get(&node.identity, "/v1/nodes").await;
    assert_eq!(as_operator.refusal(), (401, "key-unknown".to_owned()));
}
