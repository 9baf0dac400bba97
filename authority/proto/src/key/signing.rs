//! Keys that sign.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signer as _, VerifyingKey};
use rand_core::CryptoRng;

use super::{KeyError, is_reduced};
use crate::bytes::{base64_array, base64_encode, text_serde};

/// An Ed25519 public key: canonical, and not of small order.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key in these bytes, if it is a sound one.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let mut y = bytes;
        y[31] &= 0x7f; // the top bit is the sign of x
        if !is_reduced(&y) {
            return Err(KeyError::NotCanonical);
        }
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::Invalid)?;
        if key.is_weak() {
            Err(KeyError::LowOrder)
        } else {
            Ok(Self(key))
        }
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether this is the only key that its secret can answer for: a point of the prime order. Looked at when a key is
    /// first enrolled, so that a ban on it cannot be evaded with a twin.
    pub fn is_of_prime_order(&self) -> bool {
        self.0.to_edwards().is_torsion_free()
    }

    /// Whether `signature` over `message` is this key's. Strict: one message, one key, one signature.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0.verify_strict(message, &signature).is_ok()
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_encode(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(base64_array(text)?)
    }
}

text_serde!(PublicKey);

/// An Ed25519 signing key. Erased when dropped, and never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(ed25519_dalek::SigningKey::generate(rng))
    }

    /// The key whose seed is `seed`.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// This key's signature over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// The seed, for a key file.
    pub(crate) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::FIELD_PRIME;
    use curve25519_dalek::constants::EIGHT_TORSION;

    #[test]
    fn weak_and_second_encodings_of_signing_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey::from_bytes(identity), Err(KeyError::LowOrder));
        let mut one_plus_prime = FIELD_PRIME;
        one_plus_prime[0] += 1;
        assert_eq!(
            PublicKey::from_bytes(one_plus_prime),
            Err(KeyError::NotCanonical)
        );
        assert_eq!(
            PublicKey::from_bytes([2; 32]).err(),
            Some(KeyError::Invalid)
        );
    }

    #[test]
    fn a_key_with_a_twin_is_told() {
        let key = SigningKey::from_seed(&[1; 32]).public_key();
        assert!(key.is_of_prime_order());
        let twin = (key.0.to_edwards() + EIGHT_TORSION[1])
            .compress()
            .to_bytes();
        assert!(!PublicKey::from_bytes(twin).unwrap().is_of_prime_order());
    }
}
