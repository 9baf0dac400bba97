//! Why something could not be read or kept.

/// A failure of the database. What it says is for the log; a caller learns only that it failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk has no room left.
    #[error("the disk is full; free some space, nothing was changed")]
    Full,
    /// Another change in the same commit made the database undo them all.
    #[error(
        "the database undid this together with a change that failed; nothing was changed, try again"
    )]
    Undone,
    /// Another process held the database for too long.
    #[error("the database is locked by another process; stop it, or try again")]
    Locked,
    /// What is stored cannot be what was written.
    #[error(
        "the database holds something unreadable ({0}); stop the authority and restore a backup with 'tidegate-authority restore'"
    )]
    Corrupt(String),
    /// The schema is from a later version of this program.
    #[error(
        "the database was written by a newer version; install that version, or restore a backup"
    )]
    Newer,
    /// Another server put a genesis in force under which this one cannot sign.
    #[error(
        "this server cannot sign under the genesis in force ({0}); give it the authority's keys and restart it"
    )]
    Behind(String),
    /// The writer has stopped.
    #[error("the authority is stopping; try again later")]
    Closed,
    /// More changes wait than can be taken on.
    #[error("too many changes are waiting; try again in a moment")]
    Busy,
    /// A backup was restored, and what happened after it is not known yet.
    #[error(
        "the authority was restored from a backup and issues nothing until the nodes have reported what they know; see 'tidegate admin recovery'"
    )]
    Recovering,
    /// Anything else.
    #[error("the database failed: {0}")]
    Failed(String),
}

const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOT_A_DATABASE: i32 = 26;
/// No room for the index of the write-ahead log.
const SQLITE_IOERR_SHMSIZE: i32 = 10 | (19 << 8);

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(inner) => {
                let code = inner.code().and_then(|code| code.parse::<i32>().ok());
                match code.map(|code| code & 0xff) {
                    Some(SQLITE_FULL) => Self::Full,
                    _ if code == Some(SQLITE_IOERR_SHMSIZE) => Self::Full,
                    Some(SQLITE_BUSY | SQLITE_LOCKED) => Self::Locked,
                    Some(SQLITE_CORRUPT | SQLITE_NOT_A_DATABASE) => {
                        Self::Corrupt(error.to_string())
                    }
                    _ => Self::Failed(error.to_string()),
                }
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::Corrupt(error.to_string())
            }
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::PoolClosed => Self::Closed,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::VersionMissing(_)
            | sqlx::migrate::MigrateError::VersionTooNew(..) => Self::Newer,
            sqlx::migrate::MigrateError::VersionMismatch(version) => Self::Failed(format!(
                "its schema {version} is not the one that this program knows by that number; use the version that wrote it"
            )),
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::Failed(other.to_string()),
        }
    }
}
