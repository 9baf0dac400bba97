//! The state directory: keys, documents and journals of one membership.
//!
//! ```text
//! /var/lib/tidegate            0700
//!   lock                       held by the one process that works here
//!   identity.key               the key that the node signs with (PKCS#8 PEM, 0600)
//!   pending                    what a join needs until the node is admitted, and nothing afterwards
//!   genesis, keys, …           what core keeps; each file tells its form and the digest of its content
//!   network.journal            how to undo what was done to the host
//! ```
//!
//! A file is replaced whole: written beside, synced, renamed, and the directory synced. What a crash leaves half
//! written has a name that nobody reads and that the next start removes.

mod directory;
mod error;
mod file;
mod identity;
mod membership;
mod pending;

pub use directory::StateDirectory;
pub use error::StateError;
pub use membership::Membership;
pub use pending::{PENDING, Pending};
