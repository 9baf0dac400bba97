//! Ids and keys, each a type of its own. Secrets are wiped on drop and have no Debug.

use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A peer, by a number of the caller's choosing; never reused for another key while the engine lives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerId(pub u64);

/// The number of an epoch. A network without epochs uses one number for ever.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The bit that an initiator shows in its session index as a hint.
    pub(crate) fn parity(self) -> u32 {
        (self.0 & 1) as u32
    }
}

/// An X25519 public key.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..4] {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// An X25519 private key.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PrivateKey(pub [u8; 32]);

/// The pre-shared key of one peer in one epoch; all zero is WireGuard's word for none.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Psk(pub [u8; 32]);

impl Psk {
    /// Equal in constant time.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .fold(0, |acc, (a, b)| acc | (a ^ b))
            == 0
    }
}
