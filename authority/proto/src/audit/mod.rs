//! The audit log as it is exported, and the check of an export.
//!
//! ```text
//! {"checkpoint":{"payloadType":…}}                    the newest, over the whole export
//! {"record":{"sequence":1,…,"previous":"…"},"hash":"…"}
//! {"record":{"sequence":2,…,"previous":"…"},"hash":"…"}
//! {"checkpoint":{"payloadType":…}}                    as they were signed on the way, each behind its record
//! …
//! ```
//!
//! A record's hash covers the very bytes of `{"sequence":…}`, and each record holds the hash of the one before; the
//! first holds one that follows from the network. There is one text for a record and one for a line, so that no byte
//! can change unseen. The checkpoint in front says where the export ends; without the authority's keys nothing can be
//! taken from the end of it or added there. Whoever takes away the checkpoint in front too must put an earlier one in
//! its place: against that helps only somebody who has seen a later one.
//!
//! A checkpoint on the way may be missing, for those behind it say as much.
//!
//! Sequences rise by one. Only a record that says that a backup was put back begins further up, past anything that the
//! log may have held before.

mod record;
mod verifier;

pub use record::{Chained, Fact, Facts, Record, RecordError};
pub use verifier::{AuditError, Fault, Summary, Verifier};
