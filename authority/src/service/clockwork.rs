//! What the authority does by itself, by its clock and when there is work.

use std::time::Duration;

use tidegate_proto::{Span, UnixTime};

use super::audit::{Entry, Event};
use super::{Actor, Authority, EpochError};
use crate::store::{Tx, certificate, epoch, grant, invite, node, nonce, overdue, token};

/// The longest between two rounds.
const ROUND: Span = Span::from_secs(5);
/// How long a release stays in the ledger after nobody can use it any more.
const LEDGER_KEPT: Span = Span::from_hours(1);
/// How long what has ended is still shown.
const ENDED_KEPT: Span = Span::from_hours(30 * 24);

impl Authority {
    /// Does what is due: opens epochs, releases grants, marks the silent, settles revocations, forgets what has passed.
    /// Returns when to come back.
    pub async fn tick(&self) -> Result<UnixTime, EpochError> {
        if self.recovery().await?.is_some() {
            return Ok(self.clock().now() + ROUND); // nothing is due before it is over
        }
        self.effect(async move |this, tx| -> Result<(), EpochError> {
            this.refresh_list::<EpochError>(tx).await?;
            this.open_due(tx).await
        })
        .await?;
        self.release_due().await?;
        self.effect(async move |this, tx| -> Result<(), EpochError> {
            this.keep_pulse(tx).await?;
            this.keep_used(tx).await?;
            this.record_alarms(tx, false).await?;
            this.settle_revocations::<EpochError>(tx).await?;
            this.forget(tx).await
        })
        .await?;
        Ok(self.next_opening().await?.min(self.clock().now() + ROUND))
    }

    /// Does what is due, for as long as it is awaited.
    pub async fn run(&self) {
        loop {
            let next = self.tick().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what was due could not be done; trying again");
                self.clock().now() + Span::from_secs(1)
            });
            let wait = next.since(self.clock().now()).as_millis().max(10);
            let work = tokio::time::timeout(Duration::from_millis(wait), self.0.work.notified());
            let _ = work.await; // whichever comes first
        }
    }

    /// Has the next round begin at once after this change.
    pub(super) fn has_work(&self, tx: &mut Tx) {
        let inner = std::sync::Arc::clone(&self.0);
        tx.after_commit(move || inner.work.notify_one());
    }

    async fn forget(&self, tx: &mut Tx) -> Result<(), EpochError> {
        let now = tx.now();
        let ceilings = self.trust().chain.genesis().ceilings;
        nonce::forget(tx.connection(), now).await?;
        grant::forget(tx.connection(), now, now - LEDGER_KEPT).await?;
        epoch::erase(tx.connection(), now).await?;
        invite::forget(tx.connection(), now - ENDED_KEPT).await?;
        overdue::forget(tx.connection()).await?;
        token::forget(tx.connection(), now - ENDED_KEPT).await?;
        certificate::forget(
            tx.connection(),
            now - super::certificates::longest_use(&ceilings),
        )
        .await?;
        let forgotten =
            node::forget_pending(tx.connection(), now - self.0.limits.pending_for).await?;
        if forgotten > 0 {
            let entry = Entry::new(Event::PendingExpired, &Actor::System, "waiting nodes");
            self.record(tx, entry.count("count", forgotten)).await?;
        }
        Ok(())
    }
}
