//! Certificates: issue, renewal, and the change of keys.

use std::net::{Ipv4Addr, Ipv6Addr};

use tidegate_proto::api::Renew;
use tidegate_proto::bound::clock_allowance;
use tidegate_proto::{
    Certificate, EpochCeilings, NodeId, NodeKeys, RevocationEntry, RevocationKind, RevocationList,
    SignError, Signed, Span,
};

use super::audit::{Entry, Event};
use super::{Authority, Caller, EnrollError, NodeError, NodeStatus, Notice, challenges};
use crate::store::node::Node;
use crate::store::{
    StoreError, Tx, address, certificate, corrupt, counter, epoch, grant, list, node,
};

/// How far back a certificate is dated at most, for clocks that are behind.
const BACKDATED: Span = Span::from_minutes(1);

/// The longest that anybody can act on a certificate after it has ended or was revoked.
pub(super) fn longest_use(ceilings: &EpochCeilings) -> Span {
    let longest = ceilings.lead + ceilings.lease;
    longest + clock_allowance(longest)
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
        let settings = self.settings(tx.connection()).await?;
        let now = tx.now();
        let not_before = now - BACKDATED.min(settings.certificate.divided_by(10));
        let certificate = Certificate {
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
        };
        let signed = self.trust().signer.sign(&certificate)?;
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

    /// Saves a node under a new roster version, and tells of it.
    pub(super) async fn touch(&self, tx: &mut Tx, node: &mut Node) -> Result<(), StoreError> {
        let now = tx.now();
        node.changed = counter::next(tx.connection(), "roster", now).await?;
        node::save(tx.connection(), node).await?;
        self.announce(tx, Notice::Node(node.node, node.changed));
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
        self.change_keys(tx, &mut node, &request.keys, &caller)
            .await?;
        self.issue(tx, &mut node, &caller).await
    }

    /// Gives a member the keys that it has proved to hold. A new WireGuard key puts every certificate over the one
    /// before on the list; a new sealing key has its grants sealed anew.
    pub(super) async fn change_keys(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        keys: &NodeKeys,
        caller: &Caller,
    ) -> Result<(), NodeError> {
        if node.sealing.hash() != keys.sealing.hash() {
            node.sealing = keys.sealing.clone();
            grant::withdraw(tx.connection(), node.node).await?;
            let now = tx.now();
            epoch::reopen(tx.connection(), now).await?;
            self.has_work(tx);
        }
        if node.wireguard == keys.wireguard {
            return Ok(());
        }
        self.change_wireguard(tx, node, keys).await?;
        let entry = Entry::new(Event::NodeKeyChanged, &caller.actor, node.node);
        self.record(tx, entry.with("wireguard", keys.wireguard))
            .await?;
        Ok(())
    }

    async fn change_wireguard(
        &self,
        tx: &mut Tx,
        node: &mut Node,
        keys: &NodeKeys,
    ) -> Result<(), NodeError> {
        let now = tx.now();
        let settings = self.settings(tx.connection()).await?;
        let again = node.keys_changed_at + settings.epoch;
        if now < again {
            return Err(NodeError::ChangedAlready(again));
        }
        if address::wireguard_owner(tx.connection(), &keys.wireguard)
            .await?
            .is_some()
        {
            return Err(NodeError::Keys(EnrollError::WireguardKeyTaken)); // its own of before as well
        }
        address::take_wireguard(tx.connection(), &keys.wireguard, node.node, now).await?;
        node.wireguard = keys.wireguard;
        node.keys_changed_at = now;
        let Some((serial, not_after)) = node.serial.zip(node.not_after) else {
            return Ok(());
        };
        if list::size(tx.connection()).await? >= RevocationList::MOST_ENTRIES as i64 {
            return Err(NodeError::ListFull);
        }
        let entry = RevocationEntry {
            identity: node.identity,
            serials_up_to: serial,
            kind: RevocationKind::Revoked,
            reason: "the node changed its keys".parse().unwrap_or_default(),
            since: now,
        };
        let keep_until = not_after + longest_use(&self.trust().chain.genesis().ceilings);
        list::put(tx.connection(), node.node, &entry, keep_until).await?;
        self.publish_list::<NodeError>(tx).await?;
        Ok(())
    }

    /// Finds addresses for a node: its own of before if nobody else has them, others otherwise.
    pub(super) async fn find_addresses(
        &self,
        tx: &mut Tx,
        node: NodeId,
    ) -> Result<Option<(Ipv4Addr, Ipv6Addr)>, StoreError> {
        const TRIES: u64 = 8;
        let now = tx.now();
        if let Some(own) = address::of(tx.connection(), node).await? {
            return Ok(Some(own));
        }
        let trust = self.trust();
        let genesis = trust.chain.genesis();
        for attempt in 0..TRIES {
            let Some(ipv4) = preferred(genesis, node, attempt) else {
                break;
            };
            if address::is_free(tx.connection(), ipv4, now).await? {
                return Ok(Some((ipv4, beside(genesis, ipv4))));
            }
        }
        for range in genesis.ipv4.iter() {
            let (first, last) = ends(range);
            if let Some(ipv4) = address::first_free(tx.connection(), first, last, now).await? {
                return Ok(Some((ipv4, beside(genesis, ipv4))));
            }
        }
        Ok(None)
    }
}

/// The first and the last address that a range gives out.
fn ends(range: &tidegate_proto::Ipv4Range) -> (Ipv4Addr, Ipv4Addr) {
    let first = match range.prefix().address() {
        std::net::IpAddr::V4(network) => network.to_bits().saturating_add(1),
        std::net::IpAddr::V6(_) => 0, // never in an IPv4 range
    };
    let last = first
        .saturating_add(u32::try_from(range.capacity()).unwrap_or(u32::MAX))
        .saturating_sub(1);
    (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(last))
}

/// Where in the ranges an identity would like to be: spread out, and the same each time.
fn preferred(genesis: &tidegate_proto::Genesis, node: NodeId, attempt: u64) -> Option<Ipv4Addr> {
    let total: u64 = genesis
        .ipv4
        .iter()
        .map(tidegate_proto::Ipv4Range::capacity)
        .sum();
    let hash = tidegate_proto::Digest::of(&[&node.as_bytes()[..], &attempt.to_be_bytes()].concat());
    let mut word = [0; 8];
    word.copy_from_slice(&hash.as_bytes()[..8]);
    let mut at = u64::from_be_bytes(word).checked_rem(total)?;
    for range in genesis.ipv4.iter() {
        if at < range.capacity() {
            let first = ends(range).0.to_bits();
            return Some(Ipv4Addr::from_bits(
                first.saturating_add(u32::try_from(at).ok()?),
            ));
        }
        at -= range.capacity();
    }
    None
}

/// The IPv6 address that goes with an IPv4 address: the network's prefix, and that address at the end.
fn beside(genesis: &tidegate_proto::Genesis, ipv4: Ipv4Addr) -> Ipv6Addr {
    let prefix = match genesis.ipv6.prefix().address() {
        std::net::IpAddr::V6(prefix) => prefix.to_bits(),
        std::net::IpAddr::V4(_) => 0, // never in an IPv6 range
    };
    Ipv6Addr::from_bits(prefix | u128::from(ipv4.to_bits()))
}
