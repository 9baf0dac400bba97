//! Whom one node may talk to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Kind, Ordered};
use crate::bounded::{BoundedList, BoundedSet};
use crate::id::{Digest, NetworkId, NodeId, Revision, Sequence};
use crate::keyring::Authority;
use crate::order::Order;

/// One peer, and the certificate under which it may be one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RosterEntry {
    /// The peer.
    pub node: NodeId,
    /// The digest of its certificate's signed bytes.
    pub certificate: Digest,
}

/// Why a delta cannot be applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RosterError {
    /// It changes another version than the one at hand.
    #[error(
        "the delta changes roster version {base}, and version {have} is at hand; ask for the full roster"
    )]
    OtherBase {
        /// What the delta changes.
        base: Sequence,
        /// What is at hand.
        have: Sequence,
    },
    /// The result would be larger than any roster.
    #[error("the roster would hold more than {} peers", Roster::MOST_ENTRIES)]
    TooLarge,
}

/// The peers of one node: all of them, or what changed since a base version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Roster {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// Whose roster it is.
    pub node: NodeId,
    /// Rises with each roster of the node.
    pub version: Sequence,
    /// The version that this delta changes; a full roster has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Sequence>,
    /// Peers that are in, or changed, in rising order of nodes.
    pub entries: BoundedList<RosterEntry, { Roster::MOST_ENTRIES }>,
    /// Peers that are out.
    pub removed: BoundedSet<NodeId, { Roster::MOST_ENTRIES }>,
}

impl Roster {
    /// The most peers that a roster holds.
    pub const MOST_ENTRIES: usize = 10_000;

    /// The peers after this roster, given those before it and their version.
    pub fn apply(
        &self,
        have: Sequence,
        peers: &BTreeMap<NodeId, Digest>,
    ) -> Result<BTreeMap<NodeId, Digest>, RosterError> {
        let mut after = match self.base {
            None => BTreeMap::new(),
            Some(base) if base == have => peers.clone(),
            Some(base) => return Err(RosterError::OtherBase { base, have }),
        };
        after.retain(|node, _| !self.removed.contains(node));
        after.extend(
            self.entries
                .iter()
                .map(|entry| (entry.node, entry.certificate)),
        );
        if after.len() > Self::MOST_ENTRIES {
            Err(RosterError::TooLarge)
        } else {
            Ok(after)
        }
    }
}

impl Document for Roster {
    type Signer = Authority;
    const KIND: Kind = Kind::Roster;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if !self.entries.is_sorted_by(|a, b| a.node < b.node) {
            return Err(DocumentError::Unordered);
        }
        let sound = match self.base {
            None => self.removed.is_empty(),
            Some(base) => base < self.version,
        };
        let contradicts = self
            .entries
            .iter()
            .any(|entry| self.removed.contains(&entry.node));
        if sound && !contradicts {
            Ok(())
        } else {
            Err(DocumentError::RosterBase)
        }
    }
}

impl Ordered for Roster {
    fn order(&self) -> Order {
        Order::under(self.revision, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    fn roster(version: u64, base: Option<u64>, entries: &[u8], removed: &[u8]) -> Roster {
        let entry = |&byte: &u8| RosterEntry {
            node: node(byte),
            certificate: Digest::of(&[byte, version as u8]),
        };
        Roster {
            network: NetworkId::from_bytes([0; 16]),
            revision: Revision::default(),
            node: node(0),
            version: Sequence::new(version).unwrap(),
            base: base.and_then(Sequence::new),
            entries: BoundedList::new(entries.iter().map(entry).collect()).unwrap(),
            removed: BoundedSet::new(removed.iter().map(|&byte| node(byte)).collect()).unwrap(),
        }
    }

    #[test]
    fn a_delta_changes_exactly_its_base() {
        let none = BTreeMap::new();
        let full = roster(1, None, &[1, 2], &[])
            .apply(Sequence::default(), &none)
            .unwrap();
        let delta = roster(2, Some(1), &[3], &[1]);
        let after = delta.apply(Sequence::new(1).unwrap(), &full).unwrap();
        assert_eq!(
            after.keys().copied().collect::<Vec<_>>(),
            [node(2), node(3)]
        );
        let other = Sequence::new(5).unwrap();
        assert_eq!(
            delta.apply(other, &full),
            Err(RosterError::OtherBase {
                base: Sequence::new(1).unwrap(),
                have: other
            })
        );
    }

    #[test]
    fn a_roster_does_not_contradict_itself() {
        assert_eq!(roster(1, None, &[1, 2], &[]).check(), Ok(()));
        assert_eq!(
            roster(1, None, &[2, 1], &[]).check(),
            Err(DocumentError::Unordered)
        );
        assert_eq!(
            roster(1, None, &[1], &[2]).check(),
            Err(DocumentError::RosterBase)
        );
        assert_eq!(
            roster(2, Some(2), &[1], &[]).check(),
            Err(DocumentError::RosterBase)
        );
        assert_eq!(
            roster(2, Some(1), &[1], &[1]).check(),
            Err(DocumentError::RosterBase)
        );
    }
}
