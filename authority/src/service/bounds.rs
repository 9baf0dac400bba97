//! Bounds: who has confirmed a revocation, who may not have heard, and by when everybody has stopped.

use tidegate_proto::api::RevocationStatus;
use tidegate_proto::bound::{LedgerGap, Progress, PublishedBound};
use tidegate_proto::{Sequence, UnixTime};

use super::audit::{Entry, Event};
use super::{Actor, Authority, Caller, Notice, ReadError, RevocationView};
use crate::store::{Connection, StoreError, Tx, holder, revocation};

/// The most revocations that are listed.
pub(super) const MOST_LISTED: u32 = 1000;

impl Authority {
    /// Who has confirmed a revocation and who may not have heard, from the ledger and the receipts.
    pub(super) async fn progress(
        &self,
        connection: &mut Connection,
        list: Sequence,
        now: UnixTime,
    ) -> Result<Progress, StoreError> {
        let mut progress = Progress {
            unaccounted: unaccounted(connection, now).await?,
            ..Progress::default()
        };
        for holder in holder::all(connection, list).await? {
            if holder.confirmed_at.is_some() {
                progress.confirmed.insert(holder.node);
            } else if holder.stopped_at > now {
                progress.outstanding.insert(holder.node, holder.stopped_at);
            }
        }
        Ok(progress)
    }

    /// By when everybody has stopped who may not have heard of the revocation that begins with `list`.
    pub(super) async fn first_bound(
        &self,
        tx: &mut Tx,
        list: Sequence,
    ) -> Result<Option<UnixTime>, StoreError> {
        let now = tx.now();
        let last = holder::last_stop(tx.connection(), list).await?;
        Ok(last.max(unaccounted(tx.connection(), now).await?))
    }

    /// Whether the policy lets nodes trust their real-time clocks across a reboot.
    pub(super) async fn trusts_rtc(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        let in_force = self.policy_in_force(connection).await?;
        Ok(in_force.is_none_or(|in_force| in_force.policy.trust_rtc))
    }

    /// The latest revocations, at most 1000.
    pub async fn revocations(&self) -> Result<Vec<RevocationView>, ReadError> {
        let mut connection = self.0.store.read().await?;
        let kept = revocation::latest(&mut connection, MOST_LISTED).await?;
        Ok(kept.into_iter().map(|kept| kept.view).collect())
    }

    /// Notes that the ledger may lack releases up to `until`, as after a restored backup: every bound then counts with
    /// the longest lease from there.
    pub async fn note_ledger_gap(&self, until: UnixTime, caller: Caller) -> Result<(), StoreError> {
        let gap = LedgerGap::new(until, &self.trust().chain.genesis().ceilings);
        self.effect(async move |this, tx| -> Result<(), StoreError> {
            revocation::note_gap(tx.connection(), &gap).await?;
            let entry = Entry::new(Event::LedgerGap, &caller.actor, "release ledger");
            this.record(tx, entry.time("until", until)).await
        })
        .await
    }

    /// How the revocation that began with `list` stands.
    pub async fn revocation(&self, list: Sequence) -> Result<RevocationStatus, ReadError> {
        let mut connection = self.0.store.read().await?;
        self.status(&mut connection, list).await
    }

    /// The same, as this connection sees it.
    pub(super) async fn status(
        &self,
        connection: &mut Connection,
        list: Sequence,
    ) -> Result<RevocationStatus, ReadError> {
        let kept = revocation::load(connection, list)
            .await?
            .ok_or(ReadError::NoRevocation)?;
        if let Some(settled) = &kept.settled {
            return Ok(revocation::outcome(settled)?);
        }
        let now = self.clock().now();
        let progress = self.progress(connection, list, now).await?;
        let bound = PublishedBound::kept(kept.view.bound)
            .fallen(&progress)
            .time();
        let trusts_rtc = self.trusts_rtc(connection).await?;
        Ok(RevocationStatus::new(
            kept.place(),
            &progress,
            bound,
            trusts_rtc,
        ))
    }

    /// Lets published bounds fall with the receipts that came, and keeps how a revocation ended once none is left.
    pub(super) async fn settle_revocations<E: From<StoreError>>(
        &self,
        tx: &mut Tx,
    ) -> Result<(), E> {
        let now = self.pace().kept_to();
        let unaccounted = unaccounted(tx.connection(), now).await?;
        for kept in revocation::open(tx.connection()).await? {
            let (list, told) = (kept.view.list, kept.view.bound);
            let last = holder::last_stop(tx.connection(), list).await?;
            // A clock that was set ahead has holders stop later than was told; what is not in the ledger is no news.
            let open_until = last.max(told.min(unaccounted));
            if told.is_none() || open_until <= Some(now) {
                self.settle(tx, &kept).await?;
                continue;
            }
            let bound = told.min(last.max(unaccounted));
            if bound < told {
                revocation::publish(tx.connection(), list, bound).await?;
            }
            self.note_overdue(tx, &kept).await?;
        }
        Ok(())
    }

    /// Keeps how a revocation ended, and tells of it.
    async fn settle(&self, tx: &mut Tx, kept: &revocation::Kept) -> Result<(), StoreError> {
        let (now, list) = (tx.now(), kept.view.list);
        let progress = self.progress(tx.connection(), list, now).await?;
        let trusts_rtc = self.trusts_rtc(tx.connection()).await?;
        let outcome = RevocationStatus::new(kept.place(), &progress, None, trusts_rtc);
        let json =
            serde_json::to_vec(&outcome).map_err(|error| StoreError::Failed(error.to_string()))?;
        revocation::settle(tx.connection(), list, json).await?;
        // To the last confirmation, or to the lease's end where somebody never confirmed.
        let holders = holder::all(tx.connection(), list).await?;
        let ends = holders.iter().map(|holder| {
            let confirmed = holder.confirmed_at.unwrap_or(holder.stopped_at);
            confirmed.min(holder.stopped_at)
        });
        let took = ends.max().unwrap_or_default().since(kept.view.since);
        holder::forget(tx.connection(), list).await?;
        tx.announce(Notice::CutOff(list, took));
        let entry = Entry::new(Event::RevocationComplete, &Actor::System, list)
            .count("confirmed", progress.confirmed.len())
            .span("took", took);
        self.record(tx, entry).await
    }
}

/// When whoever is missing from the ledger has stopped, if that is still to come.
async fn unaccounted(
    connection: &mut Connection,
    now: UnixTime,
) -> Result<Option<UnixTime>, StoreError> {
    let gaps = revocation::gaps(connection).await?;
    let ends = gaps.iter().map(LedgerGap::stopped_at);
    Ok(ends.filter(|end| *end > now).max())
}
