//! Grant keys on their way to one node: HPKE over X-Wing, bound to whom and what they are for.

use std::fmt;
use std::str::FromStr;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open,
    single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::bytes::{BytesError, base64_decode, base64_encode, text_serde};
use crate::domain;
use crate::id::{EpochNumber, NetworkId, NodeId, Serial};
use crate::key::{SealingKeyHash, SealingPublicKey, SealingSecretKey};
use crate::schedule::GrantKey;

/// Why a grant key was not sealed or not opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SealError {
    /// The key at hand is not the one that the certificate names.
    #[error("the sealing key is not the one in the certificate")]
    OtherKey,
    /// Not sealed to this key, or not for this network, node, certificate and epoch.
    #[error("the grant cannot be opened: it is sealed to another key or for another purpose")]
    Unopenable,
    /// The key cannot be sealed to.
    #[error("nothing can be sealed to this key")]
    Unsealable,
}

/// What a sealed grant key is bound to. It opens for nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SealContext {
    /// The network.
    pub network: NetworkId,
    /// Who may open it.
    pub node: NodeId,
    /// The certificate under which it was given.
    pub serial: Serial,
    /// The epoch that it is the key to.
    pub epoch: EpochNumber,
    /// How often the epoch's secret had been drawn again.
    pub redraw: u32,
    /// The hash of the key that it is sealed to, as in the certificate.
    pub sealing: SealingKeyHash,
}

impl SealContext {
    /// Seals `key`, after checking that `recipient` is the key of the certificate (THREATS M3).
    pub fn seal(
        &self,
        key: &GrantKey,
        recipient: &SealingPublicKey,
        rng: &mut impl CryptoRng,
    ) -> Result<SealedKey, SealError> {
        if recipient.hash() != self.sealing {
            return Err(SealError::OtherKey);
        }
        seal_bytes(&self.info(), key.expose(), recipient, rng)
    }

    /// Opens `sealed` with the node's secret key.
    pub fn open(
        &self,
        sealed: &SealedKey,
        secret: &SealingSecretKey,
    ) -> Result<GrantKey, SealError> {
        let public = secret.public_key().map_err(|_| SealError::OtherKey)?;
        if public.hash() != self.sealing {
            return Err(SealError::OtherKey);
        }
        open_bytes(&self.info(), sealed, secret).map(GrantKey)
    }

    /// HPKE's `info`: every field at a fixed length, behind the domain string.
    fn info(&self) -> Vec<u8> {
        let mut info = Vec::with_capacity(128);
        info.extend_from_slice(domain::SEAL.as_bytes());
        info.extend_from_slice(self.network.as_bytes());
        info.extend_from_slice(self.node.as_bytes());
        info.extend_from_slice(&self.serial.value().to_be_bytes());
        info.extend_from_slice(&self.epoch.value().to_be_bytes());
        info.extend_from_slice(&self.redraw.to_be_bytes());
        info.extend_from_slice(self.sealing.as_bytes());
        info
    }
}

/// Seals 32 bytes to `recipient`, for the purpose that `info` describes.
pub(crate) fn seal_bytes(
    info: &[u8],
    bytes: &[u8; 32],
    recipient: &SealingPublicKey,
    rng: &mut impl CryptoRng,
) -> Result<SealedKey, SealError> {
    let sealed = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &recipient.0,
        info,
        bytes,
        &[],
        rng,
    );
    let (encapsulated, ciphertext) = sealed.map_err(|_| SealError::Unsealable)?;
    let bytes = [encapsulated.to_bytes().as_slice(), &ciphertext].concat();
    SealedKey::from_bytes(&bytes).map_err(|_| SealError::Unsealable)
}

/// Opens what was sealed to `secret` for the purpose that `info` describes.
pub(crate) fn open_bytes(
    info: &[u8],
    sealed: &SealedKey,
    secret: &SealingSecretKey,
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let private = secret.private().map_err(|_| SealError::OtherKey)?;
    let (encapsulated, ciphertext) = sealed.0.split_at(SealedKey::ENCAPSULATED);
    let encapsulated =
        <XWing as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| SealError::Unopenable)?;
    let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        ciphertext,
        &[],
    );
    let opened = Zeroizing::new(opened.map_err(|_| SealError::Unopenable)?);
    let bytes = opened
        .as_slice()
        .try_into()
        .map_err(|_| SealError::Unopenable)?;
    Ok(Zeroizing::new(bytes))
}

/// A secret of 32 bytes, such as a grant key, that only one node can open: the encapsulated key and the ciphertext.
#[derive(Clone, Eq, PartialEq)]
pub struct SealedKey(Box<[u8; SealedKey::LENGTH]>);

impl SealedKey {
    /// Length of what X-Wing encapsulates to.
    const ENCAPSULATED: usize = 1120;
    /// The value's length in bytes: encapsulated key, grant key, authentication tag.
    pub const LENGTH: usize = Self::ENCAPSULATED + 32 + 16;

    /// A sealed key that was kept or received.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BytesError> {
        let boxed: Box<[u8]> = bytes.into();
        boxed.try_into().map(Self).map_err(|_| BytesError::Length {
            want: Self::LENGTH,
            got: bytes.len(),
        })
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0[..]
    }
}

impl fmt::Display for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_encode(&self.0[..]))
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedKey")
    }
}

impl FromStr for SealedKey {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        Self::from_bytes(&base64_decode(text)?)
    }
}

text_serde!(SealedKey);
