//! Keys of WireGuard tunnels.

use std::str::FromStr;

use curve25519_dalek::MontgomeryPoint;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{FIELD_PRIME, KeyError, is_reduced};
use crate::bytes::{base64_array, base64_bytes};

/// A WireGuard public key: canonical and not of low order, so that a secret shared with it is one.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WgPublicKey([u8; 32]);

base64_bytes!(WgPublicKey, 32);

impl WgPublicKey {
    /// The canonical u-coordinates of the points whose order divides eight.
    const LOW_ORDER: [[u8; 32]; 5] = [
        [0; 32],
        {
            let mut one = [0; 32];
            one[0] = 1;
            one
        },
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f,
            0xc4, 0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16,
            0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83,
            0xef, 0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd,
            0xd0, 0x9f, 0x11, 0x57,
        ],
        {
            let mut minus_one = FIELD_PRIME;
            minus_one[0] -= 1;
            minus_one
        },
    ];

    /// The key in these bytes, if it is a sound one.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        if !is_reduced(&bytes) {
            return Err(KeyError::NotCanonical);
        }
        if Self::LOW_ORDER.contains(&bytes) {
            Err(KeyError::LowOrder)
        } else {
            Ok(Self(bytes))
        }
    }
}

impl WgPublicKey {
    /// Whether this is the only key that its secret can answer for: a point of the prime order. Seven others share
    /// every secret with it. Looked at when a key is first enrolled, so that a ban on it cannot be evaded.
    pub fn is_of_prime_order(&self) -> bool {
        let point = MontgomeryPoint(self.0).to_edwards(0);
        point.is_some_and(|point| point.is_torsion_free())
    }
}

impl FromStr for WgPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(base64_array(text)?)
    }
}

/// A WireGuard private key. Erased when dropped, and never printed.
pub struct WgSecretKey(x25519_dalek::StaticSecret);

impl WgSecretKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(x25519_dalek::StaticSecret::random_from_rng(rng))
    }

    /// The key in these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for a key file and for the WireGuard engine.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The public half.
    pub fn public_key(&self) -> WgPublicKey {
        WgPublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// The secret shared with `peer`; never all zero.
    pub(crate) fn shared_secret(
        &self,
        peer: &WgPublicKey,
    ) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let shared = self
            .0
            .diffie_hellman(&x25519_dalek::PublicKey::from(peer.0));
        if shared.was_contributory() {
            Ok(Zeroizing::new(shared.to_bytes()))
        } else {
            Err(KeyError::NoSharedSecret)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::EIGHT_TORSION;

    #[test]
    fn every_low_order_key_really_shares_nothing_and_is_refused() {
        for point in WgPublicKey::LOW_ORDER {
            let secret = WgSecretKey::from_bytes([7; 32]);
            assert_eq!(
                secret.shared_secret(&WgPublicKey(point)).err(),
                Some(KeyError::NoSharedSecret)
            );
            assert_eq!(WgPublicKey::from_bytes(point), Err(KeyError::LowOrder));
        }
    }

    #[test]
    fn a_second_encoding_of_a_wireguard_key_is_refused() {
        let mut high_bit = *WgSecretKey::from_bytes([7; 32]).public_key().as_bytes();
        high_bit[31] |= 0x80;
        assert_eq!(
            WgPublicKey::from_bytes(high_bit),
            Err(KeyError::NotCanonical)
        );
        let mut nine_plus_prime = FIELD_PRIME;
        nine_plus_prime[0] += 9;
        assert_eq!(
            WgPublicKey::from_bytes(nine_plus_prime),
            Err(KeyError::NotCanonical)
        );
        assert_eq!(
            WgPublicKey::from_bytes(FIELD_PRIME),
            Err(KeyError::NotCanonical)
        );
    }

    #[test]
    fn the_twins_of_a_key_share_its_secrets_and_are_told_from_it() {
        let (own, peer) = (
            WgSecretKey::from_bytes([1; 32]),
            WgSecretKey::from_bytes([2; 32]),
        );
        let key = own.public_key();
        assert!(key.is_of_prime_order());
        let point = MontgomeryPoint(key.0).to_edwards(0).unwrap();
        for torsion in &EIGHT_TORSION[1..] {
            let twin =
                WgPublicKey::from_bytes((point + torsion).to_montgomery().to_bytes()).unwrap();
            assert_eq!(
                *peer.shared_secret(&twin).unwrap(),
                *peer.shared_secret(&key).unwrap()
            );
            assert!(twin != key && !twin.is_of_prime_order());
        }
    }

    #[test]
    fn both_sides_share_the_same_secret() {
        let (a, b) = (
            WgSecretKey::from_bytes([1; 32]),
            WgSecretKey::from_bytes([2; 32]),
        );
        assert_eq!(
            *a.shared_secret(&b.public_key()).unwrap(),
            *b.shared_secret(&a.public_key()).unwrap()
        );
    }
}
