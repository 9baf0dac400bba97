//! # The authority
//!
//! Ceremonies that make and check keys and genesis documents offline, and the online service that admits,
//! signs and revokes.
//!
//! ## Model
//!
//! ```text
//! Founding ── sign(root) ──▶ Signed<Genesis> ── NewFile ──▶ genesis.json ── read_genesis, follow ──▶ TrustChain
//!
//! http/ translates ──▶ service/ decides ──▶ store/ speaks SQL
//!                          └──▶ signer holds keys          └──▶ feed tells, after the commit
//! ```
//!
//! * A ceremony is a pure function: settings, keys, randomness and the time go in, a signed document comes
//!   out. It has been judged by the rules of every reader before anything is written.
//! * [`Authority`] is the online application: one method per thing that can be asked or done, one file per noun.
//! * Every effect is one serialised transaction. Within it, and not before, the caller's right and the node's
//!   standing are checked, numbers are drawn, what is released is written to the ledger, the audit event is appended
//!   and the request's nonce is spent. Bytes leave and subscribers hear of it only after the commit is on disk.
//! * What a commit changed is kept beside it, in order. Every server on the database tells its own followers from there,
//!   so a stream may be resumed at any of them.
//! * Numbers (sequences, serials, versions) are `max(last + 1, unix milliseconds)`: they never repeat, not even
//!   after a restored backup.
//!
//! ## Contract
//!
//! * A file appears whole, under a name that was free, or not at all: [`NewFile`]. Files that belong together
//!   appear together. Keys come from files that only their owner can read.
//! * What a stranger or a node sends is bounded, and refused by an error of the family it belongs to; each error has
//!   a stable code and says whose fault it is ([`Coded`]).
//! * What is stored is read as carefully: a row that was never written so is an error, not a panic.
//! * Secrets are erased after use and never printed; epoch secrets lie in the database only under a key that does not.
//! * What a succession does not mention stays as it was. What would weaken the network (a lower threshold, a
//!   higher ceiling, old keys that still count) happens only by name.
#![forbid(unsafe_code)]

pub mod backup;
pub mod ceremony;
mod clock;
pub mod config;
mod data_dir;
mod file;
mod fingerprint;
mod genesis_file;
pub mod http;
mod inspection;
pub mod installation;
mod key_file;
mod new_dir;
mod new_file;
pub mod server;
pub mod service;
pub mod signer;
pub mod store;
mod tls_key;

pub use clock::{Clock, Hand, Sample};
pub use data_dir::{DataDir, DataDirError, ReloadError, Work, WorkLock};
pub use file::{FileError, shown};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use genesis_file::{ChainError, GenesisFileError, follow, read_genesis};
pub use inspection::Inspection;
pub use key_file::{KeyFileError, read_passphrase, read_public_key, read_signing_key};
pub use new_dir::NewDir;
pub use new_file::{Access, NewFile, publish};
pub use service::{Authority, Blame, Coded};
pub use tls_key::{TlsKey, TlsKeyError};
