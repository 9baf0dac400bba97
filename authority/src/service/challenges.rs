//! Challenges that need no memory: whoever asks, however often, nothing is stored until it has answered.
//!
//! A challenge is drawn from a generator that is seeded by its nonce, the keys that it is about and a key of the
//! authority's own, so that it can be drawn again when the answer comes. The nonce holds the time, which ends it,
//! and is spent with the answer's effect.

use std::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _, TryCryptoRng, TryRng};
use tidegate_proto::{
    Answer, Challenge, Digest, KeyId, NodeKeys, Nonce, Origin, Place, Span, UnixTime,
};
use zeroize::Zeroizing;

use super::authority::rng;
use super::{Authority, Caller, EnrollError, SpentNonce};
use crate::store::{StoreError, Tx, nonce};

/// How long a challenge may be answered.
const ANSWERABLE: Span = Span::from_minutes(2);
/// How far another server's clock may be ahead of this one's.
const AHEAD: Span = Span::from_secs(5);
const PURPOSE: &str = "tidegate challenges v1";

/// Gives out `head` first, and then what its seed determines.
struct Script {
    head: Vec<u8>,
    rest: ChaCha20Rng,
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.rest.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.rest.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        if self.head.len() == bytes.len() {
            bytes.copy_from_slice(&std::mem::take(&mut self.head));
        } else {
            self.rest.fill_bytes(bytes);
        }
        Ok(())
    }
}

impl TryCryptoRng for Script {}

impl Authority {
    /// Asks a node to prove that it holds `keys`. Nothing is stored.
    pub async fn challenge(
        &self,
        keys: &NodeKeys,
        origin: &Origin,
    ) -> Result<Challenge, EnrollError> {
        let mut nonce = self.clock().now().as_millis().to_be_bytes().to_vec();
        let mut random = [0; 8];
        rng()
            .map_err(|error| StoreError::Failed(error.to_string()))?
            .fill_bytes(&mut random);
        nonce.extend_from_slice(&random);
        let (challenge, _) = self.draw(keys, origin, nonce)?;
        Ok(challenge)
    }

    fn draw(
        &self,
        keys: &NodeKeys,
        origin: &Origin,
        nonce: Vec<u8>,
    ) -> Result<(Challenge, Answer), EnrollError> {
        let own = self.0.at_rest.derived(PURPOSE);
        let sealing = keys.sealing.to_bytes();
        let parts: [&[u8]; 5] = [
            &own[..],
            &nonce,
            keys.identity.as_bytes(),
            keys.wireguard.as_bytes(),
            &sealing,
        ];
        let seed = Zeroizing::new(*Digest::of(&Zeroizing::new(parts.concat())).as_bytes());
        let mut script = Script {
            head: nonce,
            rest: ChaCha20Rng::from_seed(*seed),
        };
        let place = Place {
            network: self.network(),
            origin,
        };
        Ok(keys.challenge(place, &mut script)?)
    }

    /// Checks that `answer` is right and in time.
    pub(super) fn check_answer(
        &self,
        keys: &NodeKeys,
        nonce: &Nonce,
        answer: &Answer,
        caller: &Caller,
    ) -> Result<(), EnrollError> {
        let origin = caller.origin.as_ref().ok_or(EnrollError::NotPossessed)?;
        // Whoever signed the request is whom it is about.
        let signed_by_other = |spent: &SpentNonce| spent.key != KeyId::of(&keys.identity);
        if caller.nonce.as_ref().is_some_and(signed_by_other) {
            return Err(EnrollError::NotPossessed);
        }
        let mut millis = [0; 8];
        millis.copy_from_slice(&nonce.as_bytes()[..8]);
        let (asked, now) = (
            UnixTime::from_millis(u64::from_be_bytes(millis)),
            self.clock().now(),
        );
        if asked > now + AHEAD || now.since(asked) > ANSWERABLE {
            return Err(EnrollError::Challenge);
        }
        let (_, expected) = self.draw(keys, origin, nonce.as_bytes().to_vec())?;
        if expected == *answer {
            Ok(())
        } else {
            Err(EnrollError::NotPossessed)
        }
    }
}

/// Spends a challenge: it is answered once.
pub(super) async fn spend(
    tx: &mut Tx,
    keys: &NodeKeys,
    challenge: &Nonce,
) -> Result<(), EnrollError> {
    let expires = tx.now() + ANSWERABLE + ANSWERABLE;
    if nonce::spend(
        tx.connection(),
        KeyId::of(&keys.identity),
        challenge,
        expires,
    )
    .await?
    {
        Ok(())
    } else {
        Err(EnrollError::Challenge)
    }
}
