//! Where everything is kept: SQL, and no rules.
//!
//! One writer, a thread of its own, runs every change. It takes what has queued up meanwhile into one transaction, each change in a
//! savepoint of its own, and tells none of them that it succeeded before the commit is on disk. Readers use a pool.

mod credential;
mod error;
mod open;
mod row;
pub mod upkeep;
mod writer;

pub(crate) mod address;
pub(crate) mod audit;
pub(crate) mod certificate;
pub(crate) mod change;
pub(crate) mod counter;
pub(crate) mod epoch;
pub(crate) mod genesis;
pub(crate) mod grant;
pub(crate) mod holder;
pub(crate) mod invite;
pub(crate) mod list;
pub(crate) mod mark;
pub(crate) mod node;
pub(crate) mod nonce;
pub(crate) mod overdue;
pub(crate) mod policy;
pub(crate) mod presence;
pub(crate) mod receipt;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod revocation;
pub(crate) mod token;

pub use error::StoreError;
pub use open::{Location, Store};
pub(crate) use row::{Counted, Row, corrupt};
pub use writer::Tx;

/// The database's connection.
pub type Connection = sqlx::SqliteConnection;

/// A statement and what is bound to it.
macro_rules! sql {
    ($text:expr $(, $argument:expr)* $(,)?) => { sqlx::query($text)$(.bind($argument))* };
}
use sql;

/// A value as JSON text, for a column that nobody searches.
fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}
