//! # The authority
//!
//! Ceremonies that make and check keys and genesis documents offline; the online service that admits,
//! signs and revokes joins them here.
//!
//! ## Model
//!
//! ```text
//! Founding ── sign(root) ──▶ Signed<Genesis> ── NewFile ──▶ genesis.json ── read_genesis, follow ──▶ TrustChain
//! Succession ── sign(TrustChain, root) ──▶ Signed<Genesis>, the next revision
//! ```
//!
//! * A ceremony is a pure function: settings, keys, randomness and the time go in, a signed document comes
//!   out. It has been judged by the rules of every reader before anything is written.
//! * Keys come from files that only their owner can read; everything else about a file is checked on the
//!   handle that is read, so that nothing can be swapped in between.
//!
//! ## Contract
//!
//! * A file appears whole, under a name that was free, or not at all: [`NewFile`]. Files that belong together
//!   appear together.
//! * Secrets are erased after use and never printed.
//! * What a succession does not mention stays as it was. What would weaken the network (a lower threshold, a
//!   higher ceiling, old keys that still count) happens only by name.
#![forbid(unsafe_code)]

pub mod ceremony;
mod file;
mod fingerprint;
mod genesis_file;
mod inspection;
mod key_file;
mod new_file;

pub use file::{FileError, shown};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use genesis_file::{ChainError, GenesisFileError, follow, read_genesis};
pub use inspection::Inspection;
pub use key_file::{KeyFileError, read_passphrase, read_public_key, read_signing_key};
pub use new_file::{Access, NewFile, publish};
