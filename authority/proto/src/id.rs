//! Identifiers and counters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bytes::{BytesError, base64_array, base64_bytes, text_serde};
use crate::domain;
use crate::key::PublicKey;
use crate::time::MAX_INTEGER;

/// SHA-256 over the bytes that a document's signatures cover.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest([u8; 32]);

base64_bytes!(Digest, 32);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest that was stored as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for Digest {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(Self)
    }
}

/// The digest of a genesis document.
pub type GenesisHash = Digest;

/// SHA-256 of `domain`, a zero byte and `bytes`, cut to `N` bytes.
fn short_hash<const N: usize>(domain: &str, bytes: &[u8]) -> [u8; N] {
    let hash = Sha256::new()
        .chain_update(domain)
        .chain_update([0])
        .chain_update(bytes)
        .finalize();
    let mut short = [0; N];
    short.copy_from_slice(&hash[..N]);
    short
}

/// Why a text is not an identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// Not the prefix, length and alphabet of its kind.
    #[error("an id of this kind is '{prefix}' and {digits} digits of 0-9 and a-v")]
    Form {
        /// What its text begins with.
        prefix: &'static str,
        /// How many digits follow.
        digits: usize,
    },
}

/// Implements an identifier: a prefix that names its kind, then lower-case base 32 (the digits 0-9 and a-v).
macro_rules! short_id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name([u8; $length]);

        impl $name {
            /// The identifier's bytes.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// An identifier that was stored as bytes.
            pub const fn from_bytes(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                base32_encode(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix($prefix).and_then(base32_decode);
                digits.map(Self).ok_or(IdError::Form { prefix: $prefix, digits: ($length * 8_usize).div_ceil(5) })
            }
        }

        text_serde!($name);
    };
}

const BASE32: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

fn base32_encode(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (mut bits, mut held) = (0_u32, 0_u32);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            write!(f, "{}", char::from(BASE32[(bits >> held & 31) as usize]))?;
        }
    }
    if held > 0 {
        write!(
            f,
            "{}",
            char::from(BASE32[(bits << (5 - held) & 31) as usize])
        )?;
    }
    Ok(())
}

/// Exactly `N` bytes; the unused bits of the last digit must be zero, so that one id has one text.
fn base32_decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(5) {
        return None;
    }
    let (mut bytes, mut filled, mut bits, mut held) = ([0; N], 0, 0_u32, 0_u32);
    for digit in text.bytes() {
        let value = BASE32.iter().position(|&d| d == digit)?;
        bits = bits << 5 | value as u32;
        held += 5;
        if held >= 8 && filled < N {
            held -= 8;
            bytes[filled] = (bits >> held & 0xff) as u8;
            filled += 1;
        }
    }
    (bits & ((1 << held) - 1) == 0).then_some(bytes)
}

short_id! {
    /// A network, drawn at random when its genesis is signed.
    NetworkId, 16, "net"
}
short_id! {
    /// A node: derived from its identity key, so nobody else can claim it.
    NodeId, 16, "node"
}
short_id! {
    /// An operator: derived from its key.
    OperatorId, 16, "op"
}
short_id! {
    /// An invite. It follows from the invite's secret and does not tell it.
    InviteId, 8, "invite"
}
short_id! {
    /// An API token. It follows from the token's secret and does not tell it.
    TokenId, 8, "token"
}
short_id! {
    /// The key that made a signature. It only says which key to try, and is no proof of anything.
    KeyId, 8, "key"
}

impl NodeId {
    /// The id of the node with this identity key.
    pub fn of(identity: &PublicKey) -> Self {
        Self(short_hash(domain::NODE_ID, identity.as_bytes()))
    }
}

impl OperatorId {
    /// The id of the operator with this key.
    pub fn of(key: &PublicKey) -> Self {
        Self(short_hash(domain::OPERATOR_ID, key.as_bytes()))
    }
}

impl KeyId {
    /// The id of this signing key.
    pub fn of(key: &PublicKey) -> Self {
        Self(short_hash(domain::KEY_ID, key.as_bytes()))
    }
}

/// Implements a counter that stays an exact JSON integer.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(u64);

        impl $name {
            /// The highest value that a document can carry.
            pub const MAX: Self = Self(MAX_INTEGER);

            /// The counter at `value`, if that is an exact JSON integer.
            pub const fn new(value: u64) -> Option<Self> {
                if value <= MAX_INTEGER { Some(Self(value)) } else { None }
            }

            /// The bare number.
            pub const fn value(self) -> u64 {
                self.0
            }

            /// The value after this one, if there is one.
            pub const fn next(self) -> Option<Self> {
                Self::new(self.0 + 1)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = NotExact;

            fn try_from(value: u64) -> Result<Self, NotExact> {
                Self::new(value).ok_or(NotExact)
            }
        }

        impl From<$name> for u64 {
            fn from(counter: $name) -> Self {
                counter.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// A count that not every JSON reader would keep exact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a count beyond 2^53 - 1")]
pub struct NotExact;

counter! {
    /// How many times the root has signed a new genesis; the first is 1.
    Revision
}
impl Revision {
    /// The revision that founds a network.
    pub const FIRST: Self = Self(1);
}

counter! {
    /// The place of a document among those of its kind.
    Sequence
}
counter! {
    /// The number of a certificate; never used twice in a network.
    Serial
}
counter! {
    /// The number of an epoch.
    EpochNumber
}

/// Counters that are also a document's place among its kind.
macro_rules! place {
    ($($name:ident),*) => {
        $(impl $name {
            /// The place that it gives.
            pub const fn sequence(self) -> Sequence {
                Sequence(self.0)
            }
        })*
    };
}

place!(Revision, Serial, EpochNumber);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_text() {
        let id = NodeId::from_bytes([0xff; 16]);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        let stray_bits = format!("{}v", &text[..text.len() - 1]);
        assert!(stray_bits.parse::<NodeId>().is_err());
        assert!(text.to_uppercase().parse::<NodeId>().is_err());
        assert!(text.replace("node", "net").parse::<NodeId>().is_err());
        assert!(text[..text.len() - 1].parse::<NodeId>().is_err());
        assert!("node".parse::<NodeId>().is_err());
    }

    #[test]
    fn every_byte_value_survives_the_text_form() {
        for byte in 0..=255 {
            let id = KeyId::from_bytes([byte, 0, byte, 7, 9, byte, 1, byte]);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn counters_stop_where_json_integers_stop_being_exact() {
        assert_eq!(Sequence::new(1 << 53), None);
        assert_eq!(Sequence::MAX.next(), None);
        assert_eq!(Sequence::new(6).and_then(Sequence::next), Sequence::new(7));
    }
}
