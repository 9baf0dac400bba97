//! How followers come to hear: whatever any server on this database commits is read from it and told, in order.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand_core::Rng as _;

use super::authority::{Inner, OpenError, rng};
use super::feed::Feed;
use super::{Authority, Limits};
use crate::store::{Store, StoreError, Tx, change};

/// How soon another server's changes are told at the latest. This server's own are told at once.
const LOOK: Duration = Duration::from_millis(100);
/// Changes that are read at once.
const AT_ONCE: u32 = 256;

/// The feed of this database, with what it still holds.
pub(super) async fn feed(store: &Store, limits: &Limits) -> Result<Arc<Feed>, OpenError> {
    let fresh = rng()?.next_u32();
    let instance = store
        .write(move |tx: &mut Tx| {
            Box::pin(async move { change::instance(tx.connection(), fresh).await })
        })
        .await?;
    let behind = change::forgotten(&mut *store.read().await?).await?;
    Ok(Arc::new(Feed::new(instance, behind, limits.changes)))
}

impl Authority {
    /// Tells followers for as long as this authority is there.
    pub(super) fn start_telling(&self) {
        let inner = Arc::downgrade(&self.0);
        let told = Arc::clone(self.0.store.told());
        tokio::spawn(async move {
            while let Some(here) = Weak::upgrade(&inner) {
                tell(here).await;
                let _ = tokio::time::timeout(LOOK, told.notified()).await; // whichever comes first
            }
        });
    }

    /// Tells what has changed, after looking at what is so now: who hears of a change finds it done.
    pub(super) async fn tell_changes(&self) -> Result<(), StoreError> {
        loop {
            let mut head = self.0.feed.head();
            let changes = {
                let mut connection = self.0.store.read().await?;
                let forgotten = change::forgotten(&mut connection).await?;
                if forgotten > head {
                    self.0.feed.lose(forgotten); // this server stood still for longer than changes are kept
                    head = forgotten;
                }
                change::since(&mut connection, head, AT_ONCE).await?
            };
            if changes.is_empty() {
                return Ok(());
            }
            self.look_at_records().await?;
            match self.view().await {
                Ok(_) | Err(StoreError::Recovering) => self.0.feed.publish(changes),
                Err(error) => return Err(error),
            }
        }
    }
}

async fn tell(inner: Arc<Inner>) {
    match Authority(inner).tell_changes().await {
        Ok(()) | Err(StoreError::Closed) => {}
        Err(error) => tracing::error!(%error, "followers could not be told; trying again"),
    }
}
