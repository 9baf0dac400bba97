//! Policy and epochs, as operators see and set them; and what is told of everything that changes.

use serde::{Deserialize, Serialize};

use super::NodeStatus;
use crate::audit::Chained;
use crate::bounded::BoundedList;
use crate::id::{Digest, EpochNumber, NodeId, Sequence};
use crate::name::{NodeName, Reason};
use crate::time::{Span, UnixTime};

/// The largest policy file.
pub const LARGEST_POLICY_FILE: usize = 1024 * 1024;

/// A policy in the form in which people write it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyText {
    /// The version in force.
    pub version: Sequence,
    /// The file.
    pub file: String,
}

/// A policy to check or to put in force.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyProposal {
    /// The version that it was made from; if another is in force meanwhile, it is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Sequence>,
    /// The file.
    pub file: String,
}

/// A policy that was put in force.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyInForce {
    /// Its version.
    pub version: Sequence,
    /// The digest of what was signed.
    pub digest: Digest,
}

/// What a policy file would do.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicyReport {
    /// How many rules it has.
    pub rules: u32,
    /// How many operators it names.
    pub operators: u32,
    /// Nodes that it would leave without any peer.
    pub isolated: BoundedList<NodeName, 20_000>,
}

/// An epoch, without its secret.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochView {
    /// Its number.
    pub number: EpochNumber,
    /// How often its secret was drawn again.
    pub redraw: u32,
    /// When sending under it begins.
    pub starts: UnixTime,
    /// When sending passes to the next.
    pub ends: UnixTime,
    /// When it must not be used any more.
    pub lease_until: UnixTime,
    /// To how many nodes it was released.
    pub released: u32,
}

/// The epochs that count now: the current one, and the next once it is open.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Epochs {
    /// In their order.
    pub epochs: BoundedList<EpochView, 64>,
}

/// Ends recovery before every agent has reported.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Override {
    /// Why that is right, for the audit log.
    pub reason: Reason,
}

/// One page of the audit log.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditPage {
    /// The records, in their order.
    pub records: BoundedList<Chained, 1000>,
    /// Where the next page begins (`?after=`), if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Sequence>,
}

/// One event of an operator's stream. Its name there is the variant's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A genesis succession is in force.
    Genesis {
        /// Its digest.
        digest: Digest,
    },
    /// A new revocation list.
    List {
        /// Its place.
        sequence: Sequence,
    },
    /// A new policy.
    Policy {
        /// Its version.
        version: Sequence,
    },
    /// A node came, went, changed, fell silent or is back.
    Node {
        /// Which.
        node: NodeId,
        /// Its name.
        name: NodeName,
        /// How it stands now.
        status: NodeStatus,
        /// Why.
        reason: Reason,
    },
    /// A node is found elsewhere.
    Record {
        /// Which.
        node: NodeId,
    },
    /// Grants of an epoch were released.
    Grants {
        /// The epoch.
        epoch: EpochNumber,
        /// To how many nodes.
        nodes: u32,
    },
    /// Something was recorded in the audit log.
    Audit(Chained),
    /// A revocation is complete: nobody honest talks to the node any more.
    CutOff {
        /// The first list that held it.
        list: Sequence,
        /// How long that took, in milliseconds.
        after: Span,
    },
}

impl Change {
    /// Every name that an event has in the stream.
    pub const NAMES: &'static [&'static str] = &[
        "genesis", "list", "policy", "node", "record", "grants", "audit", "cut-off",
    ];

    /// The event's name in the stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Genesis { .. } => "genesis",
            Self::List { .. } => "list",
            Self::Policy { .. } => "policy",
            Self::Node { .. } => "node",
            Self::Record { .. } => "record",
            Self::Grants { .. } => "grants",
            Self::Audit(_) => "audit",
            Self::CutOff { .. } => "cut-off",
        }
    }
}
