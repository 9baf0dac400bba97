//! # The trust core
//!
//! Every fact that a Tidegate node acts on is a signed document, and this crate holds all that is needed
//! to judge one offline: the documents, their signatures, the key schedule that turns an epoch's grant
//! into WireGuard keys, and the arithmetic of the published time to cut-off.
//!
//! ## Model
//!
//! ```text
//! bytes ── Envelope::from_* ──▶ Signed<T> ── verify(keyring, now) ──▶ Verified<T> ── Latest::accept ──▶ in force
//! ```
//!
//! * An envelope holds payload bytes, the payload's type (kind and version) and signatures over both (the
//!   DSSE pre-authentication encoding). It travels as JSON or in a compact binary form; digests cover the
//!   signed bytes, never the envelope.
//! * [`Signed::verify`] is the only way to a [`Verified`]. The keyring's type names who may sign, so a node's
//!   keyring cannot vouch for a certificate.
//! * [`TrustChain`] follows the root-signed successions of the genesis document and gives the keyring of
//!   the authority that is in force.
//! * [`Latest`] orders documents by (genesis revision, sequence) and never goes back.
//!
//! ## Contract
//!
//! * Pure: no clock, no randomness of its own, no file, no socket. Time and generators are arguments.
//! * Nothing that comes from outside panics; every refusal is a variant of an error that can be compared.
//! * A version's fields never change. A new field is a new version of its document ([`Kind::VERSIONS`]).
//! * Secrets are types of their own that erase themselves and never print.
//! * What is empty permits nothing.
#![forbid(unsafe_code)]

pub mod api;
pub mod audit;
pub mod bound;
mod bounded;
mod bytes;
mod chain;
mod document;
mod domain;
mod envelope;
mod epochs;
mod event_stream;
mod id;
mod invite;
mod key;
mod keyring;
mod name;
mod net;
mod order;
pub mod pem;
pub mod policy;
mod possession;
mod request;
mod schedule;
mod sealing;
pub mod strict;
mod time;
mod verify;

pub use bounded::{BoundedError, BoundedList, BoundedSet};
pub use bytes::{BytesError, base64_decode, base64_encode};
pub use chain::{SuccessionError, TrustChain};
pub use document::{
    Action, Anchor, Author, AuthoritySet, Capability, Certificate, Checkpoint, Command, Document,
    DocumentError, EpochGrant, Genesis, Kind, Ordered, PeerRecord, ReadableVersion, Receipt,
    RevocationEntry, RevocationKind, RevocationList, Roster, RosterEntry, RosterError, Service,
    Standing, Suite, Target, TimeStatement, Transport, Validity,
};
pub use domain::DOMAINS;
pub use envelope::{Envelope, EnvelopeError, SignError, Signature, Signed};
pub use epochs::{EpochCeilings, EpochSettings, EpochWindow, SettingsError};
pub use event_stream::{EventReader, EventStreamError, ServerEvent};
pub use id::{
    Digest, EpochNumber, GenesisHash, IdError, InviteId, KeyId, NetworkId, NodeId, NotExact,
    OperatorId, Revision, Sequence, Serial, TokenId,
};
pub use invite::{Invite, InviteError, InviteToken};
pub use key::{
    KeyError, PublicKey, SealingKeyHash, SealingPublicKey, SealingSecretKey, SigningKey,
    WgPublicKey, WgSecretKey,
};
pub use keyring::{Authority, KeySet, Keyring, Node, OperatorAndAuthority, Root, Signer};
pub use name::{
    GroupName, Label, NameError, NetworkName, NodeName, OperatorName, Reason, Role, Tag,
};
pub use net::{Endpoint, Ipv4Range, Ipv6Range, NetError, Origin, Prefix, TlsPin, TlsTrust};
pub use order::{Accepted, Latest, ListPlace, Order};
pub use possession::{Answer, Challenge, NodeKeys, Place, PossessionError};
pub use request::{Nonce, RequestError, RequestParts, RequestSignature};
pub use schedule::{EpochSecret, GrantKey, PairwiseKey, ScheduleError};
pub use sealing::{SealContext, SealError, SealedKey};
pub use time::{Span, TimeError, UnixTime};
pub use verify::{Verified, VerifyError};
