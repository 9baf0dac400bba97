//! Signatures over HTTP requests.
//!
//! A signed request names the network, the authority's origin, method, target and body, so that what was
//! signed for one place and purpose is worth nothing at another. Its nonce is spent together with its effect.
//!
//! ```text
//! Authorization: Tidegate key=KEYID,time=MILLIS,nonce=BASE64,signature=BASE64
//! ```

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;

use crate::bytes::{BytesError, base64_array, base64_bytes, base64_encode};
use crate::domain;
use crate::id::{Digest, KeyId, NetworkId};
use crate::key::{PublicKey, SigningKey};
use crate::net::Origin;
use crate::time::{Span, UnixTime};

/// 16 random bytes that make a request, a command or a question about the time unique.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Nonce([u8; 16]);

base64_bytes!(Nonce, 16);

impl Nonce {
    /// A nonce that was kept or agreed upon.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// A new nonce.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        Self(nonce)
    }
}

impl FromStr for Nonce {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(Self)
    }
}

/// Why a signed request was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RequestError {
    /// Not the header of a signed request.
    #[error("the Authorization header is not that of a signed request")]
    Header,
    /// Signed by another key than the one it is checked with.
    #[error("signed by {0}, which is not known here")]
    OtherKey(KeyId),
    /// Signed at a time too far from now.
    #[error("signed at {signed}, and it is {now} here; correct the clock and sign again")]
    ClockSkew {
        /// The request's time.
        signed: UnixTime,
        /// The time at which it was checked.
        now: UnixTime,
    },
    /// Not this key's signature over this request.
    #[error("the request's signature does not verify")]
    BadSignature,
}

/// What is signed of an HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The network that the request is about.
    pub network: NetworkId,
    /// The authority that it is for.
    pub origin: &'a Origin,
    /// The method, in capitals.
    pub method: &'a str,
    /// Path and query, exactly as sent.
    pub target: &'a str,
    /// The body; empty if there is none.
    pub body: &'a [u8],
}

impl RequestParts<'_> {
    /// Signs the request.
    pub fn sign(&self, key: &SigningKey, now: UnixTime, nonce: Nonce) -> RequestSignature {
        let key_id = KeyId::of(&key.public_key());
        let bytes = key.sign(&self.signed_bytes(key_id, now, nonce));
        RequestSignature {
            key: key_id,
            time: now,
            nonce,
            bytes,
        }
    }

    /// The bytes that are signed: each field behind its length, so that none can run into the next.
    pub fn signed_bytes(&self, key: KeyId, time: UnixTime, nonce: Nonce) -> Vec<u8> {
        let body = Digest::of(self.body);
        let time = time.as_millis().to_be_bytes();
        let fields: [&[u8]; 9] = [
            domain::REQUEST.as_bytes(),
            self.network.as_bytes(),
            self.origin.as_str().as_bytes(),
            self.method.as_bytes(),
            self.target.as_bytes(),
            body.as_bytes(),
            key.as_bytes(),
            &time,
            nonce.as_bytes(),
        ];
        let mut bytes = Vec::with_capacity(256);
        for field in fields {
            bytes.extend_from_slice(&(field.len() as u32).to_be_bytes());
            bytes.extend_from_slice(field);
        }
        bytes
    }
}

/// The signature of a request, as its `Authorization` header carries it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestSignature {
    /// The key that is said to have signed.
    pub key: KeyId,
    /// When it was signed, by the signer's clock.
    pub time: UnixTime,
    /// Makes the request unique. Whoever acts on the request spends it in the same transaction.
    pub nonce: Nonce,
    bytes: [u8; 64],
}

impl RequestSignature {
    /// How far the signer's clock may be off.
    pub const MOST_SKEW: Span = Span::from_minutes(2);
    const SCHEME: &'static str = "Tidegate ";

    /// Checks the signature first and then the time, so that only the holder of the key learns of a skew.
    pub fn verify(
        &self,
        parts: &RequestParts<'_>,
        key: &PublicKey,
        now: UnixTime,
    ) -> Result<(), RequestError> {
        if KeyId::of(key) != self.key {
            return Err(RequestError::OtherKey(self.key));
        }
        if !key.verifies(
            &parts.signed_bytes(self.key, self.time, self.nonce),
            &self.bytes,
        ) {
            return Err(RequestError::BadSignature);
        }
        let skew = now.since(self.time).max(self.time.since(now));
        if skew > Self::MOST_SKEW {
            Err(RequestError::ClockSkew {
                signed: self.time,
                now,
            })
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for RequestSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, time, signature) = (
            Self::SCHEME,
            self.time.as_millis(),
            base64_encode(&self.bytes),
        );
        write!(
            f,
            "{scheme}key={},time={time},nonce={},signature={signature}",
            self.key, self.nonce
        )
    }
}

impl FromStr for RequestSignature {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        read_header(text)
            .filter(|read| read.to_string() == text)
            .ok_or(RequestError::Header)
    }
}

fn read_header(text: &str) -> Option<RequestSignature> {
    let mut fields = text.strip_prefix(RequestSignature::SCHEME)?.splitn(4, ',');
    let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
    let key = field("key")?.parse().ok()?;
    let time = UnixTime::from_millis(field("time")?.parse().ok()?);
    let nonce = field("nonce")?.parse().ok()?;
    let bytes = base64_array(field("signature")?).ok()?;
    Some(RequestSignature {
        key,
        time,
        nonce,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn a_signature_is_good_for_exactly_one_request() {
        let key = SigningKey::from_seed(&[1; 32]);
        let (here, elsewhere) = (origin("https://a.example"), origin("https://b.example"));
        let parts = RequestParts {
            network: NetworkId::from_bytes([1; 16]),
            origin: &here,
            method: "POST",
            target: "/v1/nodes?x=1",
            body: b"{}",
        };
        let now = UnixTime::from_millis(1_000_000);
        let signature = parts.sign(&key, now, Nonce([9; 16]));
        let verify = |parts: &RequestParts<'_>| signature.verify(parts, &key.public_key(), now);
        assert_eq!(verify(&parts), Ok(()));
        for other in [
            RequestParts {
                network: NetworkId::from_bytes([2; 16]),
                ..parts
            },
            RequestParts {
                origin: &elsewhere,
                ..parts
            },
            RequestParts {
                method: "PUT",
                ..parts
            },
            RequestParts {
                target: "/v1/nodes?x=2",
                ..parts
            },
            RequestParts {
                body: b"{ }",
                ..parts
            },
            RequestParts {
                method: "POST/v1",
                target: "/nodes?x=1",
                ..parts
            },
        ] {
            assert_eq!(verify(&other), Err(RequestError::BadSignature));
        }
        let stranger = SigningKey::from_seed(&[2; 32]).public_key();
        assert_eq!(
            signature.verify(&parts, &stranger, now),
            Err(RequestError::OtherKey(signature.key))
        );
        let other_nonce = RequestSignature {
            nonce: Nonce([8; 16]),
            ..signature
        };
        assert_eq!(
            other_nonce.verify(&parts, &key.public_key(), now),
            Err(RequestError::BadSignature)
        );
    }

    #[test]
    fn a_clock_may_be_off_by_two_minutes_either_way() {
        let key = SigningKey::from_seed(&[1; 32]);
        let origin = origin("https://a.example");
        let parts = RequestParts {
            network: NetworkId::from_bytes([1; 16]),
            origin: &origin,
            method: "GET",
            target: "/",
            body: b"",
        };
        let at = |millis: u64| UnixTime::from_millis(10_000_000 + millis);
        let signature = parts.sign(&key, at(0), Nonce([9; 16]));
        let verify = |now| signature.verify(&parts, &key.public_key(), now);
        assert_eq!(verify(at(120_000)), Ok(()));
        assert_eq!(
            verify(at(120_001)),
            Err(RequestError::ClockSkew {
                signed: at(0),
                now: at(120_001)
            })
        );
        let before = UnixTime::from_millis(10_000_000 - 120_001);
        assert_eq!(
            verify(before),
            Err(RequestError::ClockSkew {
                signed: at(0),
                now: before
            })
        );
    }

    #[test]
    fn a_header_has_one_text() {
        let key = SigningKey::from_seed(&[1; 32]);
        let origin = origin("https://a.example");
        let parts = RequestParts {
            network: NetworkId::from_bytes([1; 16]),
            origin: &origin,
            method: "GET",
            target: "/",
            body: b"",
        };
        let signature = parts.sign(&key, UnixTime::from_millis(77), Nonce([9; 16]));
        let text = signature.to_string();
        assert_eq!(text.parse(), Ok(signature));
        for bad in [
            text.replace("time=77", "time=077"),
            text.replace("time=77", "time=+77"),
            text.replace(",nonce", ", nonce"),
            text.replace("Tidegate", "tidegate"),
            format!("{text},x=1"),
            text[..text.len() - 1].to_owned(),
            String::new(),
        ] {
            assert_eq!(
                bad.parse::<RequestSignature>(),
                Err(RequestError::Header),
                "{bad}"
            );
        }
    }
}
