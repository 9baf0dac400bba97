//! What a report adds to the restored database, one kind of document each.

use tidegate_proto::bound::Release;
use tidegate_proto::policy::Policy;
use tidegate_proto::{
    BoundedSet, Certificate, EpochGrant, NodeId, NodeKeys, RevocationKind, RevocationList,
    Sequence, UnixTime, Verified,
};

use super::super::audit::{Entry, Event};
use super::super::certificates::longest_use;
use super::super::{Actor, Authority, NodeStatus};
use crate::store::node::Node;
use crate::store::{
    Counted as _, StoreError, Tx, address, certificate, counter, grant, holder, list, node, policy,
    recovery, revocation,
};

impl Authority {
    pub(super) async fn merge_list(
        &self,
        tx: &mut Tx,
        list: &RevocationList,
    ) -> Result<(), StoreError> {
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
    pub(super) async fn merge_certificate(
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
        let entry = Entry::new(Event::NodeAdmitted, &Actor::System, node.node)
            .with("name", &node.name)
            .with("why", &node.reason)
            .count("serial", verified.serial.value());
        self.record(tx, entry).await?;
        node::save(tx.connection(), &node).await
    }

    /// The policy in force after the backup, if it is newer than the one in it.
    pub(super) async fn merge_policy(
        &self,
        tx: &mut Tx,
        verified: &Verified<Policy>,
    ) -> Result<(), StoreError> {
        counter::raise(tx.connection(), "policy", verified.version.stored()).await?;
        let before = self.policy_in_force(tx.connection()).await?;
        if before
            .as_ref()
            .is_some_and(|have| have.version >= verified.version)
        {
            return Ok(());
        }
        let known = before.as_ref().map(|before| &*before.policy.operators);
        let (known, actor) = (known.unwrap_or_default(), &Actor::System);
        self.note_operators(tx, known, &verified.operators, actor)
            .await?;
        let entry = Entry::new(Event::PolicyChanged, actor, verified.version)
            .with("digest", verified.signed().digest())
            .with("why", "it is newer than the backup");
        self.record(tx, entry).await?;
        policy::keep(tx.connection(), verified, verified.signed()).await
    }

    /// Notes in the ledger what the node was given.
    pub(super) async fn merge_grants(
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
        for open in revocation::open(tx.connection()).await? {
            let (view, place) = (&open.view, open.place());
            holder::fix(tx.connection(), view.node, place, view.since).await?;
        }
        Ok(())
    }

    /// Gives every node that the list has out the standing that the list says.
    pub(super) async fn put_out_listed(&self, tx: &mut Tx) -> Result<(), StoreError> {
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
            let (event, why) = (put_out(entry.kind), "the newest list says so");
            let record = Entry::new(event, &Actor::System, node.node).with("name", &node.name);
            let record = record.with("reason", &entry.reason).with("why", why);
            self.record(tx, record).await?;
            (node.reason, node.since, node.offline_since) = (entry.reason, entry.since, None);
            node.changed = counter::next_in_recovery(tx.connection(), "roster", now).await?;
            node::save(tx.connection(), &node).await?;
        }
        Ok(())
    }
}

/// As what it is recorded that a list puts a node out.
fn put_out(kind: RevocationKind) -> Event {
    match kind {
        RevocationKind::Revoked => Event::NodeRevoked,
        RevocationKind::Suspended => Event::NodeSuspended,
    }
}

/// Learns of a peer that may have to be heard as well; its place is kept for it.
pub(super) async fn merge_peer(
    tx: &mut Tx,
    peer: &Verified<Certificate>,
) -> Result<(), StoreError> {
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
