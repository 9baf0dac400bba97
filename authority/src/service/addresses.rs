//! Addresses: an identity keeps its own, within the ranges of the genesis in force.

use std::net::{Ipv4Addr, Ipv6Addr};

use tidegate_proto::{Digest, Genesis, Ipv4Range, NodeId, Span};

use super::Authority;
use super::authority::Trust;
use super::certificates::describe_anew;
use crate::store::node::Node;
use crate::store::{StoreError, Tx, address, corrupt};

/// How long an address is held after its node is out.
pub(super) const ADDRESS_HELD: Span = Span::from_hours(30 * 24);

impl Authority {
    /// Gives a member other addresses if a succession took its own out of the network's ranges.
    pub(super) async fn keep_addressed(
        &self,
        tx: &mut Tx,
        node: &mut Node,
    ) -> Result<(), StoreError> {
        if node.addressed(&self.trust()) {
            return Ok(());
        }
        let now = tx.now();
        address::hold(tx.connection(), node.node, now + ADDRESS_HELD).await?;
        let found = self.find_addresses(tx, node.node).await?;
        let (ipv4, ipv6) = found.ok_or_else(|| corrupt("ipv4", "is in no range of the genesis"))?;
        address::take(tx.connection(), ipv4, ipv6, node.node).await?;
        (node.ipv4, node.ipv6) = (Some(ipv4), Some(ipv6));
        describe_anew(node);
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
        let trust = self.trust();
        let genesis = trust.chain.genesis();
        let own = address::of(tx.connection(), node).await?;
        if let Some(own) = own.filter(|own| admits(genesis, *own)) {
            return Ok(Some(own));
        }
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

/// Whether addresses lie within the network's ranges.
fn admits(genesis: &Genesis, (ipv4, ipv6): (Ipv4Addr, Ipv6Addr)) -> bool {
    genesis.ipv4.iter().any(|range| range.admits(ipv4)) && genesis.ipv6.admits(ipv6)
}

impl Node {
    /// Whether its addresses lie within the network's ranges.
    pub(super) fn addressed(&self, trust: &Trust) -> bool {
        let own = self.ipv4.zip(self.ipv6);
        own.is_some_and(|own| admits(trust.chain.genesis(), own))
    }
}

/// The first and the last address that a range gives out.
fn ends(range: &Ipv4Range) -> (Ipv4Addr, Ipv4Addr) {
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
fn preferred(genesis: &Genesis, node: NodeId, attempt: u64) -> Option<Ipv4Addr> {
    let total: u64 = genesis.ipv4.iter().map(Ipv4Range::capacity).sum();
    let hash = Digest::of(&[&node.as_bytes()[..], &attempt.to_be_bytes()].concat());
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
fn beside(genesis: &Genesis, ipv4: Ipv4Addr) -> Ipv6Addr {
    let prefix = match genesis.ipv6.prefix().address() {
        std::net::IpAddr::V6(prefix) => prefix.to_bits(),
        std::net::IpAddr::V4(_) => 0, // never in an IPv6 range
    };
    Ipv6Addr::from_bits(prefix | u128::from(ipv4.to_bits()))
}
