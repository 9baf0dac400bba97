//! Why a newcomer is not let in, and why an invite does not serve.

use tidegate_proto::{NodeName, PossessionError, Prefix, Roster, SignError, UnixTime};

use super::super::access::AccessError;
use super::{Blame, Coded, coded};
use crate::store::StoreError;

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
    /// The keys change too often.
    #[error("the node's keys were changed a moment ago; they may change again at {0}")]
    ChangedAlready(UnixTime),
    /// It asked before, under another name.
    #[error(
        "this node waits for a decision as '{0}'; join under that name, or have an operator approve it under another"
    )]
    WaitsAs(NodeName),
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
    /// As many members as anybody's roster and any revocation's answer can name.
    #[error(
        "the network has {} members, the most that it can have; have an operator revoke those that are gone ('tidegate admin nodes' lists them), then try again",
        Roster::MOST_ENTRIES
    )]
    NetworkFull,
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
    Self::ChangedAlready(_) => "key-changed-already", Exhausted;
    Self::WaitsAs(_) => "waits-under-other-name", Conflict;
    Self::NameTaken(_) => "name-taken", Conflict;
    Self::Route(_) => "route-into-overlay", Malformed;
    Self::NoAddress => "no-address-left", Exhausted;
    Self::NetworkFull => "network-full", Exhausted;
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
