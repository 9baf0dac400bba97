//! A node's membership.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Genesis, Kind, Ordered, Validity};
use crate::bounded::BoundedSet;
use crate::id::{NetworkId, NodeId, Revision, Serial};
use crate::key::{PublicKey, SealingKeyHash, WgPublicKey};
use crate::keyring::Authority;
use crate::name::{NodeName, Role, Tag};
use crate::net::{Prefix, canonical_ipv6};
use crate::order::Order;
use crate::time::UnixTime;

/// The authority's short-lived word that a node is in the network, under this name and with these addresses.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Certificate {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// The node, by its identity key.
    pub node: NodeId,
    /// Its name, unique in the network.
    pub name: NodeName,
    /// The key that it signs with.
    pub identity: PublicKey,
    /// The key of its tunnels, unique in the network.
    pub wireguard: WgPublicKey,
    /// The hash of the key that its grants are sealed to.
    pub sealing: SealingKeyHash,
    /// Its overlay address.
    pub ipv4: Ipv4Addr,
    /// Its overlay address.
    #[serde(deserialize_with = "canonical_ipv6")]
    pub ipv6: Ipv6Addr,
    /// What it is for.
    pub roles: BoundedSet<Role, 8>,
    /// Marks that policies speak of.
    pub tags: BoundedSet<Tag, 32>,
    /// Networks behind it that it may route for.
    pub routes: BoundedSet<Prefix, 32>,
    /// First moment of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Rises with every certificate of the network.
    pub serial: Serial,
}

impl Document for Certificate {
    type Signer = Authority;
    const KIND: Kind = Kind::Certificate;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn check(&self) -> Result<(), DocumentError> {
        if self.node != NodeId::of(&self.identity) {
            return Err(DocumentError::NodeIdMismatch);
        }
        self.validity().check_sound()
    }

    fn check_within(&self, genesis: &Genesis, _now: UnixTime) -> Result<(), DocumentError> {
        if !genesis.ipv4.iter().any(|range| range.admits(self.ipv4)) {
            return Err(DocumentError::AddressOutsideRange(self.ipv4.into()));
        }
        if !genesis.ipv6.admits(self.ipv6) {
            return Err(DocumentError::AddressOutsideRange(self.ipv6.into()));
        }
        // A default route is for what nothing else covers, and the overlay's own routes always do.
        let contains_overlay = |route: &Prefix| {
            route.length() > 0 && genesis.prefixes().any(|own| own.overlaps(route))
        };
        if let Some(route) = self.routes.iter().copied().find(contains_overlay) {
            return Err(DocumentError::RouteIntoOverlay(route));
        }
        Ok(genesis.ceilings.check_certificate(self)?)
    }

    fn validity(&self) -> Validity {
        Validity {
            not_before: Some(self.not_before),
            not_after: Some(self.not_after),
        }
    }
}

impl Ordered for Certificate {
    fn order(&self) -> Order {
        Order::under(self.revision, self.serial.sequence())
    }
}
