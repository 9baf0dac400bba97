//! Recovery after a restored backup: nothing is issued until what happened since is known again.
//!
//! What the backup lacks, the nodes still hold, signed: the newest list, their certificates and grants, the policy,
//! successions of genesis. Each node reports that once. Recovery ends when every node has reported that was in when
//! the backup was made, or whose certificate a report has shown, and at least one was heard; nodes on the merged list
//! are not waited for. Time alone never ends it: that a node is silent says nothing about what was decided. A
//! sovereign may end it early, and answers for it in the audit log.
//!
//! What is merged only ever takes away: whoever is out in the backup or in the newest list stays out, unless a newer
//! certificate shows that it was let in again.

use std::sync::{Arc, PoisonError};

use tidegate_proto::api::{Recovered, Recovery, RecoveryView};
use tidegate_proto::bound::{LedgerGap, Release};
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    Accepted, BoundedList, BoundedSet, Certificate, EpochGrant, Genesis, NodeId, NodeKeys, Reason,
    RevocationKind, RevocationList, Sequence, SignError, Signed, SuccessionError, UnixTime,
    Verified, VerifyError,
};

use super::audit::{Entry, Event};
use super::authority::{OpenError, Trust};
use super::certificates::longest_use;
use super::{AccessError, Actor, Authority, Blame, Caller, Coded, NodeStatus, Operation};
use crate::store::node::Node;
use crate::store::{
    Counted as _, StoreError, Tx, address, certificate, counter, genesis, grant, list, node,
    policy, recovery, revocation,
};

/// Why a report was not merged, or a recovery not ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// There is nothing to recover.
    #[error("the authority is not recovering; go on as usual")]
    NotRecovering,
    /// Somebody who was never in.
    #[error(
        "a report comes from a node with a certificate of this network; enrol once the authority works again"
    )]
    Stranger,
    /// The newest list is refused.
    #[error("the revocation list in the report is refused: {0}")]
    Refused(VerifyError),
    /// The nodes' genesis contradicts the restored one.
    #[error("the genesis in the report is refused: {0}")]
    Genesis(#[from] SuccessionError),
    /// The network has a later genesis, and its keys are not here.
    #[error(
        "the network has genesis revision {0} by now, and not enough of its authority keys are here; put them into keys/ and start the authority again"
    )]
    LaterKeys(tidegate_proto::Revision),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A fresh document could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for RecoveryError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotRecovering => "not-recovering",
            Self::Stranger => "not-a-member",
            Self::Refused(_) => "list-refused",
            Self::Genesis(_) => "genesis-refused",
            Self::LaterKeys(_) => "keys-below-threshold",
            Self::Access(inner) => inner.code(),
            Self::Sign(inner) => inner.code(),
            Self::Store(inner) => inner.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::NotRecovering => Blame::Conflict,
            Self::Stranger => Blame::Forbidden,
            Self::Refused(_) | Self::Genesis(_) => Blame::Malformed,
            Self::LaterKeys(_) => Blame::Internal,
            Self::Access(inner) => inner.blame(),
            Self::Sign(inner) => inner.blame(),
            Self::Store(inner) => inner.blame(),
        }
    }
}

/// What in a report was signed by this network's authority.
struct Report {
    node: NodeId,
    keys: NodeKeys,
    list: Verified<RevocationList>,
    certificate: Option<Verified<Certificate>>,
    grants: Vec<Verified<EpochGrant>>,
    policy: Option<Verified<Policy>>,
    peers: Vec<Verified<Certificate>>,
}

impl Authority {
    /// How the recovery stands, if there is one.
    pub async fn recovery(&self) -> Result<Option<RecoveryView>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let Some(current) = recovery::current(&mut connection).await? else {
            return Ok(None);
        };
        let awaited = recovery::awaited(&mut connection).await?;
        Ok(Some(RecoveryView {
            backup_at: current.backup_at,
            since: current.began_at,
            reported: recovery::heard(&mut connection).await?,
            awaited: first(awaited),
        }))
    }

    /// Merges what a node knows. The request was signed by `report.keys.identity`.
    pub async fn recover(
        &self,
        report: Recovery,
        caller: Caller,
    ) -> Result<Recovered, RecoveryError> {
        if caller.actor != Actor::Node(NodeId::of(&report.keys.identity)) {
            return Err(RecoveryError::Stranger);
        }
        if self.recovery().await?.is_none() {
            return Err(RecoveryError::NotRecovering);
        }
        self.merge_genesis(&report.genesis, &caller).await?;
        let report = self.verified(report)?;
        self.effect(async move |this, tx| this.merge_within(tx, report, &caller).await)
            .await
    }

    /// Ends the recovery though not every node was heard.
    pub async fn override_recovery(
        &self,
        reason: Reason,
        caller: Caller,
    ) -> Result<(), RecoveryError> {
        self.effect(async move |this, tx| -> Result<(), RecoveryError> {
            this.admit(tx, &caller, Operation::OverrideRecovery).await?;
            if recovery::current(tx.connection()).await?.is_none() {
                return Err(RecoveryError::NotRecovering);
            }
            let unheard = recovery::awaited(tx.connection()).await?;
            let entry = Entry::new(Event::RecoveryOverridden, &caller.actor, reason)
                .count("unheard", unheard.len());
            this.record(tx, entry).await?;
            this.end_recovery(tx).await
        })
        .await
    }

    /// Puts successions in force that were installed after the backup.
    async fn merge_genesis(
        &self,
        successions: &[Signed<Genesis>],
        caller: &Caller,
    ) -> Result<(), RecoveryError> {
        let mut chain = self.trust().chain.clone();
        let mut fresh = Vec::new();
        for succession in successions {
            if chain.succeed(succession)? == Accepted::New {
                fresh.push((chain.genesis().revision, succession.clone()));
            }
        }
        let Some((revision, _)) = fresh.last().cloned() else {
            return Ok(());
        };
        let trust = match Trust::of(chain, &self.keys()) {
            Ok(trust) => Arc::new(trust),
            Err(OpenError::Genesis(error)) => return Err(error.into()),
            Err(_) => return Err(RecoveryError::LaterKeys(revision)),
        };
        let actor = caller.actor.clone();
        self.effect(async move |this, tx| -> Result<(), RecoveryError> {
            for (revision, signed) in &fresh {
                genesis::keep(tx.connection(), *revision, signed).await?;
                let entry = Entry::new(Event::GenesisSucceeded, &actor, revision);
                this.record(tx, entry.with("digest", signed.digest()))
                    .await?;
            }
            // The old authority may have given out grants as long as the later genesis allows.
            if let Some(current) = recovery::current(tx.connection()).await? {
                let gap = LedgerGap::new(current.began_at, &trust.chain.genesis().ceilings);
                revocation::note_gap(tx.connection(), &gap).await?;
            }
            let inner = Arc::clone(&this.0);
            tx.after_commit(move || {
                *inner.trust.write().unwrap_or_else(PoisonError::into_inner) = trust
            });
            Ok(())
        })
        .await
    }

    /// What of a report the authority has signed. A list that it has not is refused; what else does not count any more
    /// is left out.
    fn verified(&self, report: Recovery) -> Result<Report, RecoveryError> {
        let (keyring, now) = (self.keyring(), self.clock().now());
        let node = NodeId::of(&report.keys.identity);
        let list = report
            .list
            .verify(&keyring, now)
            .map_err(RecoveryError::Refused)?;
        let certificate = report
            .certificate
            .and_then(|signed| signed.verify(&keyring, now).ok())
            .filter(|certificate| speaks_of(certificate, &report.keys));
        let grants = report.grants.iter();
        let grants = grants.filter_map(|signed| signed.verify(&keyring, now).ok());
        let peers = report.peers.iter();
        Ok(Report {
            node,
            list,
            certificate,
            grants: grants.filter(|grant| grant.node == node).collect(),
            policy: report
                .policy
                .and_then(|signed| signed.verify(&keyring, now).ok()),
            peers: peers
                .filter_map(|signed| signed.verify(&keyring, now).ok())
                .collect(),
            keys: report.keys,
        })
    }

    async fn merge_within(
        &self,
        tx: &mut Tx,
        report: Report,
        caller: &Caller,
    ) -> Result<Recovered, RecoveryError> {
        let current = recovery::current(tx.connection())
            .await?
            .ok_or(RecoveryError::NotRecovering)?;
        self.spend(tx, caller).await?;
        let known = node::load(tx.connection(), report.node).await?;
        let was_in = known.as_ref().is_some_and(|node| node.serial.is_some());
        if report.certificate.is_none() && !was_in {
            return Err(RecoveryError::Stranger);
        }
        if report.list.place() > current.list {
            self.merge_list(tx, &report.list).await?;
        }
        if let Some(policy) = &report.policy {
            merge_policy(tx, policy).await?;
        }
        for peer in &report.peers {
            merge_peer(tx, peer).await?;
        }
        if let Some(certificate) = &report.certificate {
            self.merge_certificate(tx, known, certificate, &report.keys)
                .await?;
        }
        self.merge_grants(tx, &report.grants, current.backup_at)
            .await?;
        self.put_out_listed(tx).await?;
        let now = tx.now();
        recovery::reported(tx.connection(), report.node, now).await?;
        self.end_if_complete(tx).await
    }

    async fn end_if_complete(&self, tx: &mut Tx) -> Result<Recovered, RecoveryError> {
        let awaited = recovery::awaited(tx.connection()).await?.len();
        let heard = recovery::heard(tx.connection()).await?;
        if awaited == 0 && heard > 0 {
            let entry = Entry::new(
                Event::RecoveryEnded,
                &Actor::System,
                "every node has reported",
            );
            self.record(tx, entry.count("reported", heard)).await?;
            self.end_recovery(tx).await?;
        }
        Ok(Recovered {
            awaited: u32::try_from(awaited).unwrap_or(u32::MAX),
        })
    }

    async fn merge_list(&self, tx: &mut Tx, list: &RevocationList) -> Result<(), StoreError> {
        let now = tx.now();
        let ceilings = self.trust().chain.genesis().ceilings;
        // The certificate's end is not known here, so the longest is assumed.
        let keep_until = now + ceilings.certificate + longest_use(&ceilings);
        for entry in list.entries.iter() {
            let node = NodeId::of(&entry.identity);
            let known = node::load(tx.connection(), node).await?.is_some();
            let until = known.then_some(keep_until);
            recovery::keep_entry(tx.connection(), node, entry, until).await?;
        }
        recovery::merged(tx.connection(), list.place()).await
    }

    /// Puts the node back as its newest certificate describes it.
    async fn merge_certificate(
        &self,
        tx: &mut Tx,
        known: Option<Node>,
        verified: &Verified<Certificate>,
        keys: &NodeKeys,
    ) -> Result<(), StoreError> {
        counter::raise(tx.connection(), "serial", verified.serial.stored()).await?;
        if known
            .as_ref()
            .is_some_and(|node| node.serial >= Some(verified.serial))
        {
            return Ok(());
        }
        let now = tx.now();
        if certificate::load(tx.connection(), verified.serial)
            .await?
            .is_none()
        {
            certificate::keep(tx.connection(), verified, verified.signed()).await?;
        }
        take(tx, verified).await?;
        let version = counter::next_in_recovery(tx.connection(), "roster", now).await?;
        let node = described(known, verified, keys, version, now);
        node::save(tx.connection(), &node).await
    }

    /// Notes in the ledger what the node was given.
    async fn merge_grants(
        &self,
        tx: &mut Tx,
        grants: &[Verified<EpochGrant>],
        backup_at: UnixTime,
    ) -> Result<(), StoreError> {
        let held: Vec<Release> = grant::all(tx.connection()).await?;
        let lead = self.trust().chain.genesis().ceilings.lead;
        for one in grants {
            counter::raise(tx.connection(), "epoch", one.epoch.stored()).await?;
            let place = |release: &Release| (release.node, release.epoch, release.redraw);
            if held
                .iter()
                .any(|held| place(held) == (one.node, one.epoch, one.redraw))
            {
                continue;
            }
            let release = Release {
                node: one.node,
                epoch: one.epoch,
                redraw: one.redraw,
                list: one.list,
                released_at: (one.starts - lead).max(backup_at), // no later than it can have been
                lease_until: one.lease_until,
            };
            grant::note(tx.connection(), &release, one.serial).await?;
        }
        Ok(())
    }

    /// Gives every node that the list has out the standing that the list says.
    async fn put_out_listed(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        for entry in list::entries(tx.connection()).await? {
            let known = node::load(tx.connection(), NodeId::of(&entry.identity)).await?;
            let Some(mut node) = known.filter(|node| node.status == NodeStatus::Allowed) else {
                continue;
            };
            if node.serial.unwrap_or_default() > entry.serials_up_to {
                continue; // let in again, with other keys
            }
            node.status = match entry.kind {
                RevocationKind::Revoked => NodeStatus::Revoked,
                RevocationKind::Suspended => NodeStatus::Quarantined,
            };
            (node.reason, node.since, node.offline_since) = (entry.reason, entry.since, None);
            node.changed = counter::next_in_recovery(tx.connection(), "roster", now).await?;
            node::save(tx.connection(), &node).await?;
        }
        Ok(())
    }

    /// Goes back to work: a list and a policy above all that anybody holds, and a fresh epoch at the next tick.
    async fn end_recovery(&self, tx: &mut Tx) -> Result<(), RecoveryError> {
        self.put_out_listed(tx).await?;
        recovery::end(tx.connection()).await?;
        self.sign_policy_anew::<RecoveryError>(tx, &self.trust())
            .await?;
        self.publish_list::<RecoveryError>(tx).await?;
        self.has_work(tx);
        Ok(())
    }
}

/// The first of `nodes` that a view has room for.
fn first(mut nodes: Vec<NodeId>) -> BoundedList<NodeId, 10_000> {
    nodes.truncate(10_000);
    BoundedList::new(nodes).unwrap_or_default() // it has just been cut to size
}

fn speaks_of(certificate: &Certificate, keys: &NodeKeys) -> bool {
    (
        certificate.identity,
        certificate.wireguard,
        certificate.sealing,
    ) == (keys.identity, keys.wireguard, keys.sealing.hash())
}

/// The policy in force after the backup, if it is newer than the one in it.
async fn merge_policy(tx: &mut Tx, verified: &Verified<Policy>) -> Result<(), StoreError> {
    counter::raise(tx.connection(), "policy", verified.version.stored()).await?;
    let have = policy::version(tx.connection()).await?;
    if have.is_some_and(|(version, _)| version >= verified.version) {
        return Ok(());
    }
    policy::keep(tx.connection(), verified, verified.signed()).await
}

/// Learns of a peer that may have to be heard as well; its place is kept for it.
async fn merge_peer(tx: &mut Tx, peer: &Verified<Certificate>) -> Result<(), StoreError> {
    counter::raise(tx.connection(), "serial", peer.serial.stored()).await?;
    recovery::expect(tx.connection(), peer.node).await?;
    let known = node::load(tx.connection(), peer.node).await?;
    if known.is_some_and(|node| node.serial >= Some(peer.serial)) {
        return Ok(());
    }
    take(tx, peer).await
}

/// Gives a node the name, the addresses and the WireGuard key that its certificate says it has.
async fn take(tx: &mut Tx, certificate: &Certificate) -> Result<(), StoreError> {
    let (now, node) = (tx.now(), certificate.node);
    let (ipv4, ipv6) = (certificate.ipv4, certificate.ipv6);
    address::take_name(tx.connection(), &certificate.name, node).await?;
    address::take(tx.connection(), ipv4, ipv6, node).await?;
    address::take_wireguard(tx.connection(), &certificate.wireguard, node, now).await
}

fn described(
    known: Option<Node>,
    certificate: &Certificate,
    keys: &NodeKeys,
    version: Sequence,
    now: UnixTime,
) -> Node {
    Node {
        node: certificate.node,
        identity: certificate.identity,
        name: certificate.name.clone(),
        status: NodeStatus::Allowed,
        reason: "its certificate is newer than the backup"
            .parse()
            .unwrap_or_default(),
        since: now,
        wireguard: certificate.wireguard,
        sealing: keys.sealing.clone(),
        roles: certificate.roles.clone(),
        tags: certificate.tags.clone(),
        wanted_routes: known
            .as_ref()
            .map_or_else(BoundedSet::default, |node| node.wanted_routes.clone()),
        routes: certificate.routes.clone(),
        ipv4: Some(certificate.ipv4),
        ipv6: Some(certificate.ipv6),
        serial: Some(certificate.serial),
        not_after: Some(certificate.not_after),
        keys_changed_at: now,
        changed: version,
        described: version,
        offline_since: None,
        enrolled_at: known.map_or(now, |node| node.enrolled_at),
    }
}
