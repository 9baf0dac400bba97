//! Who is out.

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Kind, Ordered};
use crate::bounded::BoundedList;
use crate::id::{NetworkId, Revision, Sequence, Serial};
use crate::key::PublicKey;
use crate::keyring::Authority;
use crate::name::Reason;
use crate::order::{ListPlace, Order};
use crate::time::UnixTime;

/// Out for good, or until a rule or an operator lets it in again.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationKind {
    /// An operator's decision; only a reinstatement with new keys ends it.
    Revoked,
    /// Quarantine: the node keeps its place and gets no grant.
    Suspended,
}

/// One identity's certificates that do not count any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationEntry {
    /// Whose.
    pub identity: PublicKey,
    /// Every serial up to and with this one.
    pub serials_up_to: Serial,
    /// Revoked or suspended.
    pub kind: RevocationKind,
    /// Why, for people.
    pub reason: Reason,
    /// When it was decided.
    pub since: UnixTime,
}

/// How an identity and a serial stand with a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing<'a> {
    /// Not on the list.
    Clear,
    /// On the list.
    Out(&'a RevocationEntry),
}

/// The complete list of who is out, as of its sequence.
///
/// It does not expire: an old list is better than none, and only a newer one replaces it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationList {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// Rises with each list.
    pub sequence: Sequence,
    /// When it was signed.
    pub issued_at: UnixTime,
    /// When the next one is due at the latest; later, a node reports itself uninformed.
    pub next_update: UnixTime,
    /// Who is out, in rising order of identity keys.
    pub entries: BoundedList<RevocationEntry, { RevocationList::MOST_ENTRIES }>,
}

impl RevocationList {
    /// The most entries that a list holds.
    pub const MOST_ENTRIES: usize = 10_000;

    /// The list's place, as grants and receipts name it.
    pub fn place(&self) -> ListPlace {
        ListPlace {
            revision: self.revision,
            sequence: self.sequence,
        }
    }

    /// How the certificate `serial` of `identity` stands. By key and serial, never by a hash of a blob.
    pub fn standing(&self, identity: &PublicKey, serial: Serial) -> Standing<'_> {
        match self
            .entries
            .binary_search_by(|entry| entry.identity.cmp(identity))
        {
            Ok(at) if serial <= self.entries[at].serials_up_to => Standing::Out(&self.entries[at]),
            _ => Standing::Clear,
        }
    }
}

impl Document for RevocationList {
    type Signer = Authority;
    const KIND: Kind = Kind::RevocationList;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if !self.entries.is_sorted_by(|a, b| a.identity < b.identity) {
            return Err(DocumentError::Unordered);
        }
        if self.next_update <= self.issued_at {
            Err(DocumentError::EmptyValidity)
        } else {
            Ok(())
        }
    }
}

impl Ordered for RevocationList {
    fn order(&self) -> Order {
        Order::under(self.revision, self.sequence)
    }
}
