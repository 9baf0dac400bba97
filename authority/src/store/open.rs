//! Opening the database and bringing its schema up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use tidegate_proto::UnixTime;
use tokio::sync::Notify;

use super::writer::{Tx, Writer};
use super::{StoreError, counter, upkeep};
use crate::clock::Clock;

pub(super) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// How long a writer waits for another process.
const BUSY: Duration = Duration::from_secs(10);
const READERS: u32 = 8;
/// What the write-ahead log takes of the disk in everyday work. With less left, some change soon finds no room.
const LEAST_ROOM: u64 = 4 * 1024 * 1024;

/// The folder beside the database that holds copies from before its schema changed.
const COPIES: &str = "backups";

/// How this program speaks to the database at `path`. What is temporary stays in memory: it is small, must not be found
/// on a disk, and elsewhere than in its data directory an authority need not be able to write.
pub(super) fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY)
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

/// Where the database is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// An SQLite file; it is made if it is not there.
    File(PathBuf),
}

/// The database: any number of readers and one queue of changes.
#[derive(Clone)]
pub struct Store {
    folder: PathBuf,
    readers: SqlitePool,
    writer: Writer,
}

impl Store {
    /// Opens the database if it is sound, and migrates it once a copy is made.
    pub async fn open(location: &Location, clock: Clock) -> Result<Self, StoreError> {
        let Location::File(path) = location;
        let options = connect_options(path).create_if_missing(true);
        let mut connection = options.connect().await?;
        upkeep::check(&mut connection).await?;
        let copies = path.with_file_name(COPIES);
        upkeep::copy_before_migration(&mut connection, &copies).await?;
        MIGRATIONS.run(&mut connection).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(BUSY)
            .connect_lazy_with(options.clone().pragma("query_only", "on"));
        let writer = Writer::start(connection, clock)?;
        Ok(Self {
            folder: path.with_file_name("."),
            readers,
            writer,
        })
    }

    /// Whether changes can be kept: a small one gets to the disk, and there is room for larger ones.
    pub async fn check_writable(&self) -> Result<(), StoreError> {
        self.write(probe).await?;
        let disk = rustix::fs::statvfs(&self.folder);
        let disk = disk.map_err(|error| StoreError::Failed(format!("its disk: {error}")))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < LEAST_ROOM {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// A connection to read with.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    /// Runs `change` as one serialised transaction and returns when it is on disk. If it fails, or the commit does,
    /// nothing of it remains.
    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        F: for<'t> FnOnce(&'t mut Tx) -> LocalBoxFuture<'t, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.run(change).await
    }

    /// Rings when a commit of this server has left notices.
    pub(crate) fn told(&self) -> &Arc<Notify> {
        self.writer.told()
    }

    /// How many commits there have been. Many changes share one.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// Waits until what was accepted is on disk, and takes on nothing more.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }
}

/// The smallest change that there is.
fn probe(tx: &mut Tx) -> LocalBoxFuture<'_, Result<UnixTime, StoreError>> {
    let now = tx.now();
    Box::pin(counter::next_in_recovery(tx.connection(), "probe", now))
}
