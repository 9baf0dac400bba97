//! The families of refusals, and what they have in common.

mod access;
mod admission;
mod governance;
mod membership;

use tidegate_proto::{Roster, SignError};

pub use admission::{EnrollError, InviteError};
pub use governance::{EpochError, PolicyChangeError};
pub use membership::{MembershipError, NodeError};

use crate::signer::SignerError;
use crate::store::StoreError;

/// Whose fault a refusal is, and so what may help.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The request cannot be right, whoever sends it and whenever.
    Malformed,
    /// The caller has not shown who it is.
    Unproven,
    /// The caller is known, and may not.
    Forbidden,
    /// There is no such thing.
    Missing,
    /// It contradicts what is; something has to change first.
    Conflict,
    /// A limit is reached; waiting or making room may help.
    Exhausted,
    /// The authority itself failed.
    Internal,
}

/// What every refusal tells programs.
pub trait Coded: std::error::Error {
    /// A stable name of the reason: a label, which never changes its meaning.
    fn code(&self) -> &'static str;
    /// Whose fault it is.
    fn blame(&self) -> Blame;
}

/// Implements [`Coded`] from a table; the variants under `inner` pass the question on.
macro_rules! coded {
    ($name:ident { $($variant:pat => $code:literal, $blame:ident;)* } inner { $($inner:ident),* $(,)? }) => {
        impl Coded for $name {
            fn code(&self) -> &'static str {
                match self {
                    $($variant => $code,)*
                    $(Self::$inner(inner) => inner.code(),)*
                }
            }
            fn blame(&self) -> Blame {
                match self {
                    $($variant => Blame::$blame,)*
                    $(Self::$inner(inner) => inner.blame(),)*
                }
            }
        }
    };
}
use coded;

coded!(StoreError {
    Self::Full => "disk-full", Exhausted;
    Self::Behind(_) => "genesis-behind", Internal;
    Self::Undone => "undone", Exhausted;
    Self::Busy => "busy", Exhausted;
    Self::Locked => "database-locked", Exhausted;
    Self::Closed => "stopping", Exhausted;
    Self::Corrupt(_) => "database-corrupt", Internal;
    Self::Newer => "database-newer", Internal;
    Self::Failed(_) => "database-failed", Internal;
    Self::Recovering => "recovering", Exhausted;
} inner {});

coded!(SignerError {
    Self::BelowThreshold { .. } => "keys-below-threshold", Internal;
    Self::NotAtRest => "at-rest-key", Internal;
} inner {});

coded!(SignError {
    _ => "cannot-sign", Internal;
} inner {});

/// Why something was not found or read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No such node.
    #[error("there is no such node; 'tidegate admin nodes' lists them")]
    NoNode,
    /// Several nodes asked for one name, and none has it.
    #[error("several nodes asked for this name; name the one you mean by its id")]
    Ambiguous,
    /// No such revocation.
    #[error(
        "no revocation began with this list; 'tidegate admin revocations' lists them, and the audit log also those of more than 400 days ago"
    )]
    NoRevocation,
    /// Nothing of the kind yet.
    #[error("there is no {0} yet")]
    NotYet(&'static str),
    /// The node is not a member now.
    #[error("the node is {0}; it gets nothing until an operator lets it in")]
    NotMember(super::NodeStatus),
    /// The node's certificate has ended.
    #[error("the node's certificate has ended; renew it")]
    Expired,
    /// A follower that fell behind what is kept.
    #[error("the stream fell behind; open it again for everything")]
    TooSlow,
    /// More peers than a roster holds.
    #[error(
        "the roster would hold more than {} peers; narrow the policy",
        Roster::MOST_ENTRIES
    )]
    RosterTooLarge,
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(ReadError {
    Self::NoNode => "no-such-node", Missing;
    Self::Ambiguous => "ambiguous-name", Conflict;
    Self::NoRevocation => "no-such-revocation", Missing;
    Self::NotYet(_) => "not-yet", Missing;
    Self::NotMember(_) => "not-a-member", Forbidden;
    Self::Expired => "certificate-expired", Forbidden;
    Self::TooSlow => "too-slow", Exhausted;
    Self::RosterTooLarge => "roster-too-large", Internal;
} inner { Sign, Store });
