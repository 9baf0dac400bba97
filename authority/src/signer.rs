//! The keys that never touch the database: the authority's signing keys, and the key under which epoch secrets rest.

use std::fmt;
use std::sync::Arc;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use tidegate_proto::{
    Authority, Document, EpochNumber, EpochSecret, Genesis, NetworkId, SignError, Signed,
    SigningKey,
};
use zeroize::Zeroizing;

const AT_REST: &str = "tidegate epoch secret at rest v1";
const NONCE: usize = 24;

/// Why keys do not serve.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignerError {
    /// Fewer of the genesis' authority keys than must sign.
    #[error(
        "{have} of the {need} authority keys that must sign are here; put the others' key files beside them"
    )]
    BelowThreshold {
        /// How many are here.
        have: usize,
        /// How many must sign.
        need: usize,
    },
    /// A stored secret that this key did not encrypt.
    #[error(
        "a stored epoch secret does not open; the at-rest key is not the database's, restore both from one backup"
    )]
    NotAtRest,
}

/// Encrypts epoch secrets for the database.
pub struct AtRestKey(Zeroizing<[u8; 32]>);

impl AtRestKey {
    /// A new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// A key that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the key's file.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key for another purpose, which does not tell this one.
    pub(crate) fn derived(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let material = Zeroizing::new([purpose.as_bytes(), &[0], &self.0[..]].concat());
        Zeroizing::new(*tidegate_proto::Digest::of(&material).as_bytes())
    }

    pub(crate) fn encrypt(
        &self,
        place: SecretPlace,
        secret: &EpochSecret,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, SignerError> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let payload = Payload {
            msg: secret.expose(),
            aad: &place.bytes(),
        };
        let sealed = self.cipher().encrypt(&XNonce::from(nonce), payload);
        Ok([&nonce[..], &sealed.map_err(|_| SignerError::NotAtRest)?].concat())
    }

    pub(crate) fn decrypt(
        &self,
        place: SecretPlace,
        stored: &[u8],
    ) -> Result<EpochSecret, SignerError> {
        let (nonce, sealed) = stored
            .split_first_chunk::<NONCE>()
            .ok_or(SignerError::NotAtRest)?;
        let payload = Payload {
            msg: sealed,
            aad: &place.bytes(),
        };
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), payload);
        let opened = Zeroizing::new(opened.map_err(|_| SignerError::NotAtRest)?);
        let bytes = opened
            .as_slice()
            .try_into()
            .map_err(|_| SignerError::NotAtRest)?;
        Ok(EpochSecret::from_bytes(bytes))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }
}

/// Where a secret belongs; moved elsewhere in the database, it does not open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretPlace {
    pub(crate) network: NetworkId,
    pub(crate) epoch: EpochNumber,
    pub(crate) redraw: u32,
}

impl SecretPlace {
    fn bytes(&self) -> Vec<u8> {
        let (epoch, redraw) = (self.epoch.value().to_be_bytes(), self.redraw.to_be_bytes());
        let parts: [&[u8]; 4] = [AT_REST.as_bytes(), self.network.as_bytes(), &epoch, &redraw];
        parts.concat()
    }
}

/// The authority's keys of one genesis revision, as many as must sign.
pub struct Signer(Vec<Arc<SigningKey>>);

impl Signer {
    /// The keys among `keys` that `genesis` names, if they meet its threshold.
    pub fn new(keys: &[Arc<SigningKey>], genesis: &Genesis) -> Result<Self, SignerError> {
        let need = genesis.authority.threshold as usize;
        let named = |key: &&Arc<SigningKey>| genesis.authority.keys.contains(&key.public_key());
        let mut chosen: Vec<Arc<SigningKey>> = keys.iter().filter(named).cloned().collect();
        chosen.sort_by_key(|key| key.public_key());
        chosen.dedup_by_key(|key| key.public_key());
        let have = chosen.len();
        chosen.truncate(need);
        if have < need {
            Err(SignerError::BelowThreshold { have, need })
        } else {
            Ok(Self(chosen))
        }
    }

    /// Signs for the authority.
    pub fn sign<T: Document<Signer = Authority>>(
        &self,
        document: &T,
    ) -> Result<Signed<T>, SignError> {
        Signed::sign(
            document,
            &self.0.iter().map(Arc::as_ref).collect::<Vec<_>>(),
        )
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys)", self.0.len())
    }
}

impl fmt::Debug for AtRestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AtRestKey")
    }
}
