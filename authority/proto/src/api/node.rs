//! What nodes ask, and what they are told.

use serde::{Deserialize, Serialize};

use crate::bounded::{BoundedList, BoundedSet};
use crate::document::{
    Certificate, EpochGrant, Genesis, PeerRecord, RevocationList, TimeStatement,
};
use crate::envelope::Signed;
use crate::id::{NodeId, Sequence};
use crate::invite::InviteToken;
use crate::name::{Label, NodeName};
use crate::net::Prefix;
use crate::order::ListPlace;
use crate::policy::Policy;
use crate::possession::{Answer, NodeKeys};
use crate::request::Nonce;
use crate::time::UnixTime;

/// Asks what time it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimeQuestion {
    /// What the answer has to repeat.
    pub nonce: Nonce,
}

/// A newcomer answers its challenge ([`crate::NodeKeys::challenge`]) and asks to be let in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Enroll {
    /// The keys that it wants to be known by, as in the question for the challenge.
    pub keys: NodeKeys,
    /// The challenge that is answered.
    pub challenge: Nonce,
    /// The proof that it holds its keys.
    pub answer: Answer,
    /// The name that it would like.
    pub name: NodeName,
    /// The networks that it would route for.
    pub routes: BoundedSet<Prefix, 32>,
    /// The right to be admitted at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<InviteToken>,
}

/// What became of an enrolment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enrolled {
    /// The node is in.
    Admitted(Signed<Certificate>),
    /// An operator has to decide; ask again.
    Pending,
}

/// A node asks for its next certificate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Renew {
    /// Its keys from now on. The identity stays; a new WireGuard key puts the certificates before on the list.
    pub keys: NodeKeys,
    /// The challenge over these keys.
    pub challenge: Nonce,
    /// The proof that it holds them.
    pub answer: Answer,
}

/// What a node says of itself, and the question what time it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Heartbeat {
    /// The program's version.
    pub program: Label,
    /// Asks for the time.
    pub nonce: Nonce,
    /// The revocation list in force.
    pub list: ListPlace,
    /// The policy in force.
    pub policy: Sequence,
    /// The roster in force.
    pub roster: Sequence,
    /// Where the node is found, if that has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<Signed<PeerRecord>>,
    /// Peers that it has exchanged packets with since the last heartbeat.
    pub peers_seen: BoundedSet<NodeId, 1000>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HeartbeatReply {
    /// What time it is.
    pub time: Signed<TimeStatement>,
}

/// What a node still holds of what an authority gave out before it was restored from a backup. The request is signed
/// by `keys.identity`, which the restored authority may not know.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recovery {
    /// Its keys.
    pub keys: NodeKeys,
    /// The newest revocation list that it has.
    pub list: Signed<RevocationList>,
    /// Its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Signed<Certificate>>,
    /// Its grants.
    pub grants: BoundedList<Signed<EpochGrant>, 8>,
    /// The successions of genesis that it knows, in their order.
    pub genesis: BoundedList<Signed<Genesis>, 64>,
    /// The newest policy that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Signed<Policy>>,
    /// Certificates of peers, the newest first: the authority then knows of whom else it has to hear.
    pub peers: BoundedList<Signed<Certificate>, 1000>,
}

/// Whether an authority that was restored still waits for others.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recovered {
    /// Nodes that have not reported yet; none: the authority works again, unless only an operator can end its recovery.
    pub awaited: u32,
}

/// How a recovery ends.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecoveryEnd {
    /// By itself, once every awaited node has reported.
    Reports,
    /// By a sovereign's word alone: fewer than two members of the backup are left who could report, and one alone could
    /// keep silent about its own revocation.
    Override,
}

/// How the recovery of a restored authority stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryView {
    /// When the backup was made.
    pub backup_at: UnixTime,
    /// When it was restored.
    pub since: UnixTime,
    /// How many nodes have reported.
    pub reported: u32,
    /// How it ends.
    pub ends: RecoveryEnd,
    /// Nodes that have not, and may know of decisions that the backup does not hold.
    pub awaited: BoundedList<NodeId, 10_000>,
}

/// The grants that a node may hold now, with the list that they go with.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grants {
    /// One per live epoch.
    pub grants: BoundedList<super::GrantWithList, 8>,
}
