//! The keys that this node keeps for good: who it is, and whom its tunnels end at.

use std::path::Path;

use rand_core::CryptoRng;
use tidegate_proto::pem::{
    signing_key_from_pem, signing_key_to_pem, wg_key_from_pem, wg_key_to_pem,
};
use tidegate_proto::{SigningKey, WgSecretKey};

use super::{StateDirectory, StateError};

const IDENTITY: &str = "identity.key";
const WIREGUARD: &str = "wireguard.key";

/// The node's own keys. They never leave the state directory.
pub struct Keys {
    /// Signs requests, records and receipts.
    pub identity: SigningKey,
    /// The key of the tunnels.
    pub wireguard: WgSecretKey,
}

impl Keys {
    /// New keys, not yet stored.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self {
            identity: SigningKey::generate(rng),
            wireguard: WgSecretKey::generate(rng),
        }
    }

    /// The stored keys, if this directory has them.
    ///
    /// # Errors
    /// When a file is missing, damaged or open to others.
    pub fn load(directory: &StateDirectory) -> Result<Option<Self>, StateError> {
        let (Some(identity), Some(wireguard)) =
            (directory.read(IDENTITY)?, directory.read(WIREGUARD)?)
        else {
            return Ok(None);
        };
        let place = |name: &str| directory.path().join(name);
        Ok(Some(Self {
            identity: signing_key_from_pem(text(&identity, &place(IDENTITY))?, None)
                .map_err(|error| StateError::damaged(&place(IDENTITY), error))?,
            wireguard: wg_key_from_pem(text(&wireguard, &place(WIREGUARD))?)
                .map_err(|error| StateError::damaged(&place(WIREGUARD), error))?,
        }))
    }

    /// Stores the keys.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn store(&self, directory: &StateDirectory) -> Result<(), StateError> {
        directory.replace(IDENTITY, signing_key_to_pem(&self.identity).as_bytes())?;
        directory.replace(WIREGUARD, wg_key_to_pem(&self.wireguard).as_bytes())
    }
}

fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, StateError> {
    std::str::from_utf8(bytes).map_err(|_| StateError::damaged(path, "not text"))
}
