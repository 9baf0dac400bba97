//! Databases of earlier versions, of later ones, and damaged ones.
//!
//! `tests/fixtures/databases/NNNN.sql` holds a database as the release with schema NNNN left it; every one of them is
//! migrated here. A new schema needs a new fixture: `make fixture-database` writes it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod folder;
mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use folder::Folder;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::{MEMBERS, World, operator, revoke};
use tidegate_authority::service::{NodeFilter, NodeStatus, verify_log};
use tidegate_authority::store::{Location, Store, StoreError, upkeep};
use tidegate_proto::{RevocationKind, Span};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/databases")
}

async fn connected(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, text: String) {
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(connection)
        .await
        .unwrap();
}

/// A world with something in every table that matters.
async fn inhabited() -> World {
    let mut world = World::new().await;
    world
        .authority
        .put_policy(MEMBERS.to_owned(), None, operator())
        .await
        .unwrap();
    let rose = world.member("rose").await;
    let bert = world.member("bert").await;
    let waiting = world.node();
    waiting.join(&world.authority, "wanda", None).await.unwrap();
    world.authority.tick().await.unwrap();
    let record = bert.record(1, "192.0.2.7:51820", world.clock.now());
    world
        .authority
        .put_record(bert.id(), record, None, bert.caller())
        .await
        .unwrap();
    world
        .authority
        .revoke(rose.id(), revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let list = world.authority.revocation_list().await.unwrap();
    let sequence = list
        .verify(&world.authority.keyring(), world.clock.now())
        .unwrap()
        .place();
    let receipt = bert.receipt(&list, sequence, 1, world.clock.now());
    world
        .authority
        .put_receipt(bert.id(), receipt, bert.caller())
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    world.invite(3).await;
    world
}

/// The database as SQL.
async fn dump(connection: &mut SqliteConnection) -> String {
    let mut text = String::new();
    let objects = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'
                   ORDER BY type = 'index', name";
    for object in sqlx::query(objects)
        .fetch_all(&mut *connection)
        .await
        .unwrap()
    {
        let sql: String = object.get("sql");
        text += &format!("{sql};\n");
        if object.get::<String, _>("type") != "table" {
            continue;
        }
        let table: String = object.get("name");
        let columns = format!(
            "SELECT group_concat('quote(\"' || name || '\")', ' || '', '' || ') AS quoted FROM pragma_table_info('{table}')"
        );
        let columns = sqlx::query(AssertSqlSafe(columns))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let quoted: String = columns.get("quoted");
        let rows = format!("SELECT {quoted} AS line FROM \"{table}\"");
        for row in sqlx::query(AssertSqlSafe(rows))
            .fetch_all(&mut *connection)
            .await
            .unwrap()
        {
            text += &format!(
                "INSERT INTO \"{table}\" VALUES ({});\n",
                row.get::<String, _>("line")
            );
        }
    }
    text
}

#[tokio::test]
async fn every_schema_that_was_ever_released_is_migrated() {
    let newest = fixtures().join(format!("{:04}.sql", upkeep::newest_schema()));
    if std::env::var_os("TIDEGATE_WRITE_FIXTURE").is_some() {
        let world = inhabited().await;
        let text = dump(&mut connected(&world.dir.path().join("authority.db")).await).await;
        world.authority.close().await;
        fs::create_dir_all(fixtures()).unwrap();
        fs::write(&newest, text).unwrap();
    }
    assert!(
        newest.exists(),
        "schema {} has no fixture; run: make fixture-database",
        upkeep::newest_schema()
    );
    for entry in fs::read_dir(fixtures()).unwrap() {
        migrates(&entry.unwrap().path()).await;
    }
}

async fn migrates(fixture: &Path) {
    let world = World::new().await;
    world.hand.advance(Span::from_minutes(1));
    let path = world.dir.path().join("earlier/authority.db");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let mut connection = connected(&path).await;
    run(&mut connection, fs::read_to_string(fixture).unwrap()).await;
    connection.close().await.unwrap();
    let schema = upkeep::schema_of(&path).await.unwrap();
    let authority = world.on(Location::File(path.clone())).await;
    assert_eq!(
        upkeep::schema_of(&path).await,
        Ok(upkeep::newest_schema()),
        "{}",
        fixture.display()
    );
    let copied = path
        .with_file_name("backups")
        .join(format!("authority-schema-{schema:04}.db"))
        .exists();
    assert_eq!(copied, schema < upkeep::newest_schema());
    authority.tick().await.unwrap();
    let nodes = authority.nodes(NodeFilter::default()).await.unwrap();
    let mut found: Vec<_> = nodes
        .iter()
        .map(|node| (node.name.as_str(), node.status))
        .collect();
    found.sort();
    let expected = [
        ("bert", NodeStatus::Allowed),
        ("rose", NodeStatus::Revoked),
        ("wanda", NodeStatus::Pending),
    ];
    assert_eq!(
        found.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["bert", "rose", "wanda"]
    );
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(found, expected)| *found == expected),
        "{found:?}"
    );
    let chain = authority.genesis_chain().await.unwrap();
    verify_log(authority.store(), &chain).await.unwrap();
    authority.close().await;
}

#[tokio::test]
async fn a_copy_is_made_before_the_schema_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.db");
    let mut connection = connected(&path).await;
    // An empty schema 0 with something in it: nothing that a release ever left, but there is only one schema yet.
    let earlier = "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
                     installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,
                     checksum BLOB NOT NULL, execution_time BIGINT NOT NULL);
                   CREATE TABLE keepsake (text TEXT NOT NULL); INSERT INTO keepsake VALUES ('precious')";
    run(&mut connection, earlier.to_owned()).await;
    connection.close().await.unwrap();
    let store = Store::open(
        &Location::File(path.clone()),
        tidegate_authority::Clock::system(),
    )
    .await
    .unwrap();
    store.close().await;
    let copy = folder.path().join("backups/authority-schema-0000.db");
    let mut copied = connected(&copy).await;
    let row = sqlx::query("SELECT text FROM keepsake")
        .fetch_one(&mut copied)
        .await
        .unwrap();
    assert_eq!(row.get::<String, _>("text"), "precious");
    assert_eq!(upkeep::schema_of(&copy).await, Ok(0));
    assert_eq!(upkeep::schema_of(&path).await, Ok(upkeep::newest_schema()));
}

#[tokio::test]
async fn a_newer_database_is_refused_and_not_touched() {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    folder.write("passphrase", b"five random words they say\n", 0o600);
    let path = folder.path("data/authority.db");
    let mut connection = connected(&path).await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', 1, x'00', 0)";
    run(&mut connection, later.to_owned()).await;
    connection.close().await.unwrap();
    let opened = Store::open(&Location::File(path), tidegate_authority::Clock::system()).await;
    assert_eq!(opened.err(), Some(StoreError::Newer));
    for command in [
        "audit verify --dir data",
        "backup --dir data --out backup --passphrase-file passphrase",
    ] {
        let line = folder.refused(command);
        assert!(line.contains("written by a newer version"), "{line}");
    }
    assert!(!folder.path("data/backups").exists());
}

#[tokio::test]
async fn a_damaged_database_stops_the_start_with_the_way_out() {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    let path = folder.path("data/authority.db");
    let sound = fs::read(&path).unwrap();
    for (name, damage) in [
        ("torn pages", 4096..40_960),
        ("another file", 0..100),
        ("zeros", 8192..sound.len()),
    ] {
        fs::write(&path, &sound).unwrap();
        let mut file = fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(damage.start as u64)).unwrap();
        let bytes: Vec<u8> = damage
            .map(|at| if name == "zeros" { 0 } else { (at * 31) as u8 })
            .collect();
        file.write_all(&bytes).unwrap();
        let opened = Store::open(
            &Location::File(path.clone()),
            tidegate_authority::Clock::system(),
        )
        .await;
        assert!(
            matches!(opened.as_ref().err(), Some(StoreError::Corrupt(_))),
            "{name}: {:?}",
            opened.err()
        );
        let line = folder.refused("audit verify --dir data");
        assert!(
            line.contains("restore a backup with 'tidegate-authority restore'"),
            "{name}: {line}"
        );
        for ending in ["authority.db-wal", "authority.db-shm"] {
            let _ = fs::remove_file(folder.path("data").join(ending));
        }
    }
}

/// As a disk leaves it that lost a write to the one and not to the other.
#[tokio::test]
async fn an_index_that_contradicts_its_table_stops_the_start() {
    let folder = Folder::new();
    folder.done("init --dir data --name demo");
    let path = folder.path("data/authority.db");
    let mut connection = connected(&path).await;
    let moved = "PRAGMA writable_schema = on;
        UPDATE sqlite_master SET sql = 'CREATE INDEX checkpoints_by_size ON checkpoints (revision)'
        WHERE name = 'checkpoints_by_size'";
    run(&mut connection, moved.to_owned()).await;
    connection.close().await.unwrap();
    let clock = tidegate_authority::Clock::system();
    let opened = Store::open(&Location::File(path), clock).await;
    let error = opened.err();
    assert!(
        matches!(&error, Some(StoreError::Corrupt(found)) if found.contains("checkpoints_by_size")),
        "{error:?}"
    );
}
