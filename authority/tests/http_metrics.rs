//! Measurements: what is served is what is documented, and it counts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use axum::http::Method;
use support::World;
use support::operators::one_of_each;
use support::web::Web;
use tidegate_authority::http::Metrics;

const DOCUMENT: &str = include_str!("../METRICS.md");

async fn served(web: &Web) -> String {
    let reply = web.send(web.plain(&Method::GET, "/metrics", "")).await;
    let kind = reply.headers["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    String::from_utf8(reply.body.to_vec()).unwrap()
}

/// The value of the first sample that begins so.
fn sample(text: &str, begin: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(begin)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn what_is_served_is_what_is_documented() {
    assert!(
        DOCUMENT.ends_with(&Metrics::table()),
        "{}",
        Metrics::table()
    );
    let world = World::new().await;
    world.authority.tick().await.unwrap();
    let served = served(&Web::of(&world)).await;
    let names = |text: &str, begin: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(begin));
        let words = lines.filter_map(|rest| rest.split(['`', ' ']).next());
        words.map(str::to_owned).collect()
    };
    let documented = names(DOCUMENT, "| `");
    assert_eq!(names(&served, "# TYPE "), documented);
    assert!(documented.len() >= 30, "{} series", documented.len());
    assert!(documented.contains("tidegate_time_to_cutoff_seconds"));
}

#[tokio::test]
async fn measurements_follow_what_happens() {
    let mut world = World::new().await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    world.member("web-1").await;
    world.member("web-2").await;
    let web = Web::of(&world);
    let before = served(&web).await;
    assert!((sample(&before, "tidegate_nodes{status=\"allowed\"}") - 2.0).abs() < 0.1);
    let reason = serde_json::json!({ "reason": "laptop lost" });
    let revoked = web.post(&people[1].key, "/v1/nodes/web-1/revoke", &reason);
    assert!(revoked.await.status.is_success());
    let after = served(&web).await;
    for (series, value) in [
        ("tidegate_nodes{status=\"allowed\"}", 1.0),
        ("tidegate_nodes{status=\"revoked\"}", 1.0),
        ("tidegate_revocations_total{kind=\"revoked\"}", 1.0),
    ] {
        assert!(
            (sample(&after, series) - value).abs() < 0.1,
            "{series}: {after}"
        );
    }
    let list = "tidegate_revocation_list_sequence";
    assert!(sample(&after, list) > sample(&before, list));
    let path = "tidegate_http_requests_total{route=\"/v1/nodes/{node}/revoke\"";
    assert!((sample(&after, path) - 1.0).abs() < 0.1);
}
