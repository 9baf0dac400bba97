//! Revocations, and how they stand.

use std::num::NonZeroU32;

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

/// How a revocation stands. It names so many nodes and counts all of them: the decision does not depend on how many there are.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RevocationStatus {
    /// The first list that holds it.
    pub list: ListPlace,
    /// Nodes that have signed that they have stopped.
    pub confirmed: BoundedSet<NodeId, { RevocationStatus::MOST_NAMED }>,
    /// How many more have, if there are more than can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed_unnamed: Option<NonZeroU32>,
    /// Nodes that may not have heard yet.
    pub outstanding: BoundedList<Outstanding, { RevocationStatus::MOST_NAMED }>,
    /// How many more may not, if there are more than can be named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outstanding_unnamed: Option<NonZeroU32>,
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
    /// The most nodes of a kind that are named.
    pub const MOST_NAMED: usize = 10_000;

    /// The status that `progress` amounts to, with the bound as it was published.
    pub fn new(
        list: ListPlace,
        progress: &Progress,
        bound: Option<UnixTime>,
        trusts_rtc: bool,
    ) -> Self {
        let (confirmed, outstanding) = (&progress.confirmed, &progress.outstanding);
        let named = confirmed.iter().copied().take(Self::MOST_NAMED);
        let open = outstanding
            .iter()
            .map(|(&node, &stopped_at)| Outstanding { node, stopped_at })
            .take(Self::MOST_NAMED);
        Self {
            list,
            confirmed: BoundedSet::new(named.collect()).unwrap_or_default(), // just cut to size
            confirmed_unnamed: unnamed(confirmed.len()),
            outstanding: BoundedList::new(open.collect()).unwrap_or_default(),
            outstanding_unnamed: unnamed(outstanding.len()),
            bound,
            trusts_rtc,
        }
    }

    /// How many nodes have confirmed.
    pub fn confirmed_count(&self) -> usize {
        all(self.confirmed.len(), self.confirmed_unnamed)
    }

    /// How many may not have heard yet.
    pub fn outstanding_count(&self) -> usize {
        all(self.outstanding.len(), self.outstanding_unnamed)
    }
}

/// How many of `all` are not named.
fn unnamed(all: usize) -> Option<NonZeroU32> {
    let more = all.saturating_sub(RevocationStatus::MOST_NAMED);
    NonZeroU32::new(u32::try_from(more).unwrap_or(u32::MAX))
}

fn all(named: usize, unnamed: Option<NonZeroU32>) -> usize {
    named + unnamed.map_or(0, NonZeroU32::get) as usize
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
