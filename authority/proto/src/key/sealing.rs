//! Keys that grants are sealed to.

use std::fmt;
use std::str::FromStr;

use hpke::kem::XWing;
use hpke::{Deserializable, Kem, Serializable};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::KeyError;
use crate::bytes::{
    BytesError, base64_array, base64_bytes, base64_decode, base64_encode, text_serde,
};
use crate::domain;

/// A node's public key for grants: X-Wing, X25519 and ML-KEM-768 in one.
#[derive(Clone, Eq, PartialEq)]
pub struct SealingPublicKey(pub(crate) <XWing as Kem>::PublicKey);

impl SealingPublicKey {
    /// The key's length in bytes.
    pub const LENGTH: usize = 1216;

    /// The key in these bytes, if it is one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        <XWing as Kem>::PublicKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| KeyError::Invalid)
    }

    /// The key's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// What a certificate carries in place of the key.
    pub fn hash(&self) -> SealingKeyHash {
        let hash = Sha256::new()
            .chain_update(domain::SEALING_KEY_HASH)
            .chain_update([0]);
        SealingKeyHash(hash.chain_update(self.to_bytes()).finalize().into())
    }
}

impl fmt::Display for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_encode(&self.to_bytes()))
    }
}

impl fmt::Debug for SealingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingPublicKey(hash {})", self.hash())
    }
}

impl FromStr for SealingPublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(&base64_decode(text)?)
    }
}

text_serde!(SealingPublicKey);

/// The hash of a sealing key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SealingKeyHash([u8; 32]);

base64_bytes!(SealingKeyHash, 32);

impl FromStr for SealingKeyHash {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(Self)
    }
}

/// A node's secret key for grants: the 32-byte seed of an X-Wing key. Erased when dropped, and never printed.
pub struct SealingSecretKey(Zeroizing<[u8; 32]>);

impl SealingSecretKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        Self(seed)
    }

    /// The key whose seed is `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(Zeroizing::new(seed))
    }

    /// The seed, for a key file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The public half.
    pub fn public_key(&self) -> Result<SealingPublicKey, KeyError> {
        Ok(SealingPublicKey(XWing::sk_to_pk(&self.private()?)))
    }

    pub(crate) fn private(&self) -> Result<<XWing as Kem>::PrivateKey, KeyError> {
        <XWing as Kem>::PrivateKey::from_bytes(&*self.0).map_err(|_| KeyError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_keys_have_their_length_and_survive_the_text_form() {
        let key = SealingSecretKey::from_seed([9; 32]).public_key().unwrap();
        assert_eq!(key.to_bytes().len(), SealingPublicKey::LENGTH);
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert!(SealingPublicKey::from_bytes(&key.to_bytes()[1..]).is_err());
        assert!(SealingPublicKey::from_bytes(&[0xff; 1216]).is_err());
    }
}
