//! The documents: what each kind carries, and the rules that it keeps whoever signed it.

mod certificate;
mod checkpoint;
mod command;
mod genesis;
mod grant;
mod kind;
mod peer_record;
mod receipt;
mod revocation;
mod roster;
mod time_statement;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use certificate::Certificate;
pub use checkpoint::Checkpoint;
pub use command::{Action, Command, Target};
pub use genesis::{Anchor, AuthoritySet, Genesis, Suite};
pub use grant::EpochGrant;
pub use kind::Kind;
pub use peer_record::{Capability, PeerRecord, ReadableVersion, Service, Transport};
pub use receipt::Receipt;
pub use revocation::{RevocationEntry, RevocationKind, RevocationList, Standing};
pub use roster::{Roster, RosterEntry, RosterError};
pub use time_statement::TimeStatement;

use crate::epochs::SettingsError;
use crate::id::{NetworkId, NodeId, OperatorId, Revision};
use crate::keyring::Signer;
use crate::name::OperatorName;
use crate::net::Prefix;
use crate::order::Order;
use crate::policy::PolicyError;
use crate::time::{Span, UnixTime};
use crate::verify::VerifyError;

/// A rule that a properly signed document breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// A span of validity that is empty.
    #[error("its validity ends before it begins")]
    EmptyValidity,
    /// A node id that is not derived from the identity key beside it.
    #[error("its node id is not that of its identity key")]
    NodeIdMismatch,
    /// A threshold that its keys cannot meet, or a key twice.
    #[error(
        "a threshold of {threshold} cannot be met by {keys} distinct keys; give as many different keys as must sign"
    )]
    Threshold {
        /// How many must sign.
        threshold: usize,
        /// How many distinct keys there are.
        keys: usize,
    },
    /// The root key doing the authority's work.
    #[error("the root key is also an authority key; the root must be able to stay offline")]
    RootIsAuthority,
    /// Not the first revision without a predecessor, or the other way round.
    #[error("only the first revision has no predecessor, and every other names one")]
    Predecessor,
    /// Address ranges that overlap.
    #[error("the address ranges {0} and {1} overlap")]
    RangesOverlap(Prefix, Prefix),
    /// Something of which there must be at least one.
    #[error("there is no {0}, and at least one is needed")]
    Missing(&'static str),
    /// Epoch settings, or times made under them, that do not work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// An address that the genesis does not give out.
    #[error("its address {0} is not in the network's ranges")]
    AddressOutsideRange(std::net::IpAddr),
    /// A route into the overlay itself.
    #[error("its route {0} covers addresses of the overlay")]
    RouteIntoOverlay(Prefix),
    /// Entries that are not in strictly rising order of their key.
    #[error("its entries are not in rising order, or one stands there twice")]
    Unordered,
    /// A full roster that removes, or a delta that does not move forward.
    #[error("a full roster removes nobody, and a delta is newer than its base")]
    RosterBase,
    /// A policy that does not hold together.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Keys said to sign since a revision that cannot be.
    #[error("its authority keys cannot have signed since revision {0}")]
    Since(Revision),
    /// An operator who could sign for the authority or the root as well.
    #[error(
        "the operator '{0}' has a key of the authority or the root; give operators keys of their own"
    )]
    OperatorIsAuthority(OperatorName),
    /// A command that could be replayed for too long.
    #[error("it counts for {got}; a command counts for at most {most}")]
    LongCommand {
        /// How long it counts.
        got: Span,
        /// How long it may.
        most: Span,
    },
    /// A port number of zero.
    #[error("port 0 serves nothing")]
    PortZero,
}

/// A kind of signed document.
///
/// A version's fields never change. A new field makes a new version, which is a new type.
pub trait Document: Serialize + DeserializeOwned {
    /// Whose signatures it needs.
    type Signer: Signer;
    /// What it is.
    const KIND: Kind;
    /// The version of its fields.
    const VERSION: u32 = 1;

    /// The network that it belongs to.
    fn network(&self) -> NetworkId;

    /// The rules that hold within the document.
    fn check(&self) -> Result<(), DocumentError> {
        Ok(())
    }

    /// The genesis revision that it says it was signed under; only that revision's keys count for it.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// The rules that hold between the document, the genesis in force and the time.
    fn check_within(&self, _genesis: &Genesis, _now: UnixTime) -> Result<(), DocumentError> {
        Ok(())
    }

    /// When it counts.
    fn validity(&self) -> Validity {
        Validity::default()
    }

    /// The one who speaks in it, where that is neither root nor authority.
    fn author(&self) -> Option<Author> {
        None
    }

    /// What an operator must be allowed to do for the document to count.
    fn action(&self) -> Option<Action> {
        None
    }
}

/// A kind of document of which a later one supersedes the earlier.
pub trait Ordered: Document {
    /// Its place among those of its kind.
    fn order(&self) -> Order;
}

/// The node or operator whose own word a document is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Author {
    /// A node, which signs with its identity key.
    Node(NodeId),
    /// An operator, who signs with an operator key.
    Operator(OperatorId),
}

/// From when until when a document counts; what is not said does not limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Validity {
    /// The first moment.
    pub not_before: Option<UnixTime>,
    /// The moment from which it does not count any more.
    pub not_after: Option<UnixTime>,
}

impl Validity {
    /// Whether `now` lies within.
    pub fn check(&self, now: UnixTime) -> Result<(), VerifyError> {
        if let Some(not_before) = self.not_before.filter(|&t| now < t) {
            return Err(VerifyError::NotYetValid(not_before));
        }
        if let Some(not_after) = self.not_after.filter(|&t| now >= t) {
            return Err(VerifyError::Expired(not_after));
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        matches!((self.not_before, self.not_after), (Some(from), Some(until)) if from >= until)
    }

    /// Refuses a span without a moment in it.
    fn check_sound(&self) -> Result<(), DocumentError> {
        if self.is_empty() {
            Err(DocumentError::EmptyValidity)
        } else {
            Ok(())
        }
    }
}
