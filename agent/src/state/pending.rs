//! A join that is under way: everything that it takes to go on with it after a crash.

use serde::{Deserialize, Serialize};
use tidegate_proto::api::SecretText;
use tidegate_proto::{
    Genesis, InviteToken, NodeName, Origin, Prefix, SealingSecretKey, Signed, TlsTrust,
    WgSecretKey, base64_decode, base64_encode,
};
use zeroize::Zeroizing;

use super::{StateDirectory, StateError};

/// The file of a join that is under way.
pub const PENDING: &str = "pending";

/// What was asked for, and with which keys.
pub struct Pending {
    /// The authority that was asked.
    pub url: Origin,
    /// How its TLS key is recognised.
    pub tls: TlsTrust,
    /// The chain of geneses, from the one that was pinned to the one in force.
    pub chain: Vec<Signed<Genesis>>,
    /// The key of the tunnels.
    pub wireguard: WgSecretKey,
    /// The key for grants.
    pub sealing: SealingSecretKey,
    /// The name that was asked for.
    pub name: NodeName,
    /// The networks that were offered.
    pub routes: Vec<Prefix>,
    /// The right to be admitted at once, until it was used.
    pub token: Option<InviteToken>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    url: Origin,
    tls: TlsTrust,
    chain: Vec<String>,
    wireguard: SecretText,
    sealing: SecretText,
    name: NodeName,
    routes: Vec<Prefix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<InviteToken>,
}

impl Pending {
    pub(super) fn load(directory: &StateDirectory) -> Result<Option<Self>, StateError> {
        let Some(bytes) = directory.read(PENDING)? else {
            return Ok(None);
        };
        let path = directory.path().join(PENDING);
        let kept: Kept =
            serde_json::from_slice(&bytes).map_err(|error| StateError::damaged(&path, error))?;
        let damaged = || StateError::damaged(&path, "its keys or documents cannot be read");
        Self::open(kept).ok_or_else(damaged).map(Some)
    }

    fn open(kept: Kept) -> Option<Self> {
        let chain = kept.chain.iter().map(|text| document(text));
        Some(Self {
            chain: chain.collect::<Option<_>>()?,
            wireguard: WgSecretKey::from_bytes(secret(kept.wireguard.expose())?),
            sealing: SealingSecretKey::from_seed(secret(kept.sealing.expose())?),
            url: kept.url,
            tls: kept.tls,
            name: kept.name,
            routes: kept.routes,
            token: kept.token,
        })
    }

    pub(super) fn store(&self, directory: &StateDirectory) -> Result<(), StateError> {
        let text = |bytes: &[u8; 32]| SecretText::from(Zeroizing::new(base64_encode(bytes)));
        let kept = Kept {
            url: self.url.clone(),
            tls: self.tls.clone(),
            chain: self
                .chain
                .iter()
                .map(|genesis| base64_encode(&genesis.to_compact()))
                .collect(),
            wireguard: text(self.wireguard.expose()),
            sealing: text(self.sealing.expose()),
            name: self.name.clone(),
            routes: self.routes.clone(),
            token: self.token.clone(),
        };
        let path = directory.path().join(PENDING);
        let bytes = serde_json::to_vec(&kept).map_err(|error| StateError::damaged(&path, error))?;
        directory.replace(PENDING, &Zeroizing::new(bytes))
    }
}

fn document(text: &str) -> Option<Signed<Genesis>> {
    Signed::from_compact(&base64_decode(text).ok()?).ok()
}

fn secret(text: &str) -> Option<[u8; 32]> {
    let bytes = Zeroizing::new(base64_decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}
