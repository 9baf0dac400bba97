//! Revocations: the list, who is put on it and taken off, and how long that takes to reach everybody.

use tidegate_proto::api::{RevocationStatus, Revoke};
use tidegate_proto::{
    BoundedList, ListPlace, NodeId, Reason, RevocationEntry, RevocationKind, RevocationList,
    Sequence, SignError, Signed, Span, UnixTime,
};

use super::addresses::ADDRESS_HELD;
use super::audit::{Entry, Event};
use super::{
    Authority, Caller, MembershipError, NodeStatus, Notice, Operation, ReadError, RevocationView,
};
use crate::store::node::Node;
use crate::store::{
    StoreError, Tx, address, counter, epoch, grant, holder, list, node, recovery, revocation,
};

/// How long a list is good before a fresh one is due.
const LIST_DUE: Span = Span::from_hours(1);

impl Authority {
    /// Signs the list as it is now, as the next one, and tells of it.
    pub(super) async fn publish_list<E>(&self, tx: &mut Tx) -> Result<list::Current, E>
    where
        E: From<StoreError> + From<SignError>,
    {
        let (now, trust) = (tx.now(), self.trust());
        list::expire(tx.connection(), self.pace().sure()).await?;
        let entries = list::entries(tx.connection()).await?;
        let document = RevocationList {
            network: self.network(),
            revision: trust.revision(),
            sequence: counter::next(tx.connection(), "list", now).await?,
            issued_at: now,
            next_update: now + LIST_DUE,
            entries: BoundedList::new(entries)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?,
        };
        let signed = trust.signer.sign(&document)?;
        list::keep(tx.connection(), &document, &signed).await?;
        let current = list::Current {
            place: document.place(),
            signed,
        };
        tx.announce(Notice::List(document.sequence));
        Ok(current)
    }

    /// Signs a fresh list if there is none, or the one in force is half-way to its end.
    pub(super) async fn refresh_list<E>(&self, tx: &mut Tx) -> Result<(), E>
    where
        E: From<StoreError> + From<SignError>,
    {
        if recovery::current(tx.connection()).await?.is_some() {
            return Ok(()); // whatever is signed now would lack what was decided since the backup
        }
        let now = tx.now();
        let revision = self.trust().revision();
        // One that is dated ahead was signed by a clock that was wrong.
        let good = |(place, signed_at): &(ListPlace, UnixTime)| {
            place.revision == revision
                && *signed_at <= now
                && now.since(*signed_at) < LIST_DUE.divided_by(2)
        };
        let current = list::signed_at(tx.connection()).await?;
        if !current.as_ref().is_some_and(good) {
            self.publish_list::<E>(tx).await?;
        }
        Ok(())
    }

    /// The revocation list in force.
    pub async fn revocation_list(&self) -> Result<Signed<RevocationList>, ReadError> {
        Ok(self.view().await?.list.signed.clone())
    }

    /// Puts a node out, for good or for now, and says how that stands.
    pub async fn revoke(
        &self,
        node: NodeId,
        revoke: Revoke,
        caller: Caller,
    ) -> Result<RevocationStatus, MembershipError> {
        self.keep_pace().await?; // the bound is computed from a ledger that the clock has not left behind
        let revoked =
            self.effect(async move |this, tx| this.revoke_within(tx, node, revoke, &caller).await);
        let list = revoked.await?;
        // There may be ten thousand to name, and the list is on its way to them.
        tokio::time::sleep(self.list_first() / 2).await;
        self.revoked(list).await.map_err(|error| match error {
            ReadError::Store(error) => error.into(),
            other => StoreError::Failed(other.to_string()).into(),
        })
    }

    /// How a revocation stands that was just made. It is done, so that readers who keep each other waiting must not turn
    /// it into a failure: the writer is asked then.
    async fn revoked(&self, list: Sequence) -> Result<RevocationStatus, ReadError> {
        match self.revocation(list).await {
            Err(ReadError::Store(StoreError::Busy)) => {
                self.effect(async move |this, tx| this.status(tx.connection(), list).await)
                    .await
            }
            other => other,
        }
    }

    async fn revoke_within(
        &self,
        tx: &mut Tx,
        node: NodeId,
        revoke: Revoke,
        caller: &Caller,
    ) -> Result<Sequence, MembershipError> {
        let operation = match revoke.kind {
            RevocationKind::Revoked => Operation::Revoke,
            RevocationKind::Suspended => Operation::Suspend,
        };
        self.admit(tx, caller, operation).await?;
        let mut node = node::load(tx.connection(), node)
            .await?
            .ok_or(MembershipError::NoNode)?;
        let status = match (node.status, revoke.kind) {
            (NodeStatus::Allowed, RevocationKind::Suspended) => NodeStatus::Quarantined,
            (
                NodeStatus::Allowed | NodeStatus::Quarantined | NodeStatus::Readmitted,
                RevocationKind::Revoked,
            ) => NodeStatus::Revoked,
            _ => return Err(MembershipError::WrongStatus(node.standing())),
        };
        self.put_on_list(tx, &node, &revoke).await?;
        let now = tx.now();
        (node.status, node.reason, node.since, node.offline_since) =
            (status, revoke.reason, now, None);
        grant::withdraw(tx.connection(), node.node).await?;
        self.touch(tx, &mut node).await?;
        self.redraw_ahead::<MembershipError>(tx).await?;
        self.open_revocation(tx, &node, revoke.kind, caller).await
    }

    /// Has the next list say that a node is out, and holds what it was known by for as long as anybody may believe it.
    async fn put_on_list(
        &self,
        tx: &mut Tx,
        node: &Node,
        revoke: &Revoke,
    ) -> Result<(), MembershipError> {
        let now = tx.now();
        list::expire(tx.connection(), self.pace().sure()).await?;
        let entry = RevocationEntry {
            identity: node.identity,
            serials_up_to: node.serial.unwrap_or_default(),
            kind: revoke.kind,
            reason: revoke.reason.clone(),
            since: now,
        };
        let believed = self.believed_until(tx, node.node).await?;
        list::put(tx.connection(), node.node, &entry, believed).await?;
        if list::size(tx.connection()).await? > RevocationList::MOST_ENTRIES as i64 {
            return Err(MembershipError::ListFull);
        }
        if revoke.kind == RevocationKind::Revoked {
            list::lift(tx.connection(), &node.identity).await?;
            address::hold_names(tx.connection(), node.node, believed).await?;
            let held = believed.max(now + ADDRESS_HELD);
            address::hold(tx.connection(), node.node, held).await?;
        }
        Ok(())
    }

    /// Publishes the list that first says so, whose sequence this gives, and the bound that follows from the ledger.
    async fn open_revocation(
        &self,
        tx: &mut Tx,
        node: &Node,
        kind: RevocationKind,
        caller: &Caller,
    ) -> Result<Sequence, MembershipError> {
        let current = self.publish_list::<MembershipError>(tx).await?;
        let now = tx.now();
        let mut view = RevocationView {
            list: current.place.sequence,
            node: node.node,
            kind,
            reason: node.reason.clone(),
            since: now,
            bound: None,
        };
        holder::fix(tx.connection(), node.node, current.place, now).await?;
        view.bound = self.first_bound(tx, view.list).await?;
        revocation::keep(tx.connection(), current.place.revision, &view).await?;
        let event = match kind {
            RevocationKind::Revoked => Event::NodeRevoked,
            RevocationKind::Suspended => Event::NodeSuspended,
        };
        let mut entry = Entry::new(event, &caller.actor, node.node)
            .count("list", view.list)
            .with("reason", &view.reason);
        if let Some(bound) = view.bound {
            entry = entry.time("bound", bound);
        }
        self.record(tx, entry).await?;
        self.has_work(tx);
        Ok(view.list)
    }

    /// Ends a suspension, or lets a revoked or denied node come back with new keys.
    pub async fn reinstate(
        &self,
        node: NodeId,
        reason: Reason,
        caller: Caller,
    ) -> Result<(), MembershipError> {
        self.effect(async move |this, tx| -> Result<(), MembershipError> {
            this.admit(tx, &caller, Operation::Reinstate).await?;
            let mut node = node::load(tx.connection(), node)
                .await?
                .ok_or(MembershipError::NoNode)?;
            node.status = match node.status {
                NodeStatus::Quarantined => NodeStatus::Allowed,
                NodeStatus::Revoked => NodeStatus::Readmitted,
                NodeStatus::Denied => NodeStatus::Pending,
                _ => return Err(MembershipError::WrongStatus(node.standing())),
            };
            node.since = tx.now();
            let entry = Entry::new(Event::NodeReinstated, &caller.actor, node.node);
            this.record(tx, entry.with("reason", &reason)).await?;
            node.reason = reason;
            this.touch(tx, &mut node).await?;
            if node.status == NodeStatus::Allowed {
                this.lift(tx, &mut node, &caller).await?;
            }
            Ok(())
        })
        .await
    }

    /// Takes a suspended node off the list; its certificate counts again, or it gets a new one if that has ended.
    async fn lift(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        caller: &Caller,
    ) -> Result<(), MembershipError> {
        let now = tx.now();
        if list::lift(tx.connection(), &node.identity).await? {
            self.publish_list::<MembershipError>(tx).await?;
        }
        if !self.is_covered(tx, node).await? {
            self.issue::<MembershipError>(tx, node, caller).await?;
        }
        epoch::reopen(tx.connection(), now).await?;
        self.wants_grants(tx, node.node);
        Ok(())
    }
}
