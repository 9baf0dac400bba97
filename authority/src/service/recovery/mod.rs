//! Recovery after a restored backup: nothing is issued until what happened since is known again.
//!
//! What the backup lacks, the nodes still hold, signed: the newest list, their certificates and grants, the policy,
//! successions of genesis. Each node reports that once. Recovery ends when every node has reported that was in when
//! the backup was made, or whose certificate a report has shown; nodes on the merged list are not waited for. At least
//! two of those heard must be members that the backup itself knows: a single node could be the very one that was
//! revoked since, and hold back the list that says so. Time alone never ends it: that a node is silent says nothing about
//! what was decided. A sovereign may end it early, and where fewer than two members of the backup are left only a
//! sovereign can; who does answers for it in the audit log.
//!
//! What is merged only ever takes away: whoever is out in the backup or in the newest list stays out, unless a newer
//! certificate shows that it was let in again. Whose revocation could have left the list again since the backup is
//! suspended at the end ([`unseen`]).

mod error;
mod merge;
mod unseen;

pub use error::RecoveryError;

use tidegate_proto::api::{Recovered, Recovery, RecoveryEnd, RecoveryView};
use tidegate_proto::bound::LedgerGap;
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    Accepted, Authority as Signer, BoundedList, Certificate, Document as _, EpochGrant, Genesis,
    Keyring, NodeId, NodeKeys, Reason, RevocationList, Signed, Span, UnixTime, Verified,
    VerifyError,
};

use super::audit::{Entry, Event};
use super::authority::{OpenError, Trust};
use super::{Actor, Authority, Caller, Operation};
use crate::store::{StoreError, Tx, genesis, node, recovery, revocation};
use merge::merge_peer;

/// How many members of the backup have to be heard before their word is believed without an operator's.
const LEAST_WITNESSES: u32 = 2;

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
        let witnesses = recovery::witnesses(&mut connection, current.backup_at).await?;
        let by_itself = witnesses.all >= LEAST_WITNESSES;
        Ok(Some(RecoveryView {
            backup_at: current.backup_at,
            since: current.began_at,
            reported: recovery::heard(&mut connection).await?,
            ends: match by_itself {
                true => RecoveryEnd::Reports,
                false => RecoveryEnd::Override,
            },
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
            let current = recovery::current(tx.connection())
                .await?
                .ok_or(RecoveryError::NotRecovering)?;
            let unheard = recovery::awaited(tx.connection()).await?;
            let entry = Entry::new(Event::RecoveryOverridden, &caller.actor, reason)
                .count("unheard", unheard.len());
            this.record(tx, entry).await?;
            this.end_recovery(tx, current).await
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
            Ok(trust) => trust,
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
            this.trust_in_force(tx.connection()).await?;
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
            .and_then(|signed| verified_in_its_time(&signed, &keyring, now))
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
        let is_in = |own: &Verified<Certificate>| own.validity().check(tx.now()).is_ok();
        if !was_in && !report.certificate.as_ref().is_some_and(is_in) {
            return Err(RecoveryError::Stranger);
        }
        if report.list.place() > current.list {
            self.merge_list(tx, &report.list).await?;
        }
        if let Some(policy) = &report.policy {
            self.merge_policy(tx, policy).await?;
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
        let current = recovery::current(tx.connection())
            .await?
            .ok_or(RecoveryError::NotRecovering)?;
        let awaited = recovery::awaited(tx.connection()).await?.len();
        let witnesses = recovery::witnesses(tx.connection(), current.backup_at).await?;
        if awaited == 0 && witnesses.heard >= LEAST_WITNESSES {
            let heard = recovery::heard(tx.connection()).await?;
            let entry = Entry::new(
                Event::RecoveryEnded,
                &Actor::System,
                "every node has reported",
            );
            self.record(tx, entry.count("reported", heard)).await?;
            self.end_recovery(tx, current).await?;
        }
        Ok(Recovered {
            awaited: u32::try_from(awaited).unwrap_or(u32::MAX),
        })
    }

    /// Goes back to work: a list and a policy above all that anybody holds, and a fresh epoch at the next tick.
    async fn end_recovery(
        &self,
        tx: &mut Tx,
        current: recovery::Recovery,
    ) -> Result<(), RecoveryError> {
        self.put_out_listed(tx).await?;
        let known_until = self.known_until(tx, &current).await?;
        recovery::end(tx.connection()).await?;
        self.suspend_unseen(tx, current.backup_at, known_until)
            .await?;
        if let Some(in_force) = self.policy_in_force(tx.connection()).await? {
            self.sign_policy_anew::<RecoveryError>(tx, &in_force)
                .await?;
        }
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

/// A certificate that has ended while the authority was away still shows until when its node was in.
fn verified_in_its_time(
    signed: &Signed<Certificate>,
    keyring: &Keyring<Signer>,
    now: UnixTime,
) -> Option<Verified<Certificate>> {
    match signed.verify(keyring, now) {
        Err(VerifyError::Expired(end)) => signed.verify(keyring, end - Span::from_millis(1)),
        judged => judged,
    }
    .ok()
}

fn speaks_of(certificate: &Certificate, keys: &NodeKeys) -> bool {
    (
        certificate.identity,
        certificate.wireguard,
        certificate.sealing,
    ) == (keys.identity, keys.wireguard, keys.sealing.hash())
}
