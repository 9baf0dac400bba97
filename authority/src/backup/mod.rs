//! Backups: one file that holds a whole authority, and that only its passphrase opens.
//!
//! ```text
//! file:    magic and version 16 │ salt 32 │ check 16 │ chunks
//! chunk:   up to 64 KiB of the archive, XChaCha20-Poly1305 │ tag 16
//! archive: entries, then 0;  entry: length of name 1 │ name │ size 8 │ contents
//! ```
//!
//! Key and check come from the passphrase by scrypt (2^17, 8, 1). A chunk's nonce is its number and whether it is the
//! last, and what it authenticates is the whole head: chunks cannot be changed, moved, repeated or left out, and a file
//! that is cut off ends without its last chunk. Neither writing nor reading holds more than a chunk or two in memory.
//!
//! The root key and the first operator's key are not in it: they have nothing to do on this machine.

mod archive;
mod create;
mod restore;
mod sealed;

pub use archive::{Archive, ArchiveError, EntryName};
pub use create::create;
pub use restore::{Restored, restore};
pub use sealed::{Head, SealError, SealedReader, SealedWriter};

use serde::{Deserialize, Serialize};
use tidegate_proto::{NetworkId, NetworkName, Revision, UnixTime};

use crate::data_dir::DataDirError;
use crate::file::FileError;
use crate::service::OpenError;
use crate::store::StoreError;

/// The first entry of every backup.
const MANIFEST: &str = "backup.json";

/// What a backup is of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The network.
    pub network: NetworkId,
    /// The network's name.
    pub name: NetworkName,
    /// The genesis revision in force.
    pub revision: Revision,
    /// When the copy of the database was begun.
    pub at: UnixTime,
    /// The program that made it.
    pub program: String,
    /// The version of the database's schema.
    pub schema: i64,
}

/// Why there is no backup, or nothing was restored. Nothing half done is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The data directory cannot be worked in.
    #[error(transparent)]
    Dir(#[from] DataDirError),
    /// A file was not read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file does not open.
    #[error("{path}: {reason}")]
    Sealed {
        /// The backup.
        path: String,
        /// What is wrong.
        reason: SealError,
    },
    /// What was in it is no authority.
    #[error("{path} is no backup of an authority: {reason}; take another one")]
    Archive {
        /// The backup.
        path: String,
        /// What is wrong.
        reason: ArchiveError,
    },
    /// The database could not be copied, or does not come back.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The restored authority does not open.
    #[error("the restored authority does not open: {0}")]
    Open(#[from] OpenError),
    /// The operating system gave no random numbers.
    #[error("the system's random number generator failed: {0}")]
    Random(String),
}
