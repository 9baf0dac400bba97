//! Invites: one string that holds all a newcomer needs, so that joining trusts nothing on first use.
//!
//! ```text
//! tidegate-invite-1- base64url( trust │ pins × 32 │ genesis hash 32 │ token 16 │ URL │ checksum 4 )
//! ```
//!
//! `trust` is the number of TLS pins, or 255 for the system's roots.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::bounded::BoundedSet;
use crate::bytes::{base64_array, base64_encode};
use crate::domain;
use crate::id::{Digest, GenesisHash};
use crate::net::{Origin, TlsPin, TlsTrust};

const PREFIX: &str = "tidegate-invite-1-";
const CHECKSUM: usize = 4;
const SYSTEM_ROOTS: u8 = 255;
/// Longer than any invite with two pins and the longest URL.
const LONGEST: usize = 640;

/// Why a text is no invite.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InviteError {
    /// Not an invite of this version.
    #[error("this is no invite; one begins with '{PREFIX}' and is a single word")]
    Form,
    /// Damaged on the way.
    #[error("the invite is damaged; copy it again, whole")]
    Damaged,
}

/// The secret of an invite. Erased when dropped, and never printed but within the invite itself.
#[derive(Clone)]
pub struct InviteToken(Zeroizing<[u8; 16]>);

impl InviteToken {
    /// A new token.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut token = Zeroizing::new([0; 16]);
        rng.fill_bytes(&mut *token);
        Self(token)
    }

    /// A token that came in an enrolment.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for an enrolment.
    pub fn expose(&self) -> &[u8; 16] {
        &self.0
    }

    /// What the authority keeps of it.
    pub fn hash(&self) -> Digest {
        let hash = Sha256::new()
            .chain_update(domain::INVITE_TOKEN)
            .chain_update([0]);
        Digest::from_bytes(hash.chain_update(*self.0).finalize().into())
    }
}

impl PartialEq for InviteToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for InviteToken {}

impl fmt::Debug for InviteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InviteToken")
    }
}

impl Serialize for InviteToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(base64_encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for InviteToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        base64_array(&text)
            .map(Self::from_bytes)
            .map_err(serde::de::Error::custom)
    }
}

/// Where to join, how to recognise the place, what to trust, and the right to come in.
#[derive(Clone)]
pub struct Invite {
    /// The authority.
    pub url: Origin,
    /// How its TLS key is recognised.
    pub tls: TlsTrust,
    /// The genesis that is trusted; later ones follow from it.
    pub genesis: GenesisHash,
    /// What admits.
    pub token: InviteToken,
}

impl Invite {
    /// The invite as one word. Whoever reads it can join: show it only to whom it is for.
    pub fn expose(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST));
        match &self.tls {
            TlsTrust::Pins(pins) => {
                bytes.push(pins.len() as u8); // at most two
                pins.iter()
                    .for_each(|pin| bytes.extend_from_slice(pin.as_bytes()));
            }
            TlsTrust::SystemRoots => bytes.push(SYSTEM_ROOTS),
        }
        bytes.extend_from_slice(self.genesis.as_bytes());
        bytes.extend_from_slice(self.token.expose());
        bytes.extend_from_slice(self.url.as_str().as_bytes());
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let mut text = Zeroizing::new(String::with_capacity(2 * LONGEST));
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(&*bytes, &mut text);
        text
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    fn from_str(text: &str) -> Result<Self, InviteError> {
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .filter(|rest| rest.len() <= 2 * LONGEST)
            .ok_or(InviteError::Form)?;
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(encoded)
                .map_err(|_| InviteError::Damaged)?,
        );
        let (body, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(InviteError::Damaged)?;
        if checksum(body) != *sum {
            return Err(InviteError::Damaged);
        }
        read_body(body).ok_or(InviteError::Damaged)
    }
}

fn read_body(body: &[u8]) -> Option<Invite> {
    let (&trust, rest) = body.split_first()?;
    let (tls, rest) = match trust {
        SYSTEM_ROOTS => (TlsTrust::SystemRoots, rest),
        count => read_pins(count, rest)?,
    };
    let (genesis, rest) = rest.split_first_chunk::<32>()?;
    let (token, url) = rest.split_first_chunk::<16>()?;
    Some(Invite {
        url: std::str::from_utf8(url).ok()?.parse().ok()?,
        tls,
        genesis: Digest::from_bytes(*genesis),
        token: InviteToken::from_bytes(*token),
    })
}

/// As many pins, in rising order, and what follows them.
fn read_pins(count: u8, mut rest: &[u8]) -> Option<(TlsTrust, &[u8])> {
    let mut pins = Vec::new();
    for _ in 0..count.min(3) {
        let (pin, after) = rest.split_first_chunk::<{ TlsPin::LENGTH }>()?;
        pins.push(TlsPin::from_bytes(*pin));
        rest = after;
    }
    if count > 2 || !pins.is_sorted_by(|a, b| a < b) {
        return None;
    }
    Some((TlsTrust::Pins(BoundedSet::new(pins).ok()?), rest))
}

/// Finds typing errors, not attackers.
fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let hash = Sha256::new()
        .chain_update(domain::INVITE)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invite({}, genesis {})", self.url, self.genesis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(pins: &[u8]) -> Invite {
        let pins: Vec<_> = pins
            .iter()
            .map(|&byte| TlsPin::from_bytes([byte; 32]))
            .collect();
        Invite {
            url: "https://authority.example.org:7443".parse().unwrap(),
            tls: if pins.is_empty() {
                TlsTrust::SystemRoots
            } else {
                TlsTrust::Pins(BoundedSet::new(pins).unwrap())
            },
            genesis: Digest::of(b"genesis"),
            token: InviteToken::from_bytes([7; 16]),
        }
    }

    #[test]
    fn an_invite_survives_being_pasted() {
        for pins in [&[][..], &[1], &[1, 2]] {
            let sent = invite(pins);
            let text = sent.expose();
            let got: Invite = format!("  {}\n", *text).parse().unwrap();
            assert_eq!(
                (&got.url, &got.tls, got.genesis),
                (&sent.url, &sent.tls, sent.genesis)
            );
            assert_eq!(got.token.expose(), sent.token.expose());
            assert!(text.len() < 260, "{}", text.len());
        }
    }

    #[test]
    fn every_changed_or_missing_character_is_noticed() {
        let text = invite(&[1]).expose();
        for at in 0..text.len() {
            let mut damaged = text.as_bytes().to_vec();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(damaged.parse::<Invite>().is_err(), "{at}");
            assert!(text[..at].parse::<Invite>().is_err(), "{at}");
        }
    }

    #[test]
    fn neither_token_nor_invite_prints_its_secret() {
        let invite = invite(&[1]);
        assert_eq!(format!("{:?}", invite.token), "InviteToken");
        let shown = format!("Invite({}, genesis {})", invite.url, invite.genesis);
        assert_eq!(format!("{invite:?}"), shown);
    }

    #[test]
    fn no_pin_is_not_any_certificate() {
        let nobody = Invite {
            tls: TlsTrust::Pins(BoundedSet::default()),
            ..invite(&[])
        };
        let read: Invite = nobody.expose().parse().unwrap();
        assert_eq!(read.tls, nobody.tls);
        assert_ne!(read.tls, TlsTrust::SystemRoots);
    }
}
