//! The state directory: keys, documents and journals of one membership.
//!
//! ```text
//! /var/lib/tidegate            0700
//!   lock                       held by the one process that works here
//!   identity.key               the node's signing key (PKCS#8 PEM, 0600)
//!   wireguard.key              the key of its tunnels (PKCS#8 PEM, 0600)
//!   …                          what core keeps: one file per name, each with its own checksum and meaning
//!   network.journal            how to undo what was done to the host
//! ```
//!
//! A file is replaced whole: written beside, synced, renamed, and the directory synced. What a crash leaves half
//! written has a name that nobody reads and that the next start removes.

mod directory;
mod error;
mod file;
mod keys;

pub use directory::StateDirectory;
pub use error::StateError;
pub use keys::Keys;
