//! Keys: Ed25519 to sign, X25519 for WireGuard, X-Wing to receive grants.

use std::fmt;
use std::str::FromStr;

use curve25519_dalek::MontgomeryPoint;
use ed25519_dalek::{Signer as _, VerifyingKey};
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, Serializable};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::bytes::{
    BytesError, base64_array, base64_bytes, base64_decode, base64_encode, text_serde,
};
use crate::domain;

/// Why bytes are no key, or a key must not be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// Not the text form of a key.
    #[error(transparent)]
    Bytes(#[from] BytesError),
    /// A second encoding of a key that has a canonical one.
    #[error("the key is not in its canonical encoding")]
    NotCanonical,
    /// A point of small order, which anyone can compute with.
    #[error("the key is of low order and protects nothing")]
    LowOrder,
    /// No point of the curve, or no key of the scheme.
    #[error("the bytes are no public key")]
    Invalid,
    /// The Diffie-Hellman result is zero.
    #[error("the two keys share no secret")]
    NoSharedSecret,
}

/// 2^255 - 19, the field of both curves, least significant byte first.
const FIELD_PRIME: [u8; 32] = {
    let mut prime = [0xff; 32];
    prime[0] = 0xed;
    prime[31] = 0x7f;
    prime
};

/// Whether a little-endian number is below the prime, so that it is the only encoding of its field element.
fn is_reduced(number: &[u8; 32]) -> bool {
    number.iter().rev().lt(FIELD_PRIME.iter().rev())
}

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
    fn the_twins_of_a_key_share_its_secrets_and_are_told_from_it() {
        use curve25519_dalek::constants::EIGHT_TORSION;
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
        let signing = SigningKey::from_seed(&[1; 32]).public_key();
        assert!(signing.is_of_prime_order());
        let twin = (signing.0.to_edwards() + EIGHT_TORSION[1])
            .compress()
            .to_bytes();
        assert!(!PublicKey::from_bytes(twin).unwrap().is_of_prime_order());
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

    #[test]
    fn sealing_keys_have_their_length_and_survive_the_text_form() {
        let key = SealingSecretKey::from_seed([9; 32]).public_key().unwrap();
        assert_eq!(key.to_bytes().len(), SealingPublicKey::LENGTH);
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert!(SealingPublicKey::from_bytes(&key.to_bytes()[1..]).is_err());
        assert!(SealingPublicKey::from_bytes(&[0xff; 1216]).is_err());
    }
}
