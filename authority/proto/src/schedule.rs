//! From an epoch's secret to the key of one pair of nodes.
//!
//! ```text
//! epoch secret ──HKDF──▶ grant key (sealed to each node) ──HKDF, with the pair's Diffie-Hellman──▶ pre-shared key
//! ```
//!
//! Who knows the grant key alone cannot compute a pair's key; who knows a pair's private keys cannot without
//! the epoch's grant.

use hkdf::Hkdf;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain;
use crate::id::{EpochNumber, KeyId, NetworkId};
use crate::key::{KeyError, WgPublicKey, WgSecretKey};

/// Why no key came out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// A pair of a node with itself.
    #[error("a node has no tunnel to itself")]
    OwnKey,
    /// The peer's key shares no secret.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A random secret that never leaves the authority. Erased when dropped, and never printed.
pub struct EpochSecret(Zeroizing<[u8; 32]>);

impl EpochSecret {
    /// A new secret.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self(secret)
    }

    /// A secret that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be stored under encryption.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the nodes of `network` get for `epoch`.
    pub fn grant_key(&self, network: NetworkId, epoch: EpochNumber) -> GrantKey {
        let info = [domain::GRANT_KEY.as_bytes(), &epoch.value().to_be_bytes()];
        GrantKey(expand(&network, &*self.0, &info))
    }
}

/// A network's key to one epoch, as grants carry it. Erased when dropped, and never printed.
pub struct GrantKey(pub(crate) Zeroizing<[u8; 32]>);

impl GrantKey {
    /// A key that was opened or kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be stored under the node's own protection.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key's id, which tells nothing about it.
    pub fn id(&self) -> KeyId {
        let hash = Sha256::new()
            .chain_update(domain::GRANT_KEY_ID)
            .chain_update([0])
            .chain_update(*self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&hash.finalize()[..8]);
        KeyId::from_bytes(id)
    }

    /// The WireGuard pre-shared key of the pair (`own`, `peer`) in `epoch`; the same from either side.
    pub fn pairwise(
        &self,
        network: NetworkId,
        epoch: EpochNumber,
        own: &WgSecretKey,
        peer: &WgPublicKey,
    ) -> Result<PairwiseKey, ScheduleError> {
        let own_public = own.public_key();
        if own_public == *peer {
            return Err(ScheduleError::OwnKey);
        }
        let (lower, higher) = if own_public < *peer {
            (&own_public, peer)
        } else {
            (peer, &own_public)
        };
        let mut material = Zeroizing::new([0; 64]);
        material[..32].copy_from_slice(&*self.0);
        material[32..].copy_from_slice(&*own.shared_secret(peer)?);
        let info = [
            domain::PSK.as_bytes(),
            &epoch.value().to_be_bytes(),
            lower.as_bytes(),
            higher.as_bytes(),
        ];
        Ok(PairwiseKey(expand(&network, &*material, &info)))
    }
}

/// The pre-shared key of one pair in one epoch. Erased when dropped, and never printed.
pub struct PairwiseKey(Zeroizing<[u8; 32]>);

impl PairwiseKey {
    /// The bytes, for the WireGuard engine.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for PairwiseKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

/// HKDF-SHA-256 with the network as salt.
fn expand(network: &NetworkId, material: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(network.as_bytes()), material)
        .expand_multi_info(info, &mut *key)
        .expect("32 bytes are within what HKDF-SHA-256 gives");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId::from_bytes([3; 16]);

    fn epoch(number: u64) -> EpochNumber {
        EpochNumber::new(number).unwrap()
    }

    #[test]
    fn both_sides_of_a_pair_and_nobody_else_derive_the_key() {
        let grant = EpochSecret::from_bytes([1; 32]).grant_key(NETWORK, epoch(5));
        let [a, b, c] = [4, 5, 6].map(|byte| WgSecretKey::from_bytes([byte; 32]));
        let key = |own: &WgSecretKey, peer: &WgSecretKey| {
            grant
                .pairwise(NETWORK, epoch(5), own, &peer.public_key())
                .unwrap()
        };
        assert!(key(&a, &b) == key(&b, &a));
        assert!(key(&a, &b) != key(&a, &c) && key(&a, &b) != key(&c, &b));
    }

    #[test]
    fn every_input_changes_the_key() {
        let (a, b) = (
            WgSecretKey::from_bytes([4; 32]),
            WgSecretKey::from_bytes([5; 32]).public_key(),
        );
        let key = |secret: u8, network: u8, drawn_for: u64, used_in: u64| {
            let network = NetworkId::from_bytes([network; 16]);
            let grant = EpochSecret::from_bytes([secret; 32]).grant_key(network, epoch(drawn_for));
            grant.pairwise(network, epoch(used_in), &a, &b).unwrap()
        };
        let reference = key(1, 3, 5, 5);
        assert!(reference == key(1, 3, 5, 5));
        for other in [
            key(2, 3, 5, 5),
            key(1, 4, 5, 5),
            key(1, 3, 6, 5),
            key(1, 3, 5, 6),
        ] {
            assert!(reference != other);
        }
    }

    #[test]
    fn a_node_has_no_key_with_itself() {
        let own = WgSecretKey::from_bytes([4; 32]);
        let refused =
            GrantKey::from_bytes([0; 32]).pairwise(NETWORK, epoch(1), &own, &own.public_key());
        assert_eq!(refused.err(), Some(ScheduleError::OwnKey));
    }
}
