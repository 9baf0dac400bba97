//! Disks that are full, databases that are locked or broken, and acknowledgements that must not come before the disk.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqlx::Row as _;
use support::disk::SmallDisk;
use support::{MEMBERS, TestNode, World, operator, revoke};
use tidegate_authority::service::{EnrollError, Limits, NodeFilter, Options};
use tidegate_authority::signer::AtRestKey;
use tidegate_authority::store::{Location, StoreError};
use tidegate_authority::{Authority, Clock};
use tidegate_proto::*;

async fn open(database: PathBuf) -> Authority {
    let (root, keys, genesis) = support::genesis("10.211.0.0/16");
    let options = Options {
        location: Location::File(database),
        keys,
        at_rest: AtRestKey::from_bytes([7; 32]),
        genesis: vec![Signed::sign(&genesis, &[&root]).unwrap()],
        clock: Clock::manual(support::START).0,
        limits: Limits {
            pending: 100_000,
            ..Limits::default()
        },
    };
    Authority::open(options).await.unwrap()
}

#[tokio::test]
async fn a_full_disk_refuses_cleanly_and_the_server_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(dir.path().join("disk"), "6m");
    let authority = open(disk.path().join("authority.db")).await;
    let filler = disk.fill();
    let mut acknowledged = Vec::new();
    let refused = loop {
        let node = TestNode::new(acknowledged.len() as u64);
        let name = format!("n-{}", acknowledged.len());
        match node.join(&authority, &name, None).await {
            Ok(_) => acknowledged.push(node.id()),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, EnrollError::Store(StoreError::Full));
    assert!(authority.tick().await.is_err(), "nothing else works either");
    for node in &acknowledged {
        assert!(authority.enrolled(*node).await.is_ok(), "reading goes on");
    }
    std::fs::remove_file(filler).unwrap();
    authority.tick().await.unwrap();
    let late = TestNode::new(1_000_000);
    late.join(&authority, "late", None).await.unwrap();
    let pending = NodeFilter::default();
    let known = authority.nodes(pending).await.unwrap();
    assert_eq!(known.len(), acknowledged.len() + 1, "nothing half written");
    authority.close().await;
}

#[tokio::test]
async fn a_locked_database_refuses_and_the_server_goes_on_afterwards() {
    let mut world = World::new().await;
    let node = world.node();
    let mut other = world.database().await;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = node.join(&world.authority, "a", None).await;
    assert_eq!(refused, Err(EnrollError::Store(StoreError::Locked)));
    assert!(world.authority.revocation_list().await.is_ok());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert!(node.join(&world.authority, "a", None).await.is_ok());
}

/// Every column of every table, with what nobody ever wrote there: errors, and a server that goes on.
#[tokio::test]
async fn a_broken_row_is_an_error_and_never_a_panic() {
    let mut world = World::new().await;
    let (node, out) = (world.member("a").await, world.member("b").await);
    let policy = world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator());
    policy.await.unwrap();
    world.authority.tick().await.unwrap();
    let revoked = world
        .authority
        .revoke(out.id(), revoke(RevocationKind::Revoked), operator());
    let list = revoked.await.unwrap().list.sequence;
    let record = node.record(1, "192.0.2.7:51820", world.clock.now());
    let put = world
        .authority
        .put_record(node.id(), record, None, node.caller());
    put.await.unwrap();
    world.authority.close().await;
    let good = world.dir.path().join("authority.db");
    for (table, column) in columns(&world).await {
        for value in ["'x'", "x'00'", "-1", "9223372036854775807"] {
            let broken = world.dir.path().join("broken.db");
            std::fs::copy(&good, &broken).unwrap();
            if spoil(&broken, &format!("UPDATE {table} SET {column} = {value}")).await {
                go_on(
                    &world,
                    broken.clone(),
                    &node,
                    list,
                    &format!("{table}.{column} = {value}"),
                )
                .await;
            }
            for suffix in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{suffix}", broken.display()));
            }
        }
    }
}

async fn columns(world: &World) -> Vec<(String, String)> {
    let mut connection = world.database().await;
    let text = "SELECT m.name AS t, c.name AS c FROM sqlite_master m, pragma_table_info(m.name) c
                WHERE m.type = 'table' AND m.name NOT LIKE '\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite%'";
    let rows = sqlx::query(text).fetch_all(&mut connection).await.unwrap();
    assert!(rows.len() > 100);
    rows.iter()
        .map(|row| (row.get("t"), row.get("c")))
        .collect()
}

/// Whether the statement changed anything; some are refused by the schema.
async fn spoil(database: &Path, statement: &str) -> bool {
    let file = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let mut connection = sqlx::ConnectOptions::connect(&file).await.unwrap();
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut connection)
        .await;
    sqlx::Connection::close(connection).await.unwrap();
    done.is_ok_and(|done| done.rows_affected() > 0)
}

/// Asks for everything. What fails must fail in words; the writer must still be there at the end.
async fn go_on(world: &World, database: PathBuf, node: &TestNode, list: Sequence, what: &str) {
    let options = Options {
        location: Location::File(database),
        keys: world.keys.clone(),
        at_rest: AtRestKey::from_bytes([7; 32]),
        genesis: Vec::new(),
        clock: world.clock.clone(),
        limits: Limits::default(),
    };
    let Ok(authority) = Authority::open(options).await else {
        return;
    };
    let _ = authority.tick().await;
    let _ = authority.nodes(NodeFilter::default()).await;
    let _ = authority.roster(node.id(), None).await;
    let _ = authority.grants(node.id()).await;
    let _ = authority.stream(node.id(), None).await;
    let _ = authority.revocation(list).await;
    let _ = authority.revocations().await;
    let _ = authority.invites().await;
    let _ = authority.ledger().await;
    let _ = authority.epochs().await;
    let _ = node.renew(&authority).await;
    let _ = authority
        .revoke(node.id(), revoke(RevocationKind::Suspended), operator())
        .await;
    let _ = authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await;
    let last = TestNode::new(77).join(&authority, "last", None).await;
    let stopped = Err(EnrollError::Store(StoreError::Closed));
    assert_ne!(last, stopped, "the writer died of {what}");
    authority.close().await;
}

const CHILD: &str = "TIDEGATE_TEST_DATABASE";
const ROUNDS: usize = 20;

/// The other half of the test below: acknowledges changes on its standard output.
#[tokio::test]
async fn acknowledging_child() {
    let Ok(database) = std::env::var(CHILD) else {
        return; // alone it has nothing to do
    };
    let authority = open(database.into()).await;
    for index in 0..ROUNDS {
        let node = TestNode::new(index as u64);
        node.join(&authority, &format!("n-{index}"), None)
            .await
            .unwrap();
        std::io::stdout().write_all(b"acknowledged\n").unwrap();
    }
    authority.close().await;
}

/// As the kernel saw it: between two acknowledgements the write-ahead log was synced to disk.
#[test]
fn an_acknowledgement_comes_after_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let status = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "acknowledging_child", "--nocapture"])
        .env(CHILD, dir.path().join("authority.db"))
        .stdout(Stdio::null())
        .status()
        .expect("strace; tests/install-tools installs it");
    assert!(status.success());
    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut synced, mut acknowledged) = (0, 0);
    let mut under_way = BTreeSet::new();
    for line in trace.lines() {
        let thread = line.split_whitespace().next().unwrap_or_default();
        let is_sync = line.contains("sync(") && line.contains("authority.db-wal");
        if is_sync && line.contains("<unfinished") {
            under_way.insert(thread);
        } else if is_sync || (line.contains("sync resumed>") && under_way.remove(thread)) {
            assert!(line.trim_end().ends_with("= 0"), "{line}");
            synced += 1;
        } else if line.contains("\"acknowledged\\n\"") && line.contains("write(") {
            acknowledged += 1;
            assert!(
                synced >= acknowledged,
                "acknowledgement {acknowledged} came after {synced} syncs only"
            );
            synced = acknowledged; // what was synced before it does not count for the next
        }
    }
    assert_eq!(acknowledged, ROUNDS);
}
