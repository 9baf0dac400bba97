//! The files that a member begins with.

use serde::{Deserialize, Serialize};
use tidegate_proto::{
    Certificate, Genesis, SealingSecretKey, Signed, SuccessionError, TrustChain, WgSecretKey,
};

use crate::file::{FileName, Files};
use crate::kept::{self, FileError, Kept};
use crate::keys::{Keys, Pair};

/// Why there is no member.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Not a member of any network yet.
    #[error("there is no file '{0}': this host is in no network; join one with `tidegate join`")]
    Missing(FileName),
    /// A file without which nothing can be judged.
    #[error("the file '{0}' cannot be used: {1}")]
    File(FileName, FileError),
    /// A chain that does not hold together.
    #[error("the genesis chain cannot be used: {0}; leave the network and join it again")]
    Chain(#[from] SuccessionError),
    /// Keys that cannot be.
    #[error("the file 'keys' holds no keys that can be used; leave the network and join it again")]
    Keys,
}

/// What a node has when it was just admitted.
pub struct Founding<'a> {
    /// The chain, from the genesis that was pinned to the one in force.
    pub chain: &'a [Signed<Genesis>],
    /// The certificate that the authority gave.
    pub certificate: &'a Signed<Certificate>,
    /// The key of its tunnels.
    pub wireguard: &'a WgSecretKey,
    /// The key for its grants.
    pub sealing: &'a SealingSecretKey,
}

/// How the chain lies in its file: the revisions in order, and what was shown against them.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptChain {
    pub(crate) revisions: Vec<Kept<Genesis>>,
    pub(crate) siblings: Vec<Kept<Genesis>>,
}

/// How the own certificate lies in its file.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptCertificate {
    pub(crate) certificate: Kept<Certificate>,
}

impl Founding<'_> {
    /// The files to write before the first [`Member::restore`](crate::Member::restore). `None` if the sealing key is no key.
    pub fn files(&self) -> Option<Files> {
        let wireguard = WgSecretKey::from_bytes(*self.wireguard.expose());
        let sealing = SealingSecretKey::from_seed(*self.sealing.expose());
        let keys = Keys::new(Pair::new(wireguard, sealing)?);
        let chain = KeptChain {
            revisions: self.chain.iter().cloned().map(Kept).collect(),
            siblings: Vec::new(),
        };
        let certificate = KeptCertificate {
            certificate: Kept(self.certificate.clone()),
        };
        let files = [
            (FileName::Genesis, kept::write(FileName::Genesis, &chain)),
            (FileName::Keys, kept::write(FileName::Keys, &keys.keep())),
            (
                FileName::Certificate,
                kept::write(FileName::Certificate, &certificate),
            ),
        ];
        Some(files.into_iter().collect())
    }
}

/// The chain that the file holds.
pub(super) fn chain(files: &Files) -> Result<(TrustChain, KeptChain), RestoreError> {
    let kept: KeptChain = needed(files, FileName::Genesis)?;
    let (first, rest) = kept
        .revisions
        .split_first()
        .ok_or(RestoreError::Missing(FileName::Genesis))?;
    let mut chain = TrustChain::trusting(&first.0)?;
    for next in rest {
        chain.succeed(&next.0)?;
    }
    for sibling in &kept.siblings {
        // It stops all trust, which is what it is kept for.
        let _ = chain.succeed(&sibling.0);
    }
    Ok((chain, kept))
}

/// The keys that the file holds.
pub(super) fn keys(files: &Files) -> Result<Keys, RestoreError> {
    Keys::open(&needed(files, FileName::Keys)?).ok_or(RestoreError::Keys)
}

fn needed<T: serde::de::DeserializeOwned>(
    files: &Files,
    name: FileName,
) -> Result<T, RestoreError> {
    let bytes = files.get(&name).ok_or(RestoreError::Missing(name))?;
    kept::read(name, bytes).map_err(|error| RestoreError::File(name, error))
}
