//! Certificates: issue, renewal, and the change of keys.

use std::sync::atomic::Ordering;

use tidegate_proto::api::Renew;
use tidegate_proto::bound::clock_allowance;
use tidegate_proto::{
    Certificate, EpochCeilings, NodeId, NodeKeys, RevocationEntry, RevocationKind, RevocationList,
    Sequence, SignError, Signed, Span, UnixTime,
};

use super::audit::{Entry, Event};
use super::enrollment::is_full;
use super::{
    Authority, Caller, EnrollError, EpochError, NodeError, NodeStatus, Notice, challenges,
};
use crate::store::node::Node;
use crate::store::{
    StoreError, Tx, address, certificate, corrupt, counter, epoch, grant, list, node, recovery,
};

/// How far back a certificate is dated at most, for clocks that are behind.
const BACKDATED: Span = Span::from_minutes(1);

/// Certificates that are looked at, and issued anew, in one transaction.
const REISSUED: u32 = 200;

/// List entries that changes of keys may make; the rest is for operators.
const MOST_BY_NODES: i64 = RevocationList::MOST_ENTRIES as i64 - 1000;

fn backdated(validity: Span) -> Span {
    BACKDATED.min(validity.divided_by(10))
}

/// The longest that anybody can act on a certificate after it has ended or was revoked.
pub(super) fn longest_use(ceilings: &EpochCeilings) -> Span {
    let longest = ceilings.lead + ceilings.lease;
    longest + clock_allowance(longest)
}

/// Notes that name, roles, tags, routes or addresses of `node` are others from the version on under which it is saved next.
pub(super) fn describe_anew(node: &mut Node) {
    node.described = Sequence::MAX;
}

impl Authority {
    /// Issues `node`'s next certificate and saves it. The caller has decided, in this transaction, that it may have one.
    pub(super) async fn issue<E>(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        caller: &Caller,
    ) -> Result<Signed<Certificate>, E>
    where
        E: From<StoreError> + From<SignError>,
    {
        if node.status != NodeStatus::Allowed {
            return Err(StoreError::Failed(format!(
                "a certificate for a node that is {}",
                node.status
            ))
            .into());
        }
        self.keep_addressed(tx, node).await?;
        let certificate = self.next_certificate(tx, node).await?;
        let signed = self.trust().signer.sign(&certificate)?;
        self.0.checked.issued(&certificate, &signed);
        certificate::keep(tx.connection(), &certificate, &signed).await?;
        let event = match node.serial {
            None => Event::CertificateIssued,
            Some(_) => Event::CertificateRenewed,
        };
        node.serial = Some(certificate.serial);
        node.not_after = Some(certificate.not_after);
        self.touch(tx, node).await?;
        let entry = Entry::new(event, &caller.actor, node.node)
            .count("serial", certificate.serial)
            .time("not_after", certificate.not_after);
        self.record(tx, entry).await?;
        Ok(signed)
    }

    /// What the next certificate of `node` says, under a new serial.
    async fn next_certificate(&self, tx: &mut Tx, node: &Node) -> Result<Certificate, StoreError> {
        let settings = self.settings(tx.connection()).await?;
        let now = tx.now();
        let not_before = now - backdated(settings.certificate);
        Ok(Certificate {
            network: self.network(),
            revision: self.trust().revision(),
            node: node.node,
            name: node.name.clone(),
            identity: node.identity,
            wireguard: node.wireguard,
            sealing: node.sealing.hash(),
            ipv4: node.ipv4.ok_or_else(|| corrupt("ipv4", "is missing"))?,
            ipv6: node.ipv6.ok_or_else(|| corrupt("ipv6", "is missing"))?,
            roles: node.roles.clone(),
            tags: node.tags.clone(),
            routes: node.routes.clone(),
            not_before,
            not_after: not_before + settings.certificate,
            serial: counter::next(tx.connection(), "serial", now).await?,
        })
    }

    /// Until when anybody can believe a certificate that `node` has now: the latest of those that it ever got may not be
    /// the last to end. Names, addresses and list entries are held for as long.
    pub(super) async fn believed_until(
        &self,
        tx: &mut Tx,
        node: NodeId,
    ) -> Result<UnixTime, StoreError> {
        let now = tx.now();
        let last = certificate::last_end(tx.connection(), node).await?;
        let ceilings = self.trust().chain.genesis().ceilings;
        Ok(last.unwrap_or(now).max(now) + longest_use(&ceilings))
    }

    /// Whether the certificate that `node` has still counts.
    pub(super) async fn is_covered(&self, tx: &mut Tx, node: &Node) -> Result<bool, StoreError> {
        let now = tx.now();
        let Some(serial) = node.serial.filter(|_| node.not_after > Some(now)) else {
            return Ok(false);
        };
        let signed = certificate::load(tx.connection(), serial).await?;
        Ok(signed.is_some_and(|signed| self.lasts(&signed, now)))
    }

    /// Whether a certificate counts, and not only until the keys that signed it are out.
    fn lasts(&self, signed: &Signed<Certificate>, now: UnixTime) -> bool {
        let trust = self.trust();
        let since = trust.chain.genesis().authority.since;
        let verified = signed.verify(&trust.keyring, now);
        verified.is_ok_and(|certificate| certificate.revision >= since)
    }

    /// Issues certificates anew to members whose own do not count under the genesis in force, or are signed under keys
    /// that are on their way out. They have proved to hold these very keys already. Once per revision: what is issued
    /// later counts.
    pub(super) async fn reissue(&self) -> Result<(), EpochError> {
        let revision = self.trust().revision();
        if self.0.reissued.load(Ordering::Relaxed) == revision.value() {
            return Ok(());
        }
        let mut after = NodeId::from_bytes([0; 16]);
        let next = |after| {
            self.effect(async move |this, tx| this.reissue_within::<EpochError>(tx, after).await)
        };
        while let Some(last) = next(after).await? {
            after = last;
        }
        self.0.reissued.store(revision.value(), Ordering::Relaxed);
        Ok(())
    }

    /// The next few of them behind `after`; gives the last that was looked at, if there may be more.
    async fn reissue_within<E>(&self, tx: &mut Tx, after: NodeId) -> Result<Option<NodeId>, E>
    where
        E: From<StoreError> + From<SignError>,
    {
        let (now, revision) = (tx.now(), self.trust().revision());
        let earlier = certificate::earlier(tx.connection(), revision, now, after, REISSUED).await?;
        for (node, _) in earlier
            .iter()
            .filter(|(_, signed)| !self.lasts(signed, now))
        {
            if let Some(mut node) = node::load(tx.connection(), *node).await? {
                self.issue::<E>(tx, &mut node, &Caller::system()).await?;
            }
        }
        Ok(earlier.last().map(|(node, _)| *node))
    }

    /// Saves a node under a new roster version, and tells of it.
    pub(super) async fn touch(&self, tx: &mut Tx, node: &mut Node) -> Result<(), StoreError> {
        let now = tx.now();
        node.changed = counter::next(tx.connection(), "roster", now).await?;
        node.described = node.described.min(node.changed); // see `describe_anew`
        node::save(tx.connection(), node).await?;
        tx.announce(Notice::Node(node.node, node.changed));
        Ok(())
    }

    /// Issues a member's next certificate.
    pub async fn renew(
        &self,
        node: NodeId,
        request: Renew,
        caller: Caller,
    ) -> Result<Signed<Certificate>, NodeError> {
        if NodeId::of(&request.keys.identity) != node {
            return Err(NodeError::Keys(EnrollError::NotPossessed));
        }
        self.check_answer(&request.keys, &request.challenge, &request.answer, &caller)
            .map_err(NodeError::Keys)?;
        self.effect(async move |this, tx| this.renew_within(tx, node, request, caller).await)
            .await
    }

    async fn renew_within(
        &self,
        tx: &mut Tx,
        node: NodeId,
        request: Renew,
        caller: Caller,
    ) -> Result<Signed<Certificate>, NodeError> {
        self.spend(tx, &caller).await?;
        challenges::spend(tx, &request.keys, &request.challenge)
            .await
            .map_err(NodeError::Keys)?;
        let mut node = node::load(tx.connection(), node)
            .await?
            .ok_or(NodeError::Unknown)?;
        if node.status != NodeStatus::Allowed {
            return Err(NodeError::NotMember(node.status));
        }
        self.renew_for(tx, &mut node, &request.keys, &caller).await
    }

    /// Gives a member the keys that it has proved to hold, and its next certificate. Where nothing would be new, and the
    /// certificate in force is young, that one is the answer: whoever asks again makes nothing grow.
    pub(super) async fn renew_for(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        keys: &NodeKeys,
        caller: &Caller,
    ) -> Result<Signed<Certificate>, NodeError> {
        recovery::refuse(tx.connection()).await?; // also what is young may have been revoked since the backup
        let now = tx.now();
        if node.not_after <= Some(now) && is_full(tx).await? {
            return Err(NodeError::Keys(EnrollError::NetworkFull)); // its place was taken meanwhile
        }
        let (wireguard, sealing) = (
            node.wireguard != keys.wireguard,
            node.sealing.hash() != keys.sealing.hash(),
        );
        if !wireguard
            && !sealing
            && let Some(young) = self.young_certificate(tx, node).await?
        {
            return Ok(young);
        }
        if wireguard || sealing {
            self.change_keys(tx, node, keys).await?;
            let mut entry = Entry::new(Event::NodeKeyChanged, &caller.actor, node.node);
            if wireguard {
                entry = entry.with("wireguard", keys.wireguard);
            }
            self.record(tx, entry.with("sealing", keys.sealing.hash()))
                .await?;
        }
        self.issue(tx, node, caller).await
    }

    /// The certificate of `node`, if it was issued a moment ago, under the genesis in force.
    async fn young_certificate(
        &self,
        tx: &mut Tx,
        node: &Node,
    ) -> Result<Option<Signed<Certificate>>, StoreError> {
        let Some(serial) = node.serial.filter(|_| node.addressed(&self.trust())) else {
            return Ok(None);
        };
        let now = tx.now();
        let young_for = self
            .settings(tx.connection())
            .await?
            .certificate
            .divided_by(100);
        let Some(signed) = certificate::load(tx.connection(), serial).await? else {
            return Ok(None);
        };
        let Ok(certificate) = signed.verify(&self.trust().keyring, now) else {
            return Ok(None);
        };
        let issued_at =
            certificate.not_before + backdated(certificate.not_after.since(certificate.not_before));
        let young = certificate.revision == self.trust().revision() && now < issued_at + young_for;
        Ok(young.then_some(signed))
    }

    /// Gives a member keys that it has proved to hold. Grants are sealed anew: to the new sealing key, under the new serial.
    ///
    /// A new WireGuard key puts every certificate over the one before on the list: a peer that knows only those would go on
    /// talking to whoever holds the old key. A new sealing key alone does not. Peers have no use for it: it takes no
    /// address and makes no tunnel, only the authority seals to it, and from here on to the new one. It changes with every
    /// renewal, so that an entry for each would fill the list and hide what it is for.
    async fn change_keys(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        keys: &NodeKeys,
    ) -> Result<(), NodeError> {
        let now = tx.now();
        let settings = self.settings(tx.connection()).await?;
        // A certificate that lasts no longer than an epoch is renewed, with a new sealing key, more often than that.
        let again = node.keys_changed_at + settings.epoch.min(settings.certificate.divided_by(4));
        if now < again {
            return Err(NodeError::ChangedAlready(again));
        }
        if node.wireguard != keys.wireguard {
            self.change_wireguard(tx, node, keys).await?;
        }
        node.sealing = keys.sealing.clone();
        node.keys_changed_at = now;
        grant::withdraw(tx.connection(), node.node).await?;
        epoch::reopen(tx.connection(), now).await?;
        self.wants_grants(tx, node.node);
        Ok(())
    }

    async fn change_wireguard(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        keys: &NodeKeys,
    ) -> Result<(), NodeError> {
        let now = tx.now();
        if !address::wireguard_is_free(tx.connection(), &keys.wireguard, now).await? {
            return Err(NodeError::Keys(EnrollError::WireguardKeyTaken)); // its own of before as well
        }
        if list::size(tx.connection()).await? >= MOST_BY_NODES {
            return Err(NodeError::ListFull);
        }
        let believed = self.believed_until(tx, node.node).await?;
        address::give_up_wireguard(tx.connection(), &node.wireguard, believed).await?;
        address::take_wireguard(tx.connection(), &keys.wireguard, node.node, now).await?;
        node.wireguard = keys.wireguard;
        let Some(serial) = node.serial else {
            return Ok(());
        };
        let entry = RevocationEntry {
            identity: node.identity,
            serials_up_to: serial,
            kind: RevocationKind::Revoked,
            reason: "the node changed its keys".parse().unwrap_or_default(),
            since: now,
        };
        list::put(tx.connection(), node.node, &entry, believed).await?;
        // Epochs to come are not drawn again: the node stays in, and whoever has its old keys finds no peer for them. Any
        // member could otherwise have everybody's next keys made anew just before they are needed.
        self.publish_list::<NodeError>(tx).await?;
        Ok(())
    }
}
