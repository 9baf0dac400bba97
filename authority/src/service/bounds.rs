//! Bounds: who has confirmed a revocation, who may not have heard, and by when everybody has stopped.

use std::collections::BTreeMap;

use tidegate_proto::api::RevocationStatus;
use tidegate_proto::bound::{LedgerGap, Progress, PublishedBound};
use tidegate_proto::{ListPlace, NodeId, Revision, Sequence, Span, UnixTime};

use super::audit::{Entry, Event};
use super::{Actor, Authority, Caller, Notice, ReadError, RevocationView};
use crate::store::{Connection, StoreError, Tx, receipt, revocation};

/// The most revocations that are listed.
const MOST_LISTED: u32 = 1000;

impl Authority {
    /// Who has confirmed a revocation and who may not have heard, from the ledger and the receipts.
    pub(super) async fn progress(
        &self,
        connection: &mut Connection,
        view: &RevocationView,
        revision: Revision,
        now: UnixTime,
    ) -> Result<Progress, StoreError> {
        let place = ListPlace {
            revision,
            sequence: view.list,
        };
        let holders = revocation::holders(connection, view.node, place).await?;
        let confirming: BTreeMap<NodeId, UnixTime> = receipt::confirming(connection, place).await?;
        let gaps = revocation::gaps(connection).await?;
        let ends = gaps.iter().map(LedgerGap::stopped_at);
        let mut progress = Progress {
            unaccounted: ends.filter(|end| *end > now).max(),
            ..Progress::default()
        };
        for (node, stopped_at) in holders {
            if confirming.contains_key(&node) {
                progress.confirmed.insert(node);
            } else if stopped_at > now {
                progress.outstanding.insert(node, stopped_at);
            }
        }
        Ok(progress)
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
        let kept = revocation::load(&mut connection, list)
            .await?
            .ok_or(ReadError::NoRevocation)?;
        if let Some(settled) = &kept.settled {
            return Ok(revocation::outcome(settled)?);
        }
        let now = self.clock().now();
        let progress = self
            .progress(&mut connection, &kept.view, kept.revision, now)
            .await?;
        let bound = PublishedBound::kept(kept.view.bound)
            .fallen(&progress)
            .time();
        let trusts_rtc = self.trusts_rtc(&mut connection).await?;
        status(kept.place(), &progress, bound, trusts_rtc)
    }

    /// Lets published bounds fall with the receipts that came, and keeps how a revocation ended once none is left.
    pub(super) async fn settle_revocations<E: From<StoreError>>(
        &self,
        tx: &mut Tx,
    ) -> Result<(), E> {
        let now = tx.now();
        for kept in revocation::open(tx.connection()).await? {
            let progress = self
                .progress(tx.connection(), &kept.view, kept.revision, now)
                .await?;
            let bound = PublishedBound::kept(kept.view.bound)
                .fallen(&progress)
                .time();
            if let Some(bound) = bound.filter(|bound| *bound > now) {
                revocation::publish(tx.connection(), kept.view.list, Some(bound)).await?;
                self.note_overdue(tx, &kept, &progress).await?;
                continue;
            }
            let trusts_rtc = self.trusts_rtc(tx.connection()).await?;
            let outcome: RevocationStatus = status(kept.place(), &progress, None, trusts_rtc)?;
            let json = serde_json::to_vec(&outcome)
                .map_err(|error| StoreError::Failed(error.to_string()))?;
            revocation::settle(tx.connection(), kept.view.list, json).await?;
            let took = self.cut_off_after(tx, &kept, &progress).await?;
            self.announce(tx, Notice::CutOff(kept.view.list, took));
            let entry = Entry::new(Event::RevocationComplete, &Actor::System, kept.view.list)
                .count("confirmed", progress.confirmed.len())
                .span("took", took);
            self.record(tx, entry).await?;
        }
        Ok(())
    }

    /// From the decision to the last confirmation, or to the bound where somebody never confirmed.
    async fn cut_off_after(
        &self,
        tx: &mut Tx,
        kept: &revocation::Kept,
        progress: &Progress,
    ) -> Result<Span, StoreError> {
        let place = kept.place();
        let confirming = receipt::confirming(tx.connection(), place).await?;
        let holders = revocation::holders(tx.connection(), kept.view.node, place).await?;
        let ended = holders.iter().map(|(node, stopped_at)| {
            let confirmed = confirming
                .get(node)
                .filter(|_| progress.confirmed.contains(node));
            confirmed.copied().unwrap_or(*stopped_at).min(*stopped_at)
        });
        Ok(ended
            .max()
            .unwrap_or(kept.view.since)
            .since(kept.view.since))
    }
}

/// The status that is told. A network has no more nodes than a status holds.
pub(super) fn status<E: From<StoreError>>(
    list: ListPlace,
    progress: &Progress,
    bound: Option<UnixTime>,
    trusts_rtc: bool,
) -> Result<RevocationStatus, E> {
    RevocationStatus::new(list, progress, bound, trusts_rtc).ok_or_else(|| {
        StoreError::Failed("more nodes than a revocation status holds".to_owned()).into()
    })
}
