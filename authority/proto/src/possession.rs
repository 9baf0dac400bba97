//! Proof that a newcomer holds the private halves of its keys, in one round.
//!
//! The identity key signs the request. For the other two, the authority draws an ephemeral X25519 key and a
//! secret that it seals to the sealing key; only who holds both private keys can compute the answer:
//!
//! ```text
//! HKDF-SHA-256(salt = nonce, ikm = X25519(ephemeral, WireGuard key) || sealed secret, info = the purpose)
//! ```
//!
//! The purpose names the network, the authority's origin, the three keys and the ephemeral one, so that one authority
//! cannot have its challenge answered through another.

use std::fmt;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::bytes::{base64_array, base64_encode};
use crate::domain;
use crate::id::NetworkId;
use crate::key::{PublicKey, SealingPublicKey, SealingSecretKey, WgPublicKey, WgSecretKey};
use crate::net::Origin;
use crate::request::Nonce;
use crate::schedule::ScheduleError;
use crate::sealing::{self, SealError, SealedKey};

/// Why a challenge was not made or not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PossessionError {
    /// The secret was not sealed to this key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A key that others answer for as well.
    #[error("a key is not of prime order; make new keys")]
    Twin,
    /// The keys share no secret.
    #[error(transparent)]
    Key(#[from] ScheduleError),
}

/// The keys that a node wants to be known by.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeKeys {
    /// The key that it signs with.
    pub identity: PublicKey,
    /// The key of its tunnels.
    pub wireguard: WgPublicKey,
    /// The key for its grants.
    pub sealing: SealingPublicKey,
}

/// What the authority asks of a node that names keys.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Challenge {
    /// Makes the challenge unique; the answer names it.
    pub nonce: Nonce,
    /// The authority's half of the exchange with the WireGuard key.
    pub ephemeral: WgPublicKey,
    /// A secret, sealed to the sealing key.
    pub sealed: SealedKey,
}

/// What only the holder of the private keys can say.
#[derive(Clone)]
pub struct Answer(Zeroizing<[u8; 32]>);

/// Where a challenge is asked and answered.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The network that the node wants to be in.
    pub network: NetworkId,
    /// The authority that it speaks to.
    pub origin: &'a Origin,
}

impl NodeKeys {
    /// Draws a challenge, and the answer that the authority will expect. Keys that have twins are refused: a ban on one
    /// would not be a ban on the other.
    pub fn challenge(
        &self,
        place: Place<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Challenge, Answer), PossessionError> {
        if !self.identity.is_of_prime_order() || !self.wireguard.is_of_prime_order() {
            return Err(PossessionError::Twin);
        }
        let nonce = Nonce::generate(rng);
        let ephemeral = WgSecretKey::generate(rng);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let purpose = self.purpose(place, &ephemeral.public_key());
        let sealed = sealing::seal_bytes(&purpose, &secret, &self.sealing, rng)?;
        let shared = ephemeral
            .shared_secret(&self.wireguard)
            .map_err(ScheduleError::from)?;
        let ephemeral = ephemeral.public_key();
        let answer = Answer::compute(nonce, &shared, &secret, &purpose);
        Ok((
            Challenge {
                nonce,
                ephemeral,
                sealed,
            },
            answer,
        ))
    }

    /// Answers a challenge of the authority at `place` with the private halves of these keys.
    pub fn answer(
        &self,
        place: Place<'_>,
        challenge: &Challenge,
        wireguard: &WgSecretKey,
        sealing: &SealingSecretKey,
    ) -> Result<Answer, PossessionError> {
        let purpose = self.purpose(place, &challenge.ephemeral);
        let secret = sealing::open_bytes(&purpose, &challenge.sealed, sealing)?;
        let shared = wireguard
            .shared_secret(&challenge.ephemeral)
            .map_err(ScheduleError::from)?;
        Ok(Answer::compute(challenge.nonce, &shared, &secret, &purpose))
    }

    /// Fields of fixed length, and last the only one that has none.
    fn purpose(&self, place: Place<'_>, ephemeral: &WgPublicKey) -> Vec<u8> {
        let hash = self.sealing.hash();
        let parts: [&[u8]; 7] = [
            domain::POSSESSION.as_bytes(),
            place.network.as_bytes(),
            self.identity.as_bytes(),
            self.wireguard.as_bytes(),
            hash.as_bytes(),
            ephemeral.as_bytes(),
            place.origin.as_str().as_bytes(),
        ];
        parts.concat()
    }
}

impl Answer {
    fn compute(nonce: Nonce, shared: &[u8; 32], secret: &[u8; 32], purpose: &[u8]) -> Self {
        let mut material = Zeroizing::new([0; 64]);
        material[..32].copy_from_slice(shared);
        material[32..].copy_from_slice(secret);
        let mut answer = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(nonce.as_bytes()), &*material)
            .expand(purpose, &mut *answer)
            .expect("32 bytes are within what HKDF-SHA-256 gives");
        Self(answer)
    }
}

impl PartialEq for Answer {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Answer {}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(base64_encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Answer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = base64_array(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const NETWORK: NetworkId = NetworkId::from_bytes([1; 16]);

    fn keys(rng: &mut ChaCha20Rng) -> (NodeKeys, WgSecretKey, SealingSecretKey) {
        let (wireguard, sealing) = (WgSecretKey::generate(rng), SealingSecretKey::generate(rng));
        let keys = NodeKeys {
            identity: SigningKey::generate(rng).public_key(),
            wireguard: wireguard.public_key(),
            sealing: sealing.public_key().unwrap(),
        };
        (keys, wireguard, sealing)
    }

    #[test]
    fn only_the_holder_of_both_keys_can_answer() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let origin = "https://a.example".parse().unwrap();
        let place = Place {
            network: NETWORK,
            origin: &origin,
        };
        let ((keys, wireguard, sealing), (other, other_wireguard, other_sealing)) =
            (keys(rng), keys(rng));
        let (challenge, expected) = keys.challenge(place, rng).unwrap();
        let answered = |keys: &NodeKeys, challenge, wireguard, sealing| {
            keys.answer(place, challenge, wireguard, sealing) == Ok(expected.clone())
        };
        assert!(answered(&keys, &challenge, &wireguard, &sealing));
        assert!(!answered(&keys, &challenge, &other_wireguard, &sealing));
        assert!(!answered(&keys, &challenge, &wireguard, &other_sealing));
        let stolen = NodeKeys {
            identity: other.identity,
            ..keys.clone()
        };
        assert!(!answered(&stolen, &challenge, &wireguard, &sealing));
        let replayed = Challenge {
            nonce: Nonce::generate(rng),
            ..challenge.clone()
        };
        assert!(!answered(&keys, &replayed, &wireguard, &sealing));
    }

    #[test]
    fn a_challenge_is_not_answered_through_another_authority_or_network() {
        let rng = &mut ChaCha20Rng::seed_from_u64(1);
        let (here, elsewhere) = (
            "https://a.example".parse().unwrap(),
            "https://b.example".parse().unwrap(),
        );
        let place = Place {
            network: NETWORK,
            origin: &here,
        };
        let (keys, wireguard, sealing) = keys(rng);
        let (challenge, _) = keys.challenge(place, rng).unwrap();
        let relayed = Place {
            origin: &elsewhere,
            ..place
        };
        let foreign = Place {
            network: NetworkId::from_bytes([2; 16]),
            ..place
        };
        for place in [relayed, foreign] {
            let refused = keys.answer(place, &challenge, &wireguard, &sealing);
            assert_eq!(refused, Err(SealError::Unopenable.into()));
        }
    }
}
