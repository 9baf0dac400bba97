//! The published time to cut-off.
//!
//! A revocation is over when no honest node can exchange a packet with the revoked one any more. A node that
//! has sent a receipt has stopped. One that has not goes on at most until the latest lease of any grant that
//! ever left the authority for it without the revocation: whatever it hears or does not hear, its data path
//! stops there by itself. The bound is the latest of these times, plus what clocks may drift apart.
//!
//! Only what the release ledger holds counts, never the settings of today: a lease that was handed out under
//! yesterday's policy binds just the same. Outside the promise are nodes that lie: one that signs a receipt
//! without having stopped, or that passes a revoked node's packets on.
//!
//! ## Assumptions
//!
//! * A node turns a lease into a deadline on its boot-time clock with a time statement that it asked for no
//!   earlier than [`MOST_STATEMENT_AGE`] before the grant was released.
//! * That clock drifts by at most 500 parts in a million ([`clock_allowance`]).
//! * After a reboot, and before it has heard the authority's time again, a node's real-time clock has not been set back,
//!   unless the policy's `trust_rtc` is off.
//! * The replicas of one authority agree on the time to within [`ONE_BATCH`].

use std::collections::{BTreeMap, BTreeSet};

use crate::epochs::EpochCeilings;
use crate::id::{EpochNumber, NodeId};
use crate::order::ListPlace;
use crate::time::{Span, UnixTime};

/// The oldest time statement with which a node may turn a lease into a deadline.
pub const MOST_STATEMENT_AGE: Span = Span::from_minutes(2);

/// What a data path may still do after its deadline: one batch.
pub const ONE_BATCH: Span = Span::from_millis(100);

/// How much later than the authority's clock says a lease of `length` may end at a node: 500 parts in a
/// million of it, and one batch.
pub fn clock_allowance(length: Span) -> Span {
    let timed = length + MOST_STATEMENT_AGE;
    Span::from_millis(timed.as_millis().div_ceil(2000)) + ONE_BATCH
}

/// One grant that left the authority.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Release {
    /// To whom.
    pub node: NodeId,
    /// For which epoch.
    pub epoch: EpochNumber,
    /// Which drawing of its secret.
    pub redraw: u32,
    /// The revocation list without which the grant is not used.
    pub list: ListPlace,
    /// When it left.
    pub released_at: UnixTime,
    /// Until when it may be used.
    pub lease_until: UnixTime,
}

impl Release {
    /// When a node that has nothing but this grant has stopped, by the authority's clock.
    pub fn stopped_at(&self) -> UnixTime {
        self.lease_until + clock_allowance(self.lease_until.since(self.released_at))
    }
}

/// A span of time of which the ledger may lack releases, as after a restored backup.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LedgerGap {
    /// The longest that genesis then allowed from a release to the end of its lease, whatever it allows now.
    pub longest: Span,
    /// The last moment at which a release may be missing.
    pub until: UnixTime,
}

impl LedgerGap {
    /// A gap up to `until`, under the ceilings that were in force.
    pub fn new(until: UnixTime, ceilings: &EpochCeilings) -> Self {
        Self {
            until,
            longest: ceilings.lead + ceilings.lease,
        }
    }

    /// When every grant that may be missing has ended.
    pub fn stopped_at(&self) -> UnixTime {
        self.until + self.longest + clock_allowance(self.longest)
    }
}

/// A revocation that is under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Revocation {
    /// Who is out.
    pub node: NodeId,
    /// The first list that says so.
    pub list: ListPlace,
    /// When it was decided. What had ended by then bound nobody.
    pub since: UnixTime,
}

impl Revocation {
    /// Whether the holder of `release` may still talk to the revoked node for as long as it lasts.
    fn is_unknown_to(&self, release: &Release) -> bool {
        release.node != self.node && release.list < self.list && release.stopped_at() > self.since
    }

    /// How the revocation stands, given everything that was ever released, the latest list that each node has
    /// a valid receipt for, and the ledger's gaps.
    pub fn progress<'a>(
        &self,
        releases: impl IntoIterator<Item = &'a Release>,
        receipts: &BTreeMap<NodeId, ListPlace>,
        gaps: &[LedgerGap],
    ) -> Progress {
        let confirmed = |node: &NodeId| receipts.get(node).is_some_and(|list| *list >= self.list);
        let mut progress = Progress::default();
        for release in releases
            .into_iter()
            .filter(|release| self.is_unknown_to(release))
        {
            if confirmed(&release.node) {
                progress.confirmed.insert(release.node);
            } else {
                let latest = progress.outstanding.entry(release.node).or_default();
                *latest = release.stopped_at().max(*latest);
            }
        }
        progress.unaccounted = gaps.iter().map(|gap| gap.stopped_at()).max();
        progress
    }
}

/// Who has confirmed a revocation, and when the others have stopped at the latest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Nodes that could talk to the revoked one, and have signed that they do not.
    pub confirmed: BTreeSet<NodeId>,
    /// Nodes that may not have heard, and when each has stopped by itself.
    pub outstanding: BTreeMap<NodeId, UnixTime>,
    /// When whoever is missing from the ledger has stopped.
    pub unaccounted: Option<UnixTime>,
}

impl Progress {
    /// When the last of them has stopped; `None` if all have confirmed.
    pub fn bound(&self) -> Option<UnixTime> {
        self.outstanding
            .values()
            .copied()
            .chain(self.unaccounted)
            .max()
    }
}

/// A bound that was told to somebody. It only falls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublishedBound(Option<UnixTime>);

impl PublishedBound {
    /// What is told first.
    pub fn first(progress: &Progress) -> Self {
        Self(progress.bound())
    }

    /// A bound that was kept.
    pub fn kept(bound: Option<UnixTime>) -> Self {
        Self(bound)
    }

    /// What is told next, after more receipts. Never later than before.
    #[must_use]
    pub fn fallen(self, progress: &Progress) -> Self {
        Self(match (self.0, progress.bound()) {
            (Some(told), Some(now)) => Some(told.min(now)),
            _ => None,
        })
    }

    /// The time after which nobody honest talks to the revoked node; `None` if all have confirmed. A time that has
    /// passed means the same, unless the authority's clock was set ahead to it.
    pub fn time(&self) -> Option<UnixTime> {
        self.0
    }
}
