//! # The authority
//!
//! Ceremonies that make and check keys and genesis documents offline; the online service that admits,
//! signs and revokes.
//!
//! ## Model
//!
//! ```text
//! http/ translates ──▶ service/ decides ──▶ store/ speaks SQL
//!                          └──▶ signer holds keys          └──▶ feed tells, after the commit
//! ```
//!
//! * [`Authority`] is the application: one method per thing that can be asked or done, grouped in one file per noun.
//! * Every effect is one serialised transaction. Within it, and not before, the caller's right and the node's
//!   standing are checked, numbers are drawn, what is released is written to the ledger, the audit event is appended
//!   and the request's nonce is spent. Bytes leave and subscribers hear of it only after the commit is on disk.
//! * Numbers (sequences, serials, versions) are `max(last + 1, unix milliseconds)`: they never repeat, not even
//!   after a restored backup.
//!
//! ## Contract
//!
//! * What a stranger or a node sends is bounded, and refused by an error of the family it belongs to; each error has
//!   a stable code and says whose fault it is ([`Coded`]).
//! * What is stored is read as carefully: a row that was never written so is an error, not a panic.
//! * Epoch secrets lie in the database only under a key that does not.
#![forbid(unsafe_code)]

mod clock;
pub mod service;
pub mod signer;
pub mod store;

pub use clock::{Clock, Hand};
pub use service::{Authority, Blame, Coded};
