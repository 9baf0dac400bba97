//! One node's key to an epoch.

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Genesis, Kind, Ordered, Validity};
use crate::id::{EpochNumber, KeyId, NetworkId, NodeId, Revision, Serial};
use crate::key::SealingKeyHash;
use crate::keyring::Authority;
use crate::order::{ListPlace, Order};
use crate::sealing::{SealContext, SealedKey};
use crate::time::UnixTime;

/// One node's sealed copy of an epoch's key, with the lease until which it may be used.
///
/// A revocation draws the secret of every epoch not yet begun again: of two grants for one epoch, the one
/// with the higher `redraw` counts. A grant takes effect only together with a stored revocation list of at
/// least `list`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochGrant {
    /// The network.
    pub network: NetworkId,
    /// The genesis revision whose keys sign it.
    pub revision: Revision,
    /// Whose grant it is.
    pub node: NodeId,
    /// The certificate under which it was given.
    pub serial: Serial,
    /// The epoch.
    pub epoch: EpochNumber,
    /// How often the epoch's secret had been drawn again.
    pub redraw: u32,
    /// The id of the grant key, for diagnosis.
    pub key: KeyId,
    /// When sending under this epoch begins.
    pub starts: UnixTime,
    /// When sending passes to the next epoch.
    pub ends: UnixTime,
    /// When the epoch must not be used any more, whatever has or has not been heard.
    pub lease_until: UnixTime,
    /// The revocation list without which the grant is not used.
    pub list: ListPlace,
    /// The hash of the key that it is sealed to.
    pub sealing: SealingKeyHash,
    /// The grant key, sealed.
    pub sealed: SealedKey,
}

impl EpochGrant {
    /// What the seal is bound to.
    pub fn seal_context(&self) -> SealContext {
        SealContext {
            network: self.network,
            node: self.node,
            serial: self.serial,
            epoch: self.epoch,
            redraw: self.redraw,
            sealing: self.sealing,
        }
    }
}

impl Document for EpochGrant {
    type Signer = Authority;
    const KIND: Kind = Kind::EpochGrant;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn check(&self) -> Result<(), DocumentError> {
        let ordered = self.starts < self.ends && self.ends <= self.lease_until;
        if ordered {
            Ok(())
        } else {
            Err(DocumentError::EmptyValidity)
        }
    }

    fn check_within(&self, genesis: &Genesis, now: UnixTime) -> Result<(), DocumentError> {
        Ok(genesis.ceilings.check_grant(self, now)?)
    }

    fn validity(&self) -> Validity {
        Validity {
            not_before: None,
            not_after: Some(self.lease_until),
        }
    }
}

impl Ordered for EpochGrant {
    fn order(&self) -> Order {
        Order {
            redraw: self.redraw,
            ..Order::under(self.revision, self.epoch.sequence())
        }
    }
}
