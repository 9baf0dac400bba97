//! How the authority's TLS key is recognised.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bounded::BoundedSet;
use crate::bytes::{BytesError, base64_array, base64_bytes};
use crate::id::Digest;

/// SHA-256 of a TLS certificate's SubjectPublicKeyInfo.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TlsPin([u8; 32]);

base64_bytes!(TlsPin, 32);

impl TlsPin {
    /// The pin of a key, from its DER-encoded SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> Self {
        Self(*Digest::of(spki).as_bytes())
    }

    /// A pin that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for TlsPin {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(Self)
    }
}

/// How a client knows that it speaks to the authority.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsTrust {
    /// One of these keys: the one in use and a spare one.
    Pins(BoundedSet<TlsPin, 2>),
    /// Any certificate for the name that the system's roots vouch for.
    SystemRoots,
}
