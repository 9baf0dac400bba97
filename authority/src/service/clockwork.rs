//! What the authority does by itself, by its clock and when there is work.

use std::time::Duration;

use tidegate_proto::{Span, UnixTime};

use super::{Authority, EpochError};
use crate::store::Tx;

/// The longest between two rounds.
const ROUND: Span = Span::from_secs(5);
/// The shortest between two rounds: what comes in meanwhile is done in one.
const GATHER: Duration = Duration::from_millis(20);

impl Authority {
    /// Does what is due: looks after the clock, keeps the list fresh, opens epochs, releases grants, marks the silent, settles revocations,
    /// forgets what has passed. What fails keeps nothing else from being done. Returns when to come back.
    pub async fn tick(&self) -> Result<UnixTime, EpochError> {
        if self.recovery().await?.is_some() {
            return Ok(self.clock().now() + ROUND); // nothing is due before it is over
        }
        let done = [
            self.keep_pace().await.map_err(EpochError::from),
            self.keep_documents().await,
            self.effect(async move |this, tx| this.open_due(tx).await)
                .await,
            self.release_due().await,
            self.keep_books().await,
        ];
        done.into_iter().collect::<Result<(), EpochError>>()?;
        Ok(self.next_opening().await?.min(self.clock().now() + ROUND))
    }

    /// Has everything that nodes are told be of the genesis in force.
    async fn keep_documents(&self) -> Result<(), EpochError> {
        self.effect(async move |this, tx| this.keep_up::<EpochError>(tx).await)
            .await?;
        self.reissue().await
    }

    async fn keep_books(&self) -> Result<(), EpochError> {
        let view = self.view().await?;
        self.effect(async move |this, tx| -> Result<(), EpochError> {
            this.keep_pulse(tx, &view).await?;
            this.keep_used(tx).await?;
            this.record_alarms(tx, false).await?;
            this.settle_revocations::<EpochError>(tx).await?;
            this.forget(tx).await
        })
        .await
    }

    /// Does what is due, for as long as it is awaited.
    pub async fn run(&self) {
        loop {
            let next = self.tick().await.unwrap_or_else(|error| {
                tracing::error!(%error, "what was due could not be done; trying again");
                self.clock().now() + Span::from_secs(1)
            });
            self.warn_of_clock();
            self.serve_until(next).await;
        }
    }

    /// Gives newcomers their grants as they come, until the next round is due or there is other work.
    async fn serve_until(&self, next: UnixTime) {
        let wait = next.since(self.clock().now()).as_millis();
        let due = tokio::time::sleep(Duration::from_millis(wait).max(GATHER));
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased;
                () = &mut due => return,
                () = self.0.work.notified() => return tokio::time::sleep(GATHER).await,
                () = self.0.wanted.notified() => tokio::time::sleep(GATHER).await,
            }
            if let Err(error) = self.release_wanted().await {
                tracing::warn!(%error, "newcomers wait for their grants until the next round");
            }
        }
    }

    fn warn_of_clock(&self) {
        let behind = self.clock().behind();
        if behind > ROUND {
            tracing::error!(
                seconds = behind.as_millis() / 1000,
                "the machine's clock was set back; time stands still until it has caught up. If it was ahead before, restart"
            );
        }
    }

    /// Has the next round begin at once after this change.
    pub(super) fn has_work(&self, tx: &mut Tx) {
        let inner = std::sync::Arc::clone(&self.0);
        tx.after_commit(move || inner.work.notify_one());
    }
}
