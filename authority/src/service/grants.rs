//! Grants: sealed outside the transaction, on all processors; checked, stamped and written to the ledger within it.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::thread;

use tidegate_proto::api::GrantWithList;
use tidegate_proto::bound::Release;
use tidegate_proto::{
    EpochGrant, EpochNumber, GrantKey, KeyId, ListPlace, NodeId, SealContext, SealedKey, UnixTime,
};

use super::audit::{Entry, Event};
use super::authority::{Trust, rng};
use super::checked::Checked;
use super::{Actor, Authority, EpochError, Notice};
use crate::signer::SecretPlace;
use crate::store::epoch::Epoch;
use crate::store::grant::{Drawing, Outgoing, Recipient, Whom};
use crate::store::{StoreError, Tx, epoch, grant, list, recovery};

/// Grants that are released in one transaction: few enough that a revocation never waits long behind them.
const AT_ONCE: u32 = 1000;
/// How often a batch is prepared anew because something changed under it.
const ATTEMPTS: u32 = 100;

/// Everything that a batch of grants has in common. It must still be so when they are released.
#[derive(Clone)]
struct Batch {
    epoch: Arc<Epoch>,
    list: ListPlace,
    key: Arc<GrantKey>,
    key_id: KeyId,
    trust: Arc<Trust>,
    checked: Arc<Checked>,
}

/// A batch that is ready to be released: one grant each, in the order of ids.
struct Sealed {
    batch: Batch,
    grants: Vec<Outgoing>,
    /// The last who wanted one, whether it could be made or not.
    last: Option<NodeId>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Released {
    /// It is out.
    Done,
    /// The epoch or the list changed meanwhile; nothing left.
    Stale,
}

impl Authority {
    /// Releases what is due of every live epoch. A drawing that is complete is not looked at again; one for which not
    /// every grant can be made keeps neither other members nor the next epoch from theirs.
    pub(super) async fn release_due(&self) -> Result<(), EpochError> {
        self.wanting(); // whoever waits is among all
        let mut done = BTreeSet::new();
        let mut stale = 0;
        while let Some(epoch) = self.incomplete(&done).await? {
            let drawing = (epoch.number, epoch.redraw);
            if self.release_drawing(&epoch).await? == Released::Done {
                done.insert(drawing);
            } else if stale < ATTEMPTS {
                stale += 1;
            } else {
                return Ok(()); // the next tick goes on
            }
        }
        Ok(())
    }

    /// The first live epoch whose drawing is neither complete nor in `done`.
    async fn incomplete(
        &self,
        done: &BTreeSet<(EpochNumber, u32)>,
    ) -> Result<Option<Epoch>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let now = self.clock().now();
        let live = epoch::live(&mut connection, now).await?;
        Ok(live.into_iter().find(|epoch| {
            !epoch.complete && epoch.ends > now && !done.contains(&(epoch.number, epoch.redraw))
        }))
    }

    /// Releases, batch by batch, what can be made of one drawing; the next batch is sealed while one is written. Stale if
    /// something changed under it.
    async fn release_drawing(&self, epoch: &Epoch) -> Result<Released, EpochError> {
        let mut sealed = self.seal(epoch, &Whom::Behind(None)).await?;
        while let Some(last) = sealed.last {
            let behind = Whom::Behind(Some(last));
            let next = self.seal(epoch, &behind);
            let (released, next) = tokio::join!(self.release(sealed), next);
            if released? == Released::Stale {
                return Ok(Released::Stale);
            }
            sealed = next?;
        }
        let batch = sealed.batch;
        self.effect(async move |this, tx| this.close_within(tx, &batch).await)
            .await
    }

    /// Releases to members who wait for grants since they came in or back, or got other keys.
    pub(super) async fn release_wanted(&self) -> Result<(), EpochError> {
        let wanting: Vec<NodeId> = self.wanting().iter().copied().collect();
        for nodes in wanting.chunks(AT_ONCE as usize) {
            self.release_to(nodes.to_vec()).await?;
        }
        Ok(())
    }

    /// Has `node` get its grants at once after this change.
    pub(super) fn wants_grants(&self, tx: &mut Tx, node: NodeId) {
        let inner = Arc::clone(&self.0);
        tx.after_commit(move || {
            inner
                .wanting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(node);
            inner.wanted.notify_one();
        });
    }

    /// Takes over who waits for grants.
    fn wanting(&self) -> BTreeSet<NodeId> {
        std::mem::take(
            &mut *self
                .0
                .wanting
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    fn drawing(&self, epoch: &Epoch) -> Drawing {
        Drawing {
            epoch: epoch.number,
            redraw: epoch.redraw,
            since: self.trust().chain.genesis().authority.since,
        }
    }

    /// Makes the next grants of `epoch` for those of `whom` who want one.
    async fn seal(&self, epoch: &Epoch, whom: &Whom) -> Result<Sealed, EpochError> {
        let (recipients, list) = {
            let mut connection = self.0.store.read().await?;
            let (drawing, now) = (self.drawing(epoch), self.clock().now());
            let recipients = grant::missing(&mut connection, drawing, now, whom, AT_ONCE).await?;
            (recipients, list::place(&mut connection).await?)
        };
        let list =
            list.ok_or_else(|| StoreError::Corrupt("there is no revocation list".to_owned()))?;
        let batch = self.batch(epoch.clone(), list)?;
        let last = recipients.last().map(|recipient| recipient.node);
        let sealing = batch.clone().seal_all(recipients, self.clock().now());
        Ok(Sealed {
            grants: sealing.await?,
            batch,
            last,
        })
    }

    /// Releases a batch, if nothing has changed under it.
    async fn release(&self, sealed: Sealed) -> Result<Released, EpochError> {
        self.effect(async move |this, tx| this.release_within(tx, sealed).await)
            .await
    }

    /// What the grants of `epoch` have in common, under the list in force.
    fn batch(&self, epoch: Epoch, list: ListPlace) -> Result<Batch, EpochError> {
        let place = SecretPlace {
            network: self.network(),
            epoch: epoch.number,
            redraw: epoch.redraw,
        };
        let secret = self.0.at_rest.decrypt(place, &epoch.secret)?;
        let key = secret.grant_key(self.network(), epoch.number);
        Ok(Batch {
            epoch: Arc::new(epoch),
            list,
            key_id: key.id(),
            key: Arc::new(key),
            trust: self.trust(),
            checked: Arc::clone(&self.0.checked),
        })
    }

    /// Within the transaction: the epoch and the list are still those, each node may still have its grant; then the
    /// ledger is written, and only after the commit does anybody hear of it.
    async fn release_within(&self, tx: &mut Tx, sealed: Sealed) -> Result<Released, EpochError> {
        let Sealed {
            batch, mut grants, ..
        } = sealed;
        recovery::refuse(tx.connection()).await?;
        if !self.still_holds(tx, &batch).await? {
            return Ok(Released::Stale);
        }
        let (now, drawing) = (tx.now(), self.drawing(&batch.epoch));
        let nodes = grants.iter().map(|grant| grant.release.node).collect();
        let may = grant::still_missing(tx.connection(), drawing, now, nodes).await?;
        grants.retain(|grant| may.get(&grant.release.node) == Some(&grant.serial));
        if grants.is_empty() {
            return Ok(Released::Done); // none could be made, or another server was faster
        }
        grants
            .iter_mut()
            .for_each(|grant| grant.release.released_at = now);
        grant::release(tx.connection(), &grants).await?;
        let nodes = grants.iter().map(|grant| grant.release.node).collect();
        self.tell_released(tx, &batch, nodes).await?;
        Ok(Released::Done)
    }

    /// Whether everything is still so that the grants of `batch` were made under.
    async fn still_holds(&self, tx: &mut Tx, batch: &Batch) -> Result<bool, StoreError> {
        let (now, revision) = (tx.now(), self.trust().revision());
        let live = epoch::live(tx.connection(), now).await?;
        let drawing = (batch.epoch.number, batch.epoch.redraw);
        let same = live
            .iter()
            .any(|live| (live.number, live.redraw) == drawing);
        let place = list::place(tx.connection()).await?;
        let signed_now = batch.trust.revision() == revision && batch.list.revision == revision;
        Ok(same && place == Some(batch.list) && signed_now)
    }

    /// Records what was released, and tells of it.
    async fn tell_released(
        &self,
        tx: &mut Tx,
        batch: &Batch,
        nodes: Arc<[NodeId]>,
    ) -> Result<(), StoreError> {
        let epoch = &batch.epoch;
        let entry = Entry::new(Event::GrantsReleased, &Actor::System, epoch.number)
            .count("redraw", epoch.redraw)
            .count("grants", nodes.len())
            .count("list", batch.list.sequence);
        self.record(tx, entry).await?;
        tx.announce(Notice::Grants(epoch.number, nodes));
        Ok(())
    }

    /// Notes that everybody who may have a grant of this drawing has it, if that is so.
    async fn close_within(&self, tx: &mut Tx, batch: &Batch) -> Result<Released, EpochError> {
        recovery::refuse(tx.connection()).await?;
        if !self.still_holds(tx, batch).await? {
            return Ok(Released::Stale);
        }
        let (now, drawing) = (tx.now(), self.drawing(&batch.epoch));
        let all = Whom::Behind(None);
        let missing = grant::missing(tx.connection(), drawing, now, &all, 1).await?;
        if missing.is_empty() {
            epoch::set_complete(tx.connection(), drawing.epoch, drawing.redraw).await?;
        }
        Ok(Released::Done)
    }

    /// The grants that a member may hold now; what is due and was not released yet is released.
    pub async fn grants(&self, node: NodeId) -> Result<Vec<GrantWithList>, EpochError> {
        Ok(self
            .grants_by_epoch(node)
            .await?
            .into_iter()
            .map(|(_, grant)| grant)
            .collect())
    }

    pub(super) async fn grants_by_epoch(
        &self,
        node: NodeId,
    ) -> Result<Vec<(EpochNumber, GrantWithList)>, EpochError> {
        self.release_to(vec![node]).await?;
        let grants = {
            let mut connection = self.0.store.read().await?;
            grant::of(&mut connection, node, self.clock().now()).await?
        };
        // Read after the grants, the list is at least as new as any of them names.
        let list = self.revocation_list().await.map_err(|error| match error {
            super::ReadError::Store(error) => error,
            other => StoreError::Failed(other.to_string()),
        })?;
        let with_list = |grant| GrantWithList {
            grant,
            list: list.clone(),
        };
        Ok(grants
            .into_iter()
            .map(|(epoch, grant)| (epoch, with_list(grant)))
            .collect())
    }

    /// Releases the grants of live epochs that these nodes may have, and have not.
    async fn release_to(&self, nodes: Vec<NodeId>) -> Result<(), EpochError> {
        let whom = Whom::These(nodes);
        for _ in 0..ATTEMPTS {
            let mut stale = false;
            for epoch in self.missing_of(&whom).await? {
                let sealed = self.seal(&epoch, &whom).await?;
                stale |= self.release(sealed).await? == Released::Stale;
            }
            if !stale {
                break;
            }
        }
        Ok(())
    }

    /// The live epochs of which one of these nodes lacks its grant.
    async fn missing_of(&self, whom: &Whom) -> Result<Vec<Epoch>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let now = self.clock().now();
        let mut missing = Vec::new();
        for epoch in epoch::live(&mut connection, now).await? {
            let drawing = self.drawing(&epoch);
            let wanting = grant::missing(&mut connection, drawing, now, whom, 1).await?;
            if epoch.ends > now && !wanting.is_empty() {
                missing.push(epoch);
            }
        }
        Ok(missing)
    }

    /// Every release that the ledger holds, for checks of the bound.
    pub async fn ledger(&self) -> Result<Vec<Release>, StoreError> {
        let mut connection = self.0.store.read().await?;
        grant::all(&mut connection).await
    }
}

impl Batch {
    /// Seals and signs for each recipient, in their order, on all processors.
    async fn seal_all(
        self,
        recipients: Vec<Recipient>,
        now: UnixTime,
    ) -> Result<Vec<Outgoing>, EpochError> {
        let sealed =
            tokio::task::spawn_blocking(move || self.seal_in_parallel(&recipients, now)).await;
        sealed.map_err(|error| StoreError::Failed(error.to_string()))?
    }

    fn seal_in_parallel(
        &self,
        recipients: &[Recipient],
        now: UnixTime,
    ) -> Result<Vec<Outgoing>, EpochError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = recipients.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let shares = recipients.chunks(share);
            let workers: Vec<_> = shares
                .map(|share| scope.spawn(move || self.seal_share(share, now)))
                .collect();
            let mut sealed = Vec::with_capacity(recipients.len());
            for worker in workers {
                let done = worker
                    .join()
                    .map_err(|_| StoreError::Failed("sealing stopped".to_owned()))?;
                sealed.extend(done?);
            }
            Ok(sealed)
        })
    }

    fn seal_share(
        &self,
        recipients: &[Recipient],
        now: UnixTime,
    ) -> Result<Vec<Outgoing>, EpochError> {
        let mut rng = rng().map_err(|error| StoreError::Failed(error.to_string()))?;
        let mut sealed = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            match self.seal_for(recipient, now, &mut rng) {
                Ok(grant) => sealed.push(grant),
                // One row that was tampered with must not keep everybody else out.
                Err(error) => {
                    tracing::error!(node = %recipient.node, %error, "no grant for this node")
                }
            }
        }
        Ok(sealed)
    }

    fn seal_for(
        &self,
        recipient: &Recipient,
        now: UnixTime,
        rng: &mut rand_chacha::ChaCha20Rng,
    ) -> Result<Outgoing, EpochError> {
        let context = self.context(recipient, now)?;
        let sealed = context.seal(&self.key, &recipient.sealing, rng);
        let document = self.grant(
            &context,
            sealed.map_err(|error| StoreError::Failed(error.to_string()))?,
        );
        let release = Release {
            node: recipient.node,
            epoch: document.epoch,
            redraw: document.redraw,
            list: self.list,
            released_at: now,
            lease_until: document.lease_until,
        };
        Ok(Outgoing {
            release,
            serial: recipient.serial,
            compact: self.trust.signer.sign(&document)?.to_compact(),
        })
    }

    /// To whom it is sealed. The key is the certificate's, by its signature: not whatever the database says now.
    fn context(&self, recipient: &Recipient, now: UnixTime) -> Result<SealContext, StoreError> {
        let holder = self
            .checked
            .holder(&recipient.certificate, &self.trust, now);
        let holder = holder.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if (holder.node, holder.serial) != (recipient.node, recipient.serial) {
            return Err(StoreError::Corrupt(
                "a certificate lies under another's serial".to_owned(),
            ));
        }
        Ok(SealContext {
            network: self.trust.chain.network(),
            node: recipient.node,
            serial: recipient.serial,
            epoch: self.epoch.number,
            redraw: self.epoch.redraw,
            sealing: holder.sealing,
        })
    }

    fn grant(&self, context: &SealContext, sealed: SealedKey) -> EpochGrant {
        let epoch = &self.epoch;
        EpochGrant {
            network: context.network,
            revision: self.trust.revision(),
            node: context.node,
            serial: context.serial,
            epoch: context.epoch,
            redraw: context.redraw,
            key: self.key_id,
            starts: epoch.starts,
            ends: epoch.ends,
            lease_until: epoch.lease_until,
            list: self.list,
            sealing: context.sealing,
            sealed,
        }
    }
}
