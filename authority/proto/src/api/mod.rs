//! The bodies of the authority's HTTP API that more than one program reads.
//!
//! Signed documents travel in them as the JSON of their envelopes, so that whoever receives one can keep and pass
//! on the very bytes that were signed. Bodies are read with [`crate::strict`], like documents.

mod access;
mod admin;
mod node;
mod operation;
mod problem;
mod revocation;
mod rule;
mod stream;

pub use access::{
    InviteView, Invites, MadeInvite, MadeToken, NewInvite, NewOperator, NewToken, OperatorView,
    Operators, SecretText, SecretTextError, TokenView, Tokens,
};
pub use admin::{Approval, Decision, NodeStatus, NodeStatusError, NodeView, Nodes, Presence};
pub use node::{
    Enroll, Enrolled, Grants, Heartbeat, HeartbeatReply, Recovered, Recovery, RecoveryEnd,
    RecoveryView, Renew, TimeQuestion,
};
pub use operation::{Door, Operation, UnknownOperation};
pub use problem::{Explanation, Problem};
pub use revocation::{
    Outstanding, RevocationReport, RevocationStatus, RevocationView, Revocations, Revoke,
};
pub use rule::{
    AuditPage, Change, EpochView, Epochs, LARGEST_POLICY_FILE, Override, PolicyInForce,
    PolicyProposal, PolicyReport, PolicyText,
};
pub use stream::{GrantWithList, RESUMED_HEADER, RecordWithHint, RosterUpdate, StreamEvent};

/// The largest body that anybody but an operator may send.
pub const LARGEST_NODE_BODY: usize = 64 * 1024;

/// The largest body of a [`Recovery`]: a list, a policy, and certificates.
pub const LARGEST_RECOVERY_BODY: usize = 12 * 1024 * 1024;

/// The largest body that an operator may send: a policy file, and what JSON makes of it.
pub const LARGEST_OPERATOR_BODY: usize = 2 * LARGEST_POLICY_FILE + 4096;
