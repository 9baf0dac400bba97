//! A node's word that it has applied a revocation list.

use serde::{Deserialize, Serialize};

use super::{Author, Document, Kind, Ordered};
use crate::id::{Digest, NetworkId, NodeId, Sequence};
use crate::keyring::Node;
use crate::order::{ListPlace, Order};
use crate::time::UnixTime;

/// Signed only after the data plane has dropped everyone on the list and the list is on disk (THREATS B3).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Receipt {
    /// The network.
    pub network: NetworkId,
    /// The node that speaks.
    pub node: NodeId,
    /// Rises with each receipt of the node.
    pub sequence: Sequence,
    /// The list's place.
    pub list: ListPlace,
    /// The digest of the list's signed bytes: a place alone could name two lists.
    pub list_digest: Digest,
    /// When it was applied, by the authority's time as the node knows it.
    pub applied_at: UnixTime,
}

impl Document for Receipt {
    type Signer = Node;
    const KIND: Kind = Kind::Receipt;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn author(&self) -> Option<Author> {
        Some(Author::Node(self.node))
    }
}

impl Ordered for Receipt {
    fn order(&self) -> Order {
        Order::alone(self.sequence)
    }
}
