//! The head of the audit log.

use serde::{Deserialize, Serialize};

use super::{Document, Kind, Ordered};
use crate::id::{Digest, NetworkId, Sequence};
use crate::keyring::Authority;
use crate::time::UnixTime;

/// The authority's word on how long its audit log is and what it hashes to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checkpoint {
    /// The network.
    pub network: NetworkId,
    /// How many records there are.
    pub size: Sequence,
    /// The hash of the last record, which chains all before it.
    pub head: Digest,
    /// When it was signed.
    pub at: UnixTime,
}

impl Document for Checkpoint {
    type Signer = Authority;
    const KIND: Kind = Kind::Checkpoint;

    fn network(&self) -> NetworkId {
        self.network
    }
}

impl Ordered for Checkpoint {
    fn sequence(&self) -> Sequence {
        self.size
    }
}
