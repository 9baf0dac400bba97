//! Proof that a newcomer holds the private halves of its keys, in one round.
//!
//! The identity key signs the request. For the other two, the authority draws an ephemeral X25519 key and a
//! secret that it seals to the sealing key; only who holds both private keys can compute the answer:
//!
//! ```text
//! HKDF-SHA-256(salt = nonce, ikm = X25519(ephemeral, WireGuard key) || sealed secret, info = domain || all three keys)
//! ```

use std::fmt;
use std::str::FromStr;

use hkdf::Hkdf;
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::bytes::{BytesError, base64_array, base64_encode, text_serde};
use crate::domain;
use crate::key::{PublicKey, SealingPublicKey, SealingSecretKey, WgPublicKey, WgSecretKey};
use crate::request::Nonce;
use crate::schedule::ScheduleError;
use crate::sealing::{self, SealError, SealedKey};

/// Why a challenge was not made or not answered.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PossessionError {
    /// The secret was not sealed to this key.
    #[error(transparent)]
    Seal(#[from] SealError),
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

impl NodeKeys {
    /// Draws a challenge, and the answer that the authority will expect.
    pub fn challenge(
        &self,
        rng: &mut impl CryptoRng,
    ) -> Result<(Challenge, Answer), PossessionError> {
        let nonce = Nonce::generate(rng);
        let ephemeral = WgSecretKey::generate(rng);
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let sealed = sealing::seal_bytes(&self.info(), &secret, &self.sealing, rng)?;
        let shared = ephemeral
            .shared_secret(&self.wireguard)
            .map_err(ScheduleError::from)?;
        let answer = self.answer_from(nonce, &shared, &secret);
        Ok((
            Challenge {
                nonce,
                ephemeral: ephemeral.public_key(),
                sealed,
            },
            answer,
        ))
    }

    /// Answers a challenge with the private halves of these keys.
    pub fn answer(
        &self,
        challenge: &Challenge,
        wireguard: &WgSecretKey,
        sealing: &SealingSecretKey,
    ) -> Result<Answer, PossessionError> {
        let secret = sealing::open_bytes(&self.info(), &challenge.sealed, sealing)?;
        let shared = wireguard
            .shared_secret(&challenge.ephemeral)
            .map_err(ScheduleError::from)?;
        Ok(self.answer_from(challenge.nonce, &shared, &secret))
    }

    fn answer_from(&self, nonce: Nonce, shared: &[u8; 32], secret: &[u8; 32]) -> Answer {
        let mut material = Zeroizing::new([0; 64]);
        material[..32].copy_from_slice(shared);
        material[32..].copy_from_slice(secret);
        let mut answer = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(nonce.as_bytes()), &*material)
            .expand(&self.info(), &mut *answer)
            .expect("32 bytes are within what HKDF-SHA-256 gives");
        Answer(answer)
    }

    fn info(&self) -> Vec<u8> {
        let hash = self.sealing.hash();
        let parts: [&[u8]; 4] = [
            domain::POSSESSION.as_bytes(),
            self.identity.as_bytes(),
            self.wireguard.as_bytes(),
            hash.as_bytes(),
        ];
        parts.concat()
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

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_encode(&*self.0))
    }
}

impl FromStr for Answer {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

text_serde!(Answer);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn only_the_holder_of_both_keys_can_answer() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (wireguard, sealing) = (
            WgSecretKey::generate(&mut rng),
            SealingSecretKey::generate(&mut rng),
        );
        let keys = NodeKeys {
            identity: SigningKey::generate(&mut rng).public_key(),
            wireguard: wireguard.public_key(),
            sealing: sealing.public_key().unwrap(),
        };
        let (challenge, expected) = keys.challenge(&mut rng).unwrap();
        assert_eq!(
            keys.answer(&challenge, &wireguard, &sealing),
            Ok(expected.clone())
        );

        let (other_wireguard, other_sealing) = (
            WgSecretKey::generate(&mut rng),
            SealingSecretKey::generate(&mut rng),
        );
        assert_ne!(
            keys.answer(&challenge, &other_wireguard, &sealing),
            Ok(expected.clone())
        );
        assert!(keys.answer(&challenge, &wireguard, &other_sealing).is_err());
        let stolen = NodeKeys {
            identity: SigningKey::generate(&mut rng).public_key(),
            ..keys.clone()
        };
        assert!(stolen.answer(&challenge, &wireguard, &sealing).is_err());
        let replayed = Challenge {
            nonce: Nonce::generate(&mut rng),
            ..challenge
        };
        assert_ne!(keys.answer(&replayed, &wireguard, &sealing), Ok(expected));
    }
}
