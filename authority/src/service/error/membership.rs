//! Why a decision over a node, or something that a node sent, was refused.

use tidegate_proto::{RevocationList, Sequence, SignError, UnixTime, VerifyError};

use super::super::access::AccessError;
use super::{Blame, Coded, EnrollError, coded};
use crate::service::NodeStatus;
use crate::signer::SignerError;
use crate::store::StoreError;

/// Why an operator's decision over a node was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// No such node.
    #[error("there is no such node; 'tidegate admin nodes' lists them")]
    NoNode,
    /// The decision does not fit what the node is.
    #[error("the node is {0}, so this cannot be done to it")]
    WrongStatus(NodeStatus),
    /// The list is full.
    #[error(
        "the revocation list is full at {} entries; wait until old ones expire",
        RevocationList::MOST_ENTRIES
    )]
    ListFull,
    /// What enrolment would refuse as well.
    #[error(transparent)]
    Enroll(EnrollError),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The at-rest key does not serve.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(MembershipError {
    Self::NoNode => "no-such-node", Missing;
    Self::WrongStatus(_) => "wrong-status", Conflict;
    Self::ListFull => "list-full", Exhausted;
} inner { Enroll, Access, Sign, Signer, Store });

/// Why something that a member sent was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The node is not a member now.
    #[error("the node is {0}; an operator has to let it in")]
    NotMember(NodeStatus),
    /// Nobody by this identity.
    #[error("this identity is not a member; join first")]
    Unknown,
    /// A document that is not the node's own.
    #[error("the document was refused: {0}")]
    Document(VerifyError),
    /// A document that is older than what is known.
    #[error("{got} is not newer than {have}, which is known")]
    Old {
        /// What came.
        got: Sequence,
        /// What is known.
        have: Sequence,
    },
    /// A receipt over a list that never was.
    #[error(
        "no list {0} with this digest was ever signed here; the signing key may be stolen, tell an operator"
    )]
    NoSuchList(Sequence),
    /// Times that cannot be.
    #[error("it is dated {0}, which has not come yet; correct the clock")]
    Future(UnixTime),
    /// The challenge or the keys were refused.
    #[error(transparent)]
    Keys(EnrollError),
    /// The keys change too often.
    #[error("the node's keys were changed a moment ago; they may change again at {0}")]
    ChangedAlready(UnixTime),
    /// The list has no room for the certificates before.
    #[error("the revocation list is full, so keys cannot change now")]
    ListFull,
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The at-rest key does not serve.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(NodeError {
    Self::NotMember(_) => "not-a-member", Forbidden;
    Self::Unknown => "not-enrolled", Unproven;
    Self::Document(_) => "document-refused", Malformed;
    Self::Old { .. } => "too-old", Conflict;
    Self::NoSuchList(_) => "no-such-list", Conflict;
    Self::Future(_) => "dated-in-future", Malformed;
    Self::ChangedAlready(_) => "key-changed-already", Exhausted;
    Self::ListFull => "list-full", Exhausted;
} inner { Keys, Access, Sign, Signer, Store });
