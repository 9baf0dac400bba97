//! Attempts on a running authority, by those who have a way in: an operator who was removed, the holder of a viewer's
//! token, a member that wants more than its share, a node that was put out, a stranger who waits.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use serde_json::json;
use support::operators::{Person, one_of_each, policy};
use support::web::{Events, Reply, Web, lenient, with_authorization};
use support::{TestNode, World, operator, revoke};
use tidegate_authority::config::Config;
use tidegate_authority::service::{Notice, OperatorRef};
use tidegate_proto::api::MadeToken;
use tidegate_proto::*;

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

    /// A token of this role, made by the sovereign.
    async fn token(&self, name: &str, role: &str) -> String {
        let new = json!({ "name": name, "role": role, "valid_for": 3_600_000 });
        let sovereign = &self.people[3].key;
        let made = self.web.post(sovereign, "/v1/tokens", &new).await;
        let made: MadeToken = made.json();
        made.token.expose().to_owned()
    }

    fn with_token(&self, token: &str, target: &str) -> Request<Body> {
        let request = self.web.plain(&Method::GET, target, "");
        with_authorization(request, &format!("Bearer {token}"))
    }

    fn signed(&self, key: &SigningKey, target: &str) -> Request<Body> {
        self.web.signed(key, &Method::GET, target, "")
    }

    async fn put_record(&self, node: &TestNode, sequence: u64) -> Reply {
        let record = node.record(sequence, "192.0.2.1:51820", self.world.clock.now());
        let body = serde_json::to_vec(&record).unwrap();
        let put = self
            .web
            .signed(&node.identity, &Method::PUT, "/v1/record", body);
        self.web.send(put).await
    }
}

fn events(response: Response<Body>) -> Events {
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
    Events::of(response)
}

fn too_many() -> (u16, String) {
    (429, "too-many-requests".to_owned())
}

/// Everything that is still told, to the end of the stream.
async fn rest(events: &mut Events) -> Vec<String> {
    let reading = async {
        let mut names = Vec::new();
        while let Some(event) = events.next().await {
            names.push(event.name);
        }
        names
    };
    tokio::time::timeout(PATIENCE, reading)
        .await
        .expect("the stream ends")
}

/// Something changes, and the stream tells it.
async fn is_told_of_changes(scene: &mut Scene, events: &mut Events, name: &str) {
    let node = scene.world.member(name).await.id().to_string();
    let told = async {
        loop {
            let event = events.until("node").await;
            if event.data["node"]["node"] == node.as_str() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn an_operator_who_is_removed_hears_nothing_more() {
    let mut scene = Scene::new(|_| ()).await;
    let key = scene.people[0].key.clone();
    let mut open = events(scene.web.open(scene.signed(&key, "/v1/events")).await);
    is_told_of_changes(&mut scene, &mut open, "before").await;
    let authority = &scene.world.authority;
    let vera = OperatorRef::Id(scene.people[0].id());
    authority.remove_operator(vera, operator()).await.unwrap();
    scene.world.member("after").await;
    assert_eq!(rest(&mut open).await, [""; 0]);
}

#[tokio::test]
async fn a_token_that_is_taken_back_hears_nothing_more() {
    let mut scene = Scene::new(|_| ()).await;
    let token = scene.token("board", "viewer").await;
    let request = scene.with_token(&token, "/v1/events");
    let mut open = events(scene.web.open(request).await);
    is_told_of_changes(&mut scene, &mut open, "before").await;
    let authority = &scene.world.authority;
    let id = authority.tokens().await.unwrap()[0].id;
    authority.revoke_token(id, operator()).await.unwrap();
    scene.world.member("after").await;
    assert_eq!(rest(&mut open).await, [""; 0]);
}

#[tokio::test]
async fn a_token_hears_nothing_more_once_its_maker_is_gone() {
    let mut scene = Scene::new(|_| ()).await;
    let token = scene.token("board", "viewer").await;
    let request = scene.with_token(&token, "/v1/events");
    let mut open = events(scene.web.open(request).await);
    is_told_of_changes(&mut scene, &mut open, "before").await;
    let other = Person::new("sue@example.org", policy::OperatorRole::Sovereign, 90);
    scene.world.govern(&[&other]).await;
    assert_eq!(rest(&mut open).await, [""; 0]);
}

#[tokio::test]
async fn a_viewers_token_does_not_take_the_streams_of_others() {
    let mut scene = Scene::new(|config| config.limits.streams = 18).await;
    let node = scene.world.member("a").await;
    let token = scene.token("board", "viewer").await;
    let mut open = Vec::new();
    let refused = loop {
        let response = scene.web.open(scene.with_token(&token, "/v1/events")).await;
        if response.status() != StatusCode::OK {
            break response.status();
        }
        open.push(events(response));
    };
    assert_eq!((refused, open.len()), (StatusCode::TOO_MANY_REQUESTS, 16));
    let export = scene.with_token(&token, "/v1/audit/export");
    let export = scene.web.send(export).await;
    assert_eq!(export.refusal(), (429, "too-many-streams".to_owned()));
    events(
        scene
            .web
            .open(scene.signed(&node.identity, "/v1/stream"))
            .await,
    );
    open.pop();
    let again = scene.with_token(&token, "/v1/audit/export");
    assert_eq!(scene.web.send(again).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_is_known_has_a_share_of_its_own_and_no_more() {
    let scene = Scene::new(|config| {
        config.rates.known_per_second = 1;
        config.rates.known_burst = 20;
    })
    .await;
    let token = scene.token("board", "viewer").await;
    let mut last = None;
    for _ in 0..200 {
        let reply = scene.web.send(scene.with_token(&token, "/v1/nodes")).await;
        if reply.status != StatusCode::OK {
            last = Some(reply.refusal());
            break;
        }
    }
    assert_eq!(last, Some(too_many()));
    let other = scene.web.get(&scene.people[0].key, "/v1/nodes").await;
    assert_eq!(other.status, StatusCode::OK, "from the same address");
}

#[tokio::test]
async fn a_member_cannot_have_all_its_peers_told_of_it_for_ever() {
    let mut scene = Scene::new(|config| config.rates.records_per_minute = 5).await;
    let (loud, quiet) = (
        scene.world.member("loud").await,
        scene.world.member("quiet").await,
    );
    for sequence in 1..=5 {
        let reply = scene.put_record(&loud, sequence).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(scene.put_record(&loud, 6).await.refusal(), too_many());
    let reply = scene.put_record(&quiet, 1).await;
    assert_eq!(reply.status, StatusCode::NO_CONTENT);
    let asked = scene.web.get(&loud.identity, "/v1/grants").await;
    assert_eq!(asked.status, StatusCode::OK, "all else goes on");
}

/// Who waits or is out proves to be somebody, and still counts for the address that it comes from.
#[tokio::test]
async fn who_is_not_in_floods_no_more_than_a_stranger() {
    let mut scene = Scene::new(|config| {
        config.rates.requests_per_second = 1;
        config.rates.burst = 10;
    })
    .await;
    let waiting = scene.world.node();
    let authority = scene.world.authority.clone();
    waiting.join(&authority, "waiting", None).await.unwrap();
    let out = scene.world.member("out").await;
    let revoked = authority.revoke(out.id(), revoke(RevocationKind::Revoked), operator());
    revoked.await.unwrap();
    for (number, node) in [waiting, out].into_iter().enumerate() {
        scene.web.source = format!("192.0.2.{}:1", 20 + number).parse().unwrap();
        let mut last = None;
        for _ in 0..100 {
            let reply = scene.web.get(&node.identity, "/v1/enroll").await;
            if reply.status == StatusCode::TOO_MANY_REQUESTS {
                last = Some(reply.refusal());
                break;
            }
        }
        assert_eq!(last, Some(too_many()));
    }
}

#[tokio::test]
async fn a_revoked_insider_is_refused_everywhere() {
    let mut scene = Scene::new(|_| ()).await;
    let out = scene.world.member("out").await;
    let authority = scene.world.authority.clone();
    let list = authority.revocation_list().await.unwrap();
    let revoked = authority.revoke(out.id(), revoke(RevocationKind::Revoked), operator());
    revoked.await.unwrap();
    for target in ["/v1/grants", "/v1/roster", "/v1/policy", "/v1/stream"] {
        let reply = scene.web.get(&out.identity, target).await;
        assert_eq!(
            reply.refusal(),
            (403, "not-a-member".to_owned()),
            "{target}"
        );
    }
    let refused = scene.put_record(&out, 9).await.refusal();
    assert_eq!(refused, (403, "not-a-member".to_owned()));
    let now = scene.world.clock.now();
    let place = list.verify(&authority.keyring(), now).unwrap().place();
    let receipt = out.receipt(&list, place, 9, now);
    let reply = scene
        .web
        .post(&out.identity, "/v1/receipts", &receipt)
        .await;
    assert_eq!(reply.refusal(), (403, "not-a-member".to_owned()));
    let asked = out.renew(&authority).await.unwrap_err();
    assert!(asked.to_string().contains("revoked"), "{asked}");
    let again = out.join(&authority, "out", None).await.unwrap_err();
    assert!(again.to_string().contains("laptop lost"), "{again}");
}

/// A server that stood still for longer than changes are kept does not leave its followers where they were.
#[tokio::test]
async fn followers_of_a_server_that_stood_still_begin_anew() {
    let mut world = World::new().await;
    world.member("before").await;
    let mut follower = world.authority.follow();
    let mut database = world.database().await;
    let missed = "BEGIN IMMEDIATE;
        UPDATE counters SET last = last + 1000 WHERE name = 'change';
        UPDATE counters SET last = (SELECT last FROM counters WHERE name = 'change') WHERE name = 'change-forgotten';
        INSERT INTO counters SELECT 'change-forgotten', last FROM counters WHERE name = 'change' ON CONFLICT DO NOTHING;
        DELETE FROM changes; COMMIT";
    sqlx::raw_sql(missed).execute(&mut database).await.unwrap();
    let ended = async { while follower.next().await.is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it ends");
    let mut anew = world.authority.follow();
    let node = world.member("after").await.id();
    let told = async {
        while !matches!(anew.next().await, Some(Notice::Node(told, _)) if told == node) {}
    };
    tokio::time::timeout(PATIENCE, told)
        .await
        .expect("it is told");
}

#[tokio::test]
async fn a_policy_of_a_former_sovereign_changes_nothing() {
    let scene = Scene::new(|_| ()).await;
    let sam = &scene.people[3];
    let file = json!({ "file": policy(&[sam]) });
    let body = serde_json::to_vec(&file).unwrap();
    // Signed while it was one, sent when it is not any more.
    let late = scene
        .web
        .signed(&sam.key, &Method::PUT, "/v1/policy/file", body);
    let other = Person::new("sue@example.org", policy::OperatorRole::Sovereign, 90);
    scene.world.govern(&[&other]).await;
    let refused = scene.web.send(late).await.refusal();
    assert_eq!(refused, (401, "key-unknown".to_owned()));
    let named = scene.world.authority.operators().await.unwrap();
    assert_eq!(named.len(), 1);
}
