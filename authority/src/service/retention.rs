//! What is forgotten, and when. What is on record in the audit log stays for ever, and so do banned keys; numbers are
//! counted apart from what they number, so that none comes back with its row gone.

use std::sync::atomic::Ordering;

use tidegate_proto::{Span, UnixTime};

use super::audit::{Entry, Event};
use super::bounds::MOST_LISTED;
use super::certificates::longest_use;
use super::{Actor, Authority, EpochError};
use crate::store::{
    StoreError, Tx, address, certificate, change, epoch, grant, invite, list, node, nonce, overdue,
    policy, revocation, token,
};

/// How often what has passed is forgotten.
const FORGET: Span = Span::from_minutes(1);
/// How long changes are kept for those who come back.
const CHANGES_KEPT: Span = Span::from_minutes(10);
/// How long a release stays in the ledger after nobody can use it any more.
const LEDGER_KEPT: Span = Span::from_hours(1);
/// How long invites and tokens that have ended are still shown, and newcomers who were turned away.
const ENDED_KEPT: Span = Span::from_hours(30 * 24);
/// How long it can be looked up who confirmed a revocation, and what was in force.
const HISTORY_KEPT: Span = Span::from_hours(400 * 24);

impl Authority {
    /// Forgets what has passed, now and then: by the time that has surely come, since it does not come back.
    pub(super) async fn forget(&self, tx: &mut Tx) -> Result<(), EpochError> {
        let now = self.pace().sure();
        let last = self.0.forgotten_at.load(Ordering::Relaxed);
        if now < UnixTime::from_millis(last) + FORGET {
            return Ok(());
        }
        let forgotten_at = now.as_millis();
        self.0.forgotten_at.store(forgotten_at, Ordering::Relaxed);
        self.forget_used_up(tx, now).await?;
        forget_ended(tx, now).await?;
        forget_history(tx, now).await?;
        self.forget_pending(tx, now).await?;
        Ok(())
    }

    /// What nobody can use any more.
    async fn forget_used_up(&self, tx: &mut Tx, now: UnixTime) -> Result<(), StoreError> {
        let ceilings = self.trust().chain.genesis().ceilings;
        let connection = tx.connection();
        change::forget(connection, now - CHANGES_KEPT, self.0.limits.changes).await?;
        address::forget_wireguard(connection, now).await?;
        nonce::forget(connection, now).await?;
        grant::forget(connection, now, now - LEDGER_KEPT).await?;
        epoch::erase(connection, now).await?;
        overdue::forget(connection).await?;
        certificate::forget(connection, now - longest_use(&ceilings)).await
    }

    /// Newcomers whom nobody decided on, and those who were turned away long ago.
    async fn forget_pending(&self, tx: &mut Tx, now: UnixTime) -> Result<(), StoreError> {
        let before = now - self.0.limits.pending_for;
        let forgotten = node::forget_pending(tx.connection(), before).await?;
        if forgotten > 0 {
            let entry = Entry::new(Event::PendingExpired, &Actor::System, "waiting nodes");
            self.record(tx, entry.count("count", forgotten)).await?;
        }
        let before = now - ENDED_KEPT;
        let forgotten = node::forget_denied(tx.connection(), before).await?;
        if forgotten > 0 {
            let entry = Entry::new(Event::DeniedExpired, &Actor::System, "denied nodes");
            self.record(tx, entry.count("count", forgotten)).await?;
        }
        Ok(())
    }
}

/// What has ended, and was shown for a while.
async fn forget_ended(tx: &mut Tx, now: UnixTime) -> Result<(), StoreError> {
    let before = now - ENDED_KEPT;
    invite::forget(tx.connection(), before).await?;
    token::forget(tx.connection(), before).await
}

/// What was before: never what is in force, what a receipt may still name, or the revocations that are listed.
async fn forget_history(tx: &mut Tx, now: UnixTime) -> Result<(), StoreError> {
    let before = now - HISTORY_KEPT;
    let connection = tx.connection();
    revocation::forget(connection, before, MOST_LISTED).await?;
    list::forget(connection, before).await?;
    policy::forget(connection, before).await?;
    epoch::forget(connection, before, now).await
}
