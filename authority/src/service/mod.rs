//! What can be asked of the authority and done by it. No status codes, no SQL.
//!
//! Errors come in families, one per kind of operation; see [`Coded`] for what they have in common. An effect takes
//! the [`Caller`] who asks for it; a signed request's nonce is spent in the effect's transaction.

pub mod access;
mod addresses;
mod alarms;
pub mod audit;
mod audit_log;
pub mod authentication;
mod authority;
mod bounds;
mod certificates;
mod challenges;
mod checked;
mod clockwork;
mod directory;
mod enrollment;
mod epochs;
mod error;
pub mod feed;
mod genesis;
mod grants;
mod heartbeats;
mod invites;
mod nodes;
mod operators;
mod overdue;
mod pace;
mod pieces;
mod policies;
mod receipts;
mod records;
mod recovery;
mod retention;
mod revocations;
mod rosters;
mod shape;
mod stream;
mod telling;
pub mod tokens;
mod view;
mod whereabouts;

pub use access::{AccessError, Actor, Caller, Rights, SpentNonce};
pub use alarms::Alarm;
pub use audit::{Entry, Event};
pub use audit_log::{AuditCheckError, AuditExport, AuditFollower, verify_export, verify_log};
pub use authentication::{AuthenticationError, Claim};
pub use authority::{Authority, Limits, OpenError, Options};
pub use error::{
    Blame, Coded, EnrollError, EpochError, InviteError, MembershipError, NodeError,
    PolicyChangeError, ReadError,
};
pub use feed::{EventId, Notice, Subscription};
pub use operators::OperatorRef;
pub use pieces::{Frames, Pieces};
pub use recovery::RecoveryError;
pub use shape::{
    Approval, EpochView, InviteView, MadeInvite, NewInvite, NodeFilter, NodeRef, NodeStatus,
    NodeView, PolicyCheck, Presence, RevocationView,
};
pub use stream::{NodeStream, Rendered, Told};
pub use tidegate_proto::api::Operation;
pub use tokens::{ApiToken, MadeToken, TokenError};
