//! Revocations, and how they stand.

use serde::{Deserialize, Serialize};

use crate::bound::Progress;
use crate::bounded::{BoundedList, BoundedSet};
use crate::document::RevocationKind;
use crate::id::{NodeId, Sequence};
use crate::name::Reason;
use crate::order::ListPlace;
use crate::time::UnixTime;

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

/// A decision that put somebody out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationView {
    /// The first list that says so.
    pub list: Sequence,
    /// Who.
    pub node: NodeId,
    /// For good or for now.
    pub kind: RevocationKind,
    /// Why.
    pub reason: Reason,
    /// When it was decided.
    pub since: UnixTime,
    /// The bound as published; absent if nobody honest talks to the node any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<UnixTime>,
}

/// The latest revocations.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revocations {
    /// The newest first.
    pub revocations: BoundedList<RevocationView, 1000>,
}

/// One revocation: what was decided, and how it stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationReport {
    /// What was decided.
    pub revocation: RevocationView,
    /// Who has confirmed it, who has not, and by when everybody has stopped.
    pub status: RevocationStatus,
}
