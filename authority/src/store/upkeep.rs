//! What happens to the database beside its use: is it sound, is it ours, a copy of it, and back again.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tidegate_proto::UnixTime;
use tidegate_proto::bound::LedgerGap;

use super::open::{MIGRATIONS, connect_options};
use super::recovery::{self, Recovery};
use super::{Row, StoreError, corrupt, genesis, invite, list, sql, token};
use crate::genesis_file::follow;

/// Refuses a database that is damaged: in its tables, or in an index that does not say what its table does.
pub(super) async fn check(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sql!("PRAGMA integrity_check(1)")
        .fetch_one(&mut *connection)
        .await?;
    let found = Row(row).text("integrity_check")?.to_owned();
    if found != "ok" {
        return Err(StoreError::Corrupt(found));
    }
    let orphan = sql!("PRAGMA foreign_key_check")
        .fetch_optional(connection)
        .await?;
    match orphan {
        Some(row) => Err(corrupt(
            Row(row).text("table")?,
            "refers to rows that are missing",
        )),
        None => Ok(()),
    }
}

/// Copies the database into `folder` if this program is about to change its schema. Where the copy is, if there is one.
pub(super) async fn copy_before_migration(
    connection: &mut SqliteConnection,
    folder: &Path,
) -> Result<Option<PathBuf>, StoreError> {
    let Some(have) = schema(connection).await? else {
        return Ok(None); // a new database
    };
    let newest = newest_schema();
    if have > newest {
        return Err(StoreError::Newer);
    }
    if have == newest {
        return Ok(None);
    }
    let failed = |error: std::io::Error| {
        StoreError::Failed(format!(
            "no copy could be made before the migration: {error}"
        ))
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let copy = folder.join(format!("authority-schema-{have:04}.db"));
    if copy.exists() {
        std::fs::remove_file(&copy).map_err(failed)?; // of a migration that did not come to its end
    }
    vacuum_into(connection, &copy).await?;
    tracing::info!(copy = %copy.display(), from = have, to = newest, "copied the database before changing its schema");
    Ok(Some(copy))
}

/// The version of the schema; none in a new database.
async fn schema(connection: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
    let known = sql!("SELECT 1 AS one FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_optional(&mut *connection)
        .await?;
    if known.is_none() {
        return Ok(None);
    }
    let row = sql!("SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?;
    Ok(Some(Row(row).integer("version")?))
}

/// The version of the schema that this program works with.
pub fn newest_schema() -> i64 {
    MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default()
}

/// The version of the schema of the database at `path`, if this program can work with it.
pub async fn schema_of(path: &Path) -> Result<i64, StoreError> {
    let mut connection = existing(path).connect().await?;
    let have = known_schema(&mut connection).await?;
    connection.close().await?;
    Ok(have)
}

async fn known_schema(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    match schema(connection).await? {
        Some(have) if have > newest_schema() => Err(StoreError::Newer),
        Some(have) => Ok(have),
        None => Err(corrupt("the database", "is empty")),
    }
}

/// Writes a consistent copy of the database at `path` to `copy`, an empty file or none, beside whoever uses it.
pub async fn snapshot(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let mut connection = existing(path).connect().await?;
    known_schema(&mut connection).await?;
    vacuum_into(&mut connection, copy).await?;
    Ok(connection.close().await?)
}

async fn vacuum_into(connection: &mut SqliteConnection, copy: &Path) -> Result<(), StoreError> {
    let path = copy.to_str().ok_or_else(|| {
        StoreError::Failed("the path is not UTF-8; use another folder".to_owned())
    })?;
    let text = format!("VACUUM INTO '{}'", path.replace('\'', "''"));
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(connection)
        .await?;
    let synced = std::fs::File::open(copy).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::Failed(error.to_string()))
}

/// Has the database at `path`, which was put back at `now` as it was at `backup_at`, begin its recovery: from then on
/// it gives nothing out until it has heard what happened since.
pub async fn begin_recovery(
    path: &Path,
    backup_at: UnixTime,
    now: UnixTime,
) -> Result<(), StoreError> {
    let mut connection = existing(path).connect().await?;
    check(&mut connection).await?;
    known_schema(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await?;
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await?;
    let place = list::place(&mut connection).await?.unwrap_or_default();
    let chain = genesis::all(&mut connection).await?;
    let (last, earlier) = chain
        .split_last()
        .ok_or_else(|| corrupt("genesis", "is missing"))?;
    let chain = follow(earlier, last, None).map_err(|error| corrupt("genesis", error))?;
    let recovery = Recovery {
        backup_at,
        began_at: now,
        list: place,
    };
    let gap = LedgerGap::new(now, &chain.genesis().ceilings);
    recovery::begin(&mut connection, &recovery, &gap).await?;
    token::revoke_all(&mut connection, now).await?;
    invite::revoke_all(&mut connection, now).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

fn existing(path: &Path) -> SqliteConnectOptions {
    connect_options(path).create_if_missing(false)
}
