//! Where a node is found, and what it can do.

use serde::{Deserialize, Serialize};

use super::{Author, Document, DocumentError, Kind, Ordered};
use crate::bounded::{BoundedList, BoundedSet};
use crate::id::{Digest, NetworkId, NodeId, Sequence};
use crate::keyring::Node;
use crate::name::Label;
use crate::net::Endpoint;
use crate::order::Order;
use crate::time::UnixTime;

/// How a service is spoken to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Something that a node serves on its overlay address.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Service {
    /// What it is.
    pub kind: Label,
    /// How to speak to it.
    pub transport: Transport,
    /// Where.
    pub port: u16,
    /// The SHA-256 of the key that it proves itself with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
}

/// Something optional that a node can do.
pub type Capability = Label;

/// A version of a kind of document that a node reads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReadableVersion {
    /// The kind.
    pub kind: Kind,
    /// The version.
    pub version: u32,
}

impl ReadableVersion {
    /// What this program reads.
    pub fn all() -> Vec<Self> {
        let versions = |kind: Kind| {
            kind.versions()
                .iter()
                .map(move |&version| Self { kind, version })
        };
        Kind::ALL.into_iter().flat_map(versions).collect()
    }
}

/// A node's own word on where it is found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PeerRecord {
    /// The network.
    pub network: NetworkId,
    /// The node that speaks.
    pub node: NodeId,
    /// Rises with each record of the node.
    pub sequence: Sequence,
    /// When it was signed, by the node's clock.
    pub issued_at: UnixTime,
    /// Where it may be reached, best first.
    pub endpoints: BoundedList<Endpoint, 16>,
    /// What it serves.
    pub services: BoundedSet<Service, 32>,
    /// What it can do.
    pub capabilities: BoundedSet<Capability, 16>,
    /// What it reads.
    pub reads: BoundedSet<ReadableVersion, 64>,
}

impl Document for PeerRecord {
    type Signer = Node;
    const KIND: Kind = Kind::PeerRecord;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn check(&self) -> Result<(), DocumentError> {
        let zero = self.services.iter().any(|service| service.port == 0);
        if zero {
            Err(DocumentError::PortZero)
        } else {
            Ok(())
        }
    }

    fn author(&self) -> Option<Author> {
        Some(Author::Node(self.node))
    }
}

impl Ordered for PeerRecord {
    fn order(&self) -> Order {
        Order::alone(self.sequence)
    }
}
