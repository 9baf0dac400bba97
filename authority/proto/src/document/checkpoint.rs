//! The head of the audit log.

use serde::{Deserialize, Serialize};

use super::{Document, Kind, Ordered};
use crate::id::{Digest, NetworkId, Revision, Sequence};
use crate::keyring::Authority;
use crate::order::Order;

/// The authority's word on how long its audit log is and what it hashes to. It holds no time, so that signing the
/// same head twice gives the same document; the records themselves say when.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checkpoint {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// The sequence of the last record: how many there are, unless a backup was ever put back.
    pub size: Sequence,
    /// The hash of the last record, which chains all before it.
    pub head: Digest,
}

impl Document for Checkpoint {
    type Signer = Authority;
    const KIND: Kind = Kind::Checkpoint;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }
}

impl Ordered for Checkpoint {
    fn order(&self) -> Order {
        Order::under(self.revision, self.size)
    }
}
