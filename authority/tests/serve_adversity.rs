//! The real server when its disk is full and when its database is locked: a problem with a code, and then it goes on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::TestNode;
use support::disk::SmallDisk;
use support::server::{Answer, Installed, PATIENCE, Server};

/// Makes an invite; what is in the way otherwise.
async fn make_invite(installed: &Installed) -> Result<(), Answer> {
    let new = json!({ "uses": 1, "valid_for": 60_000 }).to_string();
    let key = Some(&installed.operator);
    let answer = installed.ask(key, "POST", "/v1/invites", &new).await;
    if answer.status == 201 {
        Ok(())
    } else {
        Err(answer)
    }
}

async fn invites(installed: &Installed) -> usize {
    let listed = installed.decide("GET", "/v1/invites", &Value::Null).await;
    listed.value()["invites"].as_array().unwrap().len()
}

/// The answer is a problem with this status and code, and with no internals.
#[track_caller]
fn check_problem(answer: &Answer, status: u16, code: &str) {
    let problem = answer.value();
    assert_eq!(
        (answer.status, problem["status"].as_u64()),
        (status, Some(status.into()))
    );
    assert_eq!(problem["code"], code, "{problem}");
    assert!(!answer.text.contains("sqlite") && !answer.text.contains("authority.db"));
    let kind = "content-type: application/problem+json";
    assert!(answer.head.to_lowercase().contains(kind), "{}", answer.head);
}

async fn is_alive(installed: &Installed) {
    let alive = installed.ask(None, "GET", "/healthz", "").await;
    assert_eq!(alive.status, 200);
    let list = installed.ask(None, "GET", "/v1/revocations/list", "").await;
    assert_eq!(list.status, 200, "reading goes on");
}

/// What it says of its readiness, once that is told with `status`.
async fn readiness_is(installed: &Installed, status: u16) -> Value {
    let begun = Instant::now();
    loop {
        let said = installed.ask(None, "GET", "/readyz", "").await;
        if said.status == status {
            return said.value();
        }
        assert!(begun.elapsed() < PATIENCE, "{said:?}");
        tokio::time::sleep(Duration::from_millis(100)).await; // until it has looked again
    }
}

/// It works again, at the latest when it has tried again by itself.
async fn works_again(installed: &Installed) {
    let begun = Instant::now();
    while let Err(refused) = make_invite(installed).await {
        assert!(begun.elapsed() < PATIENCE, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(100)).await; // until the next try
    }
}

async fn stops_in_order(installed: &Installed, server: Server) {
    server.signal("TERM");
    assert_eq!(server.ended().await.code(), Some(0));
    let verified = installed.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn a_full_disk_is_a_problem_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(folder.path().join("disk"), "16m");
    let installed = Installed::at(disk.path().join("authority"), folder.path().join("log"));
    let server = installed.serve().await;
    let node = TestNode::new(7);
    installed.admit(&node, "web-1").await;
    readiness_is(&installed, 200).await;
    let filler = disk.fill();
    let mut made = invites(&installed).await;
    let refused = loop {
        match make_invite(&installed).await {
            Ok(()) => made += 1,
            Err(refused) => break refused,
        }
    };
    check_problem(&refused, 507, "disk-full");
    is_alive(&installed).await;
    let unready = readiness_is(&installed, 503).await;
    let database = json!({ "name": "database", "ok": false, "reason": "disk-full" });
    assert!(
        unready["checks"].as_array().unwrap().contains(&database),
        "{unready}"
    );
    assert_eq!(invites(&installed).await, made, "nothing half written");
    let keys = serde_json::to_string(&node.keys()).unwrap();
    let target = "/v1/renew/challenge";
    let asked = installed
        .ask(Some(&node.identity), "POST", target, &keys)
        .await;
    assert_eq!(asked.status, 200, "what writes nothing goes on");
    std::fs::remove_file(filler).unwrap();
    works_again(&installed).await;
    readiness_is(&installed, 200).await;
    assert_eq!(invites(&installed).await, made + 1);
    stops_in_order(&installed, server).await;
}

#[tokio::test]
async fn a_locked_database_is_a_problem_and_not_the_end() {
    let installed = Installed::new();
    let server = installed.serve().await;
    make_invite(&installed).await.unwrap();
    let file = sqlx::sqlite::SqliteConnectOptions::new();
    let file = file.filename(installed.dir.join("authority.db"));
    let mut other = sqlx::ConnectOptions::connect(&file).await.unwrap();
    let lock = sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other);
    lock.await.unwrap();
    let refused = make_invite(&installed).await.unwrap_err();
    check_problem(&refused, 503, "database-locked");
    assert!(refused.head.to_lowercase().contains("retry-after: "));
    is_alive(&installed).await;
    assert_eq!(invites(&installed).await, 1);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    works_again(&installed).await;
    assert_eq!(invites(&installed).await, 2);
    stops_in_order(&installed, server).await;
}
