//! Streams over the API: what a node hears, in which order, when it resumes, and when it is out.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use support::operators::{Person, one_of_each};
use support::web::{Events, Web};
use support::{TestNode, World};
use tidegate_proto::SigningKey;

struct Scene {
    world: World,
    web: Web,
    people: [Person; 4],
}

impl Scene {
    async fn new() -> Self {
        let world = World::new().await;
        let people = one_of_each();
        world.govern(&people.each_ref()).await;
        world.authority.tick().await.unwrap();
        let web = Web::of(&world);
        Self { world, web, people }
    }

    async fn member(&mut self, name: &str) -> TestNode {
        let node = self.world.member(name).await;
        self.world.authority.tick().await.unwrap();
        node
    }

    async fn follow(&self, key: &SigningKey, target: &str, last: Option<&str>) -> Events {
        let mut request = self.web.signed(key, &Method::GET, target, "");
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = self.web.open(request).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events::of(response)
    }

    async fn revoke(&self, name: &str) {
        let reason = serde_json::json!({ "reason": "laptop lost" });
        let target = format!("/v1/nodes/{name}/revoke");
        let reply = self.web.post(&self.people[1].key, &target, &reason).await;
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    }
}

/// The events of a fresh stream up to its first grant.
async fn beginning(events: &mut Events) -> (Vec<String>, Option<String>) {
    let (mut names, mut last) = (Vec::new(), None);
    loop {
        let event = events.next().await.unwrap();
        assert!(event.data.get(&event.name).is_some(), "{event:?}");
        last = event.id.or(last);
        names.push(event.name.clone());
        if event.name == "grant" {
            return (names, last);
        }
    }
}

#[tokio::test]
async fn a_node_hears_all_that_it_needs_and_then_what_changes() {
    let mut scene = Scene::new().await;
    let one = scene.member("one").await;
    let two = scene.member("two").await;
    let mut events = scene.follow(&one.identity, "/v1/stream", None).await;
    let (names, _) = beginning(&mut events).await;
    assert_eq!(&names[..2], ["genesis", "list"], "{names:?}");
    for name in ["policy", "roster"] {
        assert!(names.iter().any(|told| told == name), "{name}: {names:?}");
    }
    let record = two.record(1, "192.0.2.1:51820", scene.world.clock.now());
    let body = serde_json::to_vec(&record).unwrap();
    let put = scene
        .web
        .signed(&two.identity, &Method::PUT, "/v1/record", body);
    assert_eq!(scene.web.send(put).await.status, StatusCode::NO_CONTENT);
    let told = events.until("record").await;
    assert_eq!(
        told.data["record"]["record"],
        serde_json::to_value(&record).unwrap()
    );
    scene.member("three").await;
    events.until("roster").await;
}

#[tokio::test]
async fn the_list_that_puts_a_node_out_is_the_last_that_it_hears() {
    let mut scene = Scene::new().await;
    let (out, peer) = (scene.member("out").await, scene.member("peer").await);
    let mut theirs = scene.follow(&out.identity, "/v1/stream", None).await;
    let mut ours = scene.follow(&peer.identity, "/v1/stream", None).await;
    beginning(&mut theirs).await;
    beginning(&mut ours).await;
    scene.revoke("out").await;
    let (mut names, mut list) = (Vec::new(), None);
    while let Some(event) = theirs.next().await {
        names.push(event.name.clone());
        list = Some(event);
    }
    assert_eq!(names, ["list"]);
    let same = ours.until("list").await;
    assert_eq!(list.unwrap().data, same.data);
    ours.until("roster").await;
    let again = scene.web.get(&out.identity, "/v1/stream").await;
    assert_eq!(again.refusal(), (403, "not-a-member".to_owned()));
}

#[tokio::test]
async fn who_resumes_hears_what_it_missed_and_who_was_out_hears_nothing() {
    let mut scene = Scene::new().await;
    let (one, two) = (scene.member("one").await, scene.member("two").await);
    scene.member("three").await;
    let mut events = scene.follow(&one.identity, "/v1/stream", None).await;
    let (_, last) = beginning(&mut events).await;
    let last = last.unwrap();
    drop(events);
    scene.revoke("three").await;
    let mut resumed = scene.follow(&one.identity, "/v1/stream", Some(&last)).await;
    assert_eq!(resumed.next().await.unwrap().name, "list");
    for unknown in ["ffffffff-1", "nonsense", ""] {
        let mut anew = scene
            .follow(&one.identity, "/v1/stream", Some(unknown))
            .await;
        assert_eq!(anew.next().await.unwrap().name, "genesis", "{unknown}");
    }
    scene.revoke("two").await;
    let mut request = scene
        .web
        .signed(&two.identity, &Method::GET, "/v1/stream", "");
    request
        .headers_mut()
        .insert("last-event-id", last.parse().unwrap());
    let refused = scene.web.send(request).await;
    assert_eq!(refused.refusal(), (403, "not-a-member".to_owned()));
}

#[tokio::test]
async fn a_node_has_few_streams_and_gives_back_those_that_end() {
    let mut scene = Scene::new().await;
    let node = scene.member("one").await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(scene.follow(&node.identity, "/v1/stream", None).await);
    }
    let refused = scene.web.get(&node.identity, "/v1/stream").await;
    assert_eq!(refused.refusal(), (429, "too-many-streams".to_owned()));
    open.pop();
    scene.follow(&node.identity, "/v1/stream", None).await;
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let mut scene = Scene::new().await;
    let node = scene.member("one").await;
    let mut events = scene.follow(&node.identity, "/v1/stream", None).await;
    beginning(&mut events).await;
    let silence = async {
        loop {
            let block = events.block().await.unwrap().unwrap();
            if block.starts_with(':') {
                return block;
            }
        }
    };
    let comment = tokio::time::timeout(Duration::from_secs(50), silence).await;
    assert_eq!(comment.unwrap(), ":\n\n");
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut scene = Scene::new().await;
    let node = scene.member("one").await;
    let mut theirs = scene.follow(&node.identity, "/v1/stream", None).await;
    let viewer = scene.people[0].key.clone();
    let mut ours = scene.follow(&viewer, "/v1/events", None).await;
    beginning(&mut theirs).await;
    scene.web.app.stop();
    assert!(theirs.next().await.is_none());
    while ours.next().await.is_some() {}
}

#[tokio::test]
async fn operators_hear_of_everything() {
    let mut scene = Scene::new().await;
    let viewer = scene.people[0].key.clone();
    let mut events = scene.follow(&viewer, "/v1/events", None).await;
    scene.member("one").await;
    let node = events.until("node").await;
    assert_eq!(node.data["node"]["name"], "one");
    let admitted = loop {
        let audit = events.until("audit").await.data["audit"]["record"].clone();
        if audit["event"] == "node.admitted" {
            break audit;
        }
    };
    assert!(admitted["sequence"].as_u64().unwrap() > 0);
    scene.revoke("one").await;
    events.until("list").await;
}
