//! Where everything is kept: SQL, and no rules.
//!
//! One writer task runs every change. It takes what has queued up meanwhile into one transaction, each change in a
//! savepoint of its own, and tells none of them that it succeeded before the commit is on disk. Readers use a pool.

mod error;
mod open;
mod row;
mod writer;

pub use error::StoreError;
pub use open::{Location, Store};
pub(crate) use row::{Counted, Row};
pub use writer::Tx;

/// The database's connection.
pub type Connection = sqlx::SqliteConnection;
