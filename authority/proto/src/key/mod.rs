//! Keys: Ed25519 to sign, X25519 for WireGuard, X-Wing to receive grants.

mod sealing;
mod signing;
mod wireguard;

pub use sealing::{SealingKeyHash, SealingPublicKey, SealingSecretKey};
pub use signing::{PublicKey, SigningKey};
pub use wireguard::{WgPublicKey, WgSecretKey};

use crate::bytes::BytesError;

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
