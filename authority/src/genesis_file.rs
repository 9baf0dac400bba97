//! Genesis files: one envelope each, and how several of them follow one another.

use std::path::Path;

use tidegate_proto::{
    EnvelopeError, Genesis, GenesisHash, Revision, Signed, SuccessionError, TrustChain,
};

use crate::file::{self, FileError, Secrecy, shown};

/// More than any genesis with all its signatures needs.
const LONGEST: usize = 128 * 1024;

/// Why a file gave no genesis.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GenesisFileError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{path} holds no genesis: {reason}; fetch the file again from where it was signed")]
    Envelope {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: EnvelopeError,
    },
}

/// Why genesis documents are not one trusted chain.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// A document that is broken, or does not follow the one before it.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// An older document after a newer one.
    #[error(
        "revision {got} is older than revision {have}, which has replaced it; use the newest genesis, and ask who offers the old one why"
    )]
    RolledBack {
        /// The newest revision before it.
        have: Revision,
        /// The revision that came.
        got: Revision,
    },
    /// None of the documents has the hash that is trusted.
    #[error(
        "the trusted hash is {want}, and the genesis hashes to {got}; fetch the right file, or ask again for the hash by another way"
    )]
    OtherHash {
        /// The hash that is trusted.
        want: GenesisHash,
        /// The hash of the last document.
        got: GenesisHash,
    },
}

/// Reads a signed genesis. Nothing about it has been verified.
pub fn read_genesis(path: &Path) -> Result<Signed<Genesis>, GenesisFileError> {
    let bytes = file::read(path, LONGEST, Secrecy::Public)?;
    Signed::from_json(&bytes).map_err(|reason| GenesisFileError::Envelope {
        path: shown(path),
        reason,
    })
}

/// Follows the chain from `earlier`, the oldest first, to `last`. One of them must have the hash `trusted`, if
/// there is one; without it, the chain only holds together, and the first of it is taken on its word.
pub fn follow(
    earlier: &[Signed<Genesis>],
    last: &Signed<Genesis>,
    trusted: Option<GenesisHash>,
) -> Result<TrustChain, ChainError> {
    let mut documents = earlier.iter().chain([last]);
    let mut chain = TrustChain::trusting(documents.next().unwrap_or(last))?;
    for document in documents {
        append(&mut chain, document)?;
    }
    let mut hashes = earlier.iter().chain([last]).map(Signed::digest);
    match trusted {
        Some(want) if !hashes.any(|hash| hash == want) => Err(ChainError::OtherHash {
            want,
            got: last.digest(),
        }),
        _ => Ok(chain),
    }
}

fn append(chain: &mut TrustChain, document: &Signed<Genesis>) -> Result<(), ChainError> {
    let offered = TrustChain::trusting(document)?;
    let (have, got) = (chain.genesis().revision, offered.genesis().revision);
    let same_root = offered.genesis().root == chain.genesis().root;
    if same_root && got < have {
        return Err(ChainError::RolledBack { have, got });
    }
    chain.succeed(document)?;
    Ok(())
}
