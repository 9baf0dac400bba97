//! Who may have been revoked since the backup without a trace of it.
//!
//! An entry leaves the list once nobody can believe the certificates that it is about. So the newest list is silent about
//! a node that was revoked after the backup, if that was long enough ago, and the backup knows it as a member. It must
//! not come back by that. A node with a certificate that was believed until later would still be on the list.

use tidegate_proto::{Genesis, Reason, Signed, Span, SuccessionError, UnixTime};

use super::super::audit::{Entry, Event};
use super::super::certificates::longest_use;
use super::super::genesis::ceilings;
use super::super::{Actor, Authority, NodeStatus};
use super::LEAST_WITNESSES;
use crate::store::recovery::Recovery;
use crate::store::{StoreError, Tx, corrupt, genesis, node, recovery};

const REASON: &str =
    "its certificate ended so long ago that a revocation after the backup would not show any more";

impl Authority {
    /// Until when it is known who was put out, or may have been without anybody here having heard of it: the time of the
    /// newest list, where enough members of the backup have vouched for that one; now, where a sovereign decided alone.
    pub(super) async fn known_until(
        &self,
        tx: &mut Tx,
        current: &Recovery,
    ) -> Result<UnixTime, StoreError> {
        let now = tx.now();
        let witnesses = recovery::witnesses(tx.connection(), current.backup_at).await?;
        if witnesses.heard < LEAST_WITNESSES {
            return Ok(now);
        }
        // A list's sequence is never less than the time at which it was signed.
        Ok(UnixTime::from_millis(current.list.sequence.value()).min(now))
    }

    /// Suspends each member whose revocation after the backup would have left the list again by `known_until`. It is not
    /// put on the list: its certificates are past belief.
    pub(super) async fn suspend_unseen(
        &self,
        tx: &mut Tx,
        backup_at: UnixTime,
        known_until: UnixTime,
    ) -> Result<(), StoreError> {
        let chain = genesis::all(tx.connection()).await?;
        let kept = least_kept(&chain).map_err(|error| corrupt("genesis", error))?;
        let still_listed = known_until - kept;
        if backup_at >= still_listed {
            return Ok(()); // every revocation after the backup is still on the list
        }
        let now = tx.now();
        for mut node in node::ended_before(tx.connection(), still_listed).await? {
            node.status = NodeStatus::Quarantined;
            node.reason = Reason::shortened(REASON);
            (node.since, node.offline_since) = (now, None);
            self.touch(tx, &mut node).await?;
            let entry = Entry::new(Event::NodeSuspended, &Actor::System, node.node);
            self.record(tx, entry.with("reason", &node.reason)).await?;
        }
        Ok(())
    }
}

/// How long an entry stays on the list behind the end of the certificates, at the least: whatever was in force when a
/// node was revoked.
fn least_kept(revisions: &[Signed<Genesis>]) -> Result<Span, SuccessionError> {
    let kept = ceilings(revisions)?.iter().map(longest_use).min();
    Ok(kept.unwrap_or_default())
}
