//! The authority's time.

use serde::{Deserialize, Serialize};

use super::{Document, Kind};
use crate::id::NetworkId;
use crate::keyring::Authority;
use crate::request::Nonce;
use crate::time::UnixTime;

/// The authority's answer to "what time is it?". The asker's nonce makes it worthless to anyone else, and later.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimeStatement {
    /// The network.
    pub network: NetworkId,
    /// What the asker sent.
    pub nonce: Nonce,
    /// The time at the authority between question and answer.
    pub at: UnixTime,
}

impl Document for TimeStatement {
    type Signer = Authority;
    const KIND: Kind = Kind::TimeStatement;

    fn network(&self) -> NetworkId {
        self.network
    }
}
