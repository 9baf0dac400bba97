//! The bodies of the authority's HTTP API that more than one program reads.
//!
//! Signed documents travel in them as the JSON of their envelopes, so that whoever receives one can keep and pass
//! on the very bytes that were signed. Bodies are read with [`crate::strict`], like documents.

use serde::{Deserialize, Serialize};

use crate::bound::Progress;
use crate::bounded::{BoundedList, BoundedSet};
use crate::document::{
    Certificate, EpochGrant, Genesis, PeerRecord, RevocationKind, RevocationList, Roster,
    TimeStatement,
};
use crate::envelope::Signed;
use crate::id::{NodeId, Sequence};
use crate::invite::InviteToken;
use crate::name::{Label, NodeName, Reason};
use crate::net::{Endpoint, Prefix};
use crate::order::ListPlace;
use crate::policy::Policy;
use crate::possession::{Answer, NodeKeys};
use crate::request::Nonce;
use crate::time::UnixTime;

/// The largest body that anybody but an operator may send.
pub const LARGEST_NODE_BODY: usize = 64 * 1024;

/// Why a request was refused: problem details (RFC 9457) with a stable code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// What went wrong, for programs; a code never changes its meaning.
    pub code: Label,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, why, and what to do next, for people.
    pub detail: Reason,
    /// The authority's time, where the request's clock was off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Signed<TimeStatement>>,
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

/// A grant and the revocation list that it must be used with, in one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GrantWithList {
    /// The grant.
    pub grant: Signed<EpochGrant>,
    /// The list.
    pub list: Signed<RevocationList>,
}

/// A node's own word on where it is found, and where the authority saw it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordWithHint {
    /// What the node signed.
    pub record: Signed<PeerRecord>,
    /// Where its last record came from: an unsigned hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_from: Option<Endpoint>,
}

/// A roster, full or a delta, with the certificates that it names, and where their nodes are found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RosterUpdate {
    /// Who is in, and who is out.
    pub roster: Signed<Roster>,
    /// The certificates of those who are in, in the order of the roster's entries.
    pub certificates: BoundedList<Signed<Certificate>, 20_000>,
    /// Where they are found, as far as they have said so.
    pub records: BoundedList<RecordWithHint, 20_000>,
}

/// One event of a node's stream. Its name there is the variant's.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamEvent {
    /// A succession of genesis.
    Genesis(Signed<Genesis>),
    /// Who is out.
    List(Signed<RevocationList>),
    /// Who may talk to whom.
    Policy(Signed<Policy>),
    /// Whom the node may talk to.
    Roster(RosterUpdate),
    /// Where a peer is found now.
    Record(RecordWithHint),
    /// The node's key to an epoch.
    Grant(GrantWithList),
}

impl StreamEvent {
    /// The event's name in the stream.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "genesis",
            Self::List(_) => "list",
            Self::Policy(_) => "policy",
            Self::Roster(_) => "roster",
            Self::Record(_) => "record",
            Self::Grant(_) => "grant",
        }
    }
}

/// An operator puts a node out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revoke {
    /// For good, or for now.
    pub kind: RevocationKind,
    /// Why, for people.
    pub reason: Reason,
}

/// How a revocation stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationStatus {
    /// The first list that holds it.
    pub list: ListPlace,
    /// Nodes that have signed that they have stopped.
    pub confirmed: BoundedSet<NodeId, 10_000>,
    /// Nodes that may not have heard yet.
    pub outstanding: BoundedList<Outstanding, 10_000>,
    /// After this nobody honest talks to the revoked node; absent if all have confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<UnixTime>,
    /// Whether the bound assumes that no node's real-time clock was set back across a reboot.
    pub trusts_rtc: bool,
}

/// A node that may not have heard of a revocation.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Outstanding {
    /// The node.
    pub node: NodeId,
    /// When it has stopped by itself.
    pub stopped_at: UnixTime,
}

impl RevocationStatus {
    /// The status that `progress` amounts to, with the bound as it was published. `None` if there are more nodes
    /// than any network has.
    pub fn new(
        list: ListPlace,
        progress: &Progress,
        bound: Option<UnixTime>,
        trusts_rtc: bool,
    ) -> Option<Self> {
        let outstanding = progress
            .outstanding
            .iter()
            .map(|(&node, &stopped_at)| Outstanding { node, stopped_at });
        Some(Self {
            list,
            confirmed: BoundedSet::new(progress.confirmed.iter().copied().collect()).ok()?,
            outstanding: BoundedList::new(outstanding.collect()).ok()?,
            bound,
            trusts_rtc,
        })
    }
}
