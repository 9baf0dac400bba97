//! The families of refusals, and what they have in common.

use tidegate_proto::policy::PolicyFileError;
use tidegate_proto::{
    DocumentError, NodeName, PossessionError, Prefix, RequestError, RevocationList, Roster,
    Sequence, SettingsError, SignError, UnixTime, VerifyError,
};

use super::access::AccessError;
use super::authentication::AuthenticationError;
use super::tokens::TokenError;
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

/// Implements [`Coded`] from a table; `=> inner` passes the question on.
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

coded!(StoreError {
    Self::Full => "disk-full", Exhausted;
    Self::Busy => "busy", Exhausted;
    Self::Locked => "database-locked", Internal;
    Self::Closed => "stopping", Exhausted;
    Self::Corrupt(_) => "database-corrupt", Internal;
    Self::Newer => "database-newer", Internal;
    Self::Failed(_) => "database-failed", Internal;
    Self::Recovering => "recovering", Exhausted;
} inner {});

coded!(AccessError {
    Self::Replayed => "replayed", Conflict;
    Self::Forbidden { .. } => "forbidden", Forbidden;
    Self::NotInScope(_) => "not-in-scope", Forbidden;
    Self::SignedOnly(_) => "signature-needed", Forbidden;
    Self::NotOperator => "not-an-operator", Forbidden;
    Self::TokenEnded => "token-ended", Unproven;
} inner { Store });

coded!(AuthenticationError {
    Self::Request(RequestError::Header) => "authorization-malformed", Malformed;
    Self::Request(RequestError::ClockSkew { .. }) => "clock-skew", Unproven;
    Self::Request(RequestError::OtherKey(_)) => "key-unknown", Unproven;
    Self::Request(RequestError::BadSignature) => "bad-signature", Unproven;
    Self::TokenUnknown => "token-unknown", Unproven;
    Self::TokenExpired => "token-expired", Unproven;
    Self::TokenRevoked => "token-revoked", Unproven;
} inner { Store });

coded!(TokenError {
    Self::Useless => "token-useless", Malformed;
    Self::Empty => "token-empty", Malformed;
    Self::OutOfReach(_) => "token-out-of-reach", Malformed;
    Self::AboveMaker(_) => "above-own-role", Forbidden;
    Self::NameTaken => "token-name-taken", Conflict;
    Self::TooMany => "too-many-tokens", Exhausted;
    Self::Unknown => "no-such-token", Missing;
} inner { Access, Store });

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
    /// No such revocation.
    #[error("no revocation began with this list; 'tidegate admin revocations' lists them")]
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
    Self::NoRevocation => "no-such-revocation", Missing;
    Self::NotYet(_) => "not-yet", Missing;
    Self::NotMember(_) => "not-a-member", Forbidden;
    Self::Expired => "certificate-expired", Forbidden;
    Self::RosterTooLarge => "roster-too-large", Internal;
} inner { Sign, Store });

/// Why a newcomer is not let in.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrollError {
    /// The challenge is too old or not ours.
    #[error("the challenge has expired; ask for a new one")]
    Challenge,
    /// The answer shows that a private key is missing.
    #[error("the answer does not show that the node holds its keys")]
    NotPossessed,
    /// Keys that nothing can be sealed to.
    #[error(transparent)]
    Keys(#[from] PossessionError),
    /// The identity is out.
    #[error("this identity is revoked ({0}); an operator has to reinstate it")]
    Revoked(String),
    /// The identity was denied.
    #[error("this node was denied ({0}); ask an operator")]
    Denied(String),
    /// The WireGuard key belongs to another identity, or did before.
    #[error("this WireGuard key is or was another node's; make a new one with 'tidegate join'")]
    WireguardKeyTaken,
    /// A reinstated node with a key of before.
    #[error("a node that was revoked comes back with new WireGuard and sealing keys only")]
    OldKeys,
    /// The name belongs to another node, or is held for one.
    #[error("the name '{0}' is taken; choose another")]
    NameTaken(NodeName),
    /// The invite is not known, is used up, withdrawn or too old.
    #[error("the invite is {0}; ask for a new one")]
    Invite(InviteError),
    /// A route into the overlay.
    #[error("the route {0} covers addresses of the overlay")]
    Route(Prefix),
    /// No address is left.
    #[error("every overlay address is taken or held; a genesis succession can add a range")]
    NoAddress,
    /// Too many wait for a decision.
    #[error("too many nodes wait for a decision; ask an operator for an invite")]
    TooManyPending,
    /// The identity is not known here.
    #[error("this identity has not asked to come in; enrol first")]
    Unknown,
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(EnrollError {
    Self::Challenge => "challenge-expired", Conflict;
    Self::NotPossessed => "keys-not-possessed", Unproven;
    Self::Keys(_) => "keys-unusable", Malformed;
    Self::Revoked(_) => "revoked", Forbidden;
    Self::Denied(_) => "denied", Forbidden;
    Self::WireguardKeyTaken => "wireguard-key-taken", Conflict;
    Self::OldKeys => "new-keys-needed", Conflict;
    Self::NameTaken(_) => "name-taken", Conflict;
    Self::Route(_) => "route-into-overlay", Malformed;
    Self::NoAddress => "no-address-left", Exhausted;
    Self::TooManyPending => "too-many-pending", Exhausted;
    Self::Unknown => "not-enrolled", Missing;
} inner { Invite, Access, Sign, Store });

/// Why an invite does not serve, or was not made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// No such invite.
    #[error("not known here")]
    Unknown,
    /// Its time has passed.
    #[error("expired")]
    Expired,
    /// It has admitted as many as it may.
    #[error("used up")]
    Exhausted,
    /// An operator took it back.
    #[error("withdrawn")]
    Withdrawn,
    /// No uses or no time.
    #[error("an invite needs at least one use and an end within a year")]
    Useless,
    /// Too many invites stand open.
    #[error("too many invites are open; revoke some with 'tidegate admin invite revoke'")]
    TooMany,
    /// The genesis names no place to join at.
    #[error("the genesis names no URL of the authority, so no invite can; add one by a succession")]
    NoUrl,
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(InviteError {
    Self::Unknown => "invite-unknown", Missing;
    Self::Expired => "invite-expired", Forbidden;
    Self::Exhausted => "invite-exhausted", Forbidden;
    Self::Withdrawn => "invite-withdrawn", Forbidden;
    Self::Useless => "invite-useless", Malformed;
    Self::TooMany => "too-many-invites", Exhausted;
    Self::NoUrl => "no-url", Conflict;
} inner { Access, Store });

/// Why an operator's decision over a node was not carried out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// No such node.
    #[error("there is no such node; 'tidegate admin nodes' lists them")]
    NoNode,
    /// The decision does not fit what the node is.
    #[error("the node is {0}, so this cannot be done to it")]
    WrongStatus(super::NodeStatus),
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
    NotMember(super::NodeStatus),
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
    /// The WireGuard key changes too often.
    #[error("the WireGuard key was changed a moment ago; it may change again at {0}")]
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
} inner { Keys, Access, Sign, Store });

/// Why no epoch was opened, rotated or released.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The numbers are used up.
    #[error("there are no epoch numbers left")]
    NoNumbers,
    /// Settings beyond the genesis' ceilings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
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

coded!(EpochError {
    Self::NoNumbers => "no-epoch-numbers", Internal;
    Self::Settings(_) => "epoch-settings", Conflict;
} inner { Access, Sign, Signer, Store });

/// Why a policy was not put in force.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyChangeError {
    /// The file does not read.
    #[error(transparent)]
    File(#[from] PolicyFileError),
    /// It breaks a rule.
    #[error(transparent)]
    Rule(DocumentError),
    /// Nobody would be left who may change operators.
    #[error(
        "no operator would be sovereign; name at least one, or nobody could name operators again"
    )]
    NoSovereign,
    /// No policy to change.
    #[error("there is no policy yet; put one in force first")]
    NoPolicy,
    /// No such operator.
    #[error("there is no such operator; 'tidegate admin operators list' has them")]
    NoOperator,
    /// More operators than a policy holds.
    #[error("a policy holds no more operators; remove some first")]
    TooManyOperators,
    /// Operators are changed by a sovereign only.
    #[error("the file changes who the operators are, which needs the role sovereign")]
    ChangesOperators,
    /// The policy changed meanwhile.
    #[error("the policy is at version {have} meanwhile; fetch it, change that and try again")]
    Changed {
        /// The version in force.
        have: Sequence,
    },
    /// The genesis wants another policy first.
    #[error("the genesis names another policy, which must be in force first")]
    NotGenesisPolicy,
    /// Not a policy of this authority.
    #[error("the policy was refused: {0}")]
    Refused(String),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(PolicyChangeError {
    Self::File(_) => "policy-file", Malformed;
    Self::Rule(_) => "policy-rule", Malformed;
    Self::NoSovereign => "last-sovereign", Conflict;
    Self::NoPolicy => "not-yet", Missing;
    Self::NoOperator => "no-such-operator", Missing;
    Self::TooManyOperators => "too-many-operators", Exhausted;
    Self::ChangesOperators => "needs-sovereign", Forbidden;
    Self::Changed { .. } => "policy-changed", Conflict;
    Self::NotGenesisPolicy => "not-genesis-policy", Conflict;
    Self::Refused(_) => "policy-refused", Malformed;
} inner { Access, Sign, Store });
