//! Keys and genesis documents from files.

use std::path::{Path, PathBuf};

use tidegate_proto::pem::{self, Passphrase, PemError};
use tidegate_proto::{EnvelopeError, Genesis, PublicKey, Signed, SigningKey};

use super::file::{self, FileError, Secrecy};

/// More than any key file holds.
const LARGEST_KEY: usize = 8 * 1024;
/// More than any genesis with all its signatures.
const LARGEST_GENESIS: usize = 128 * 1024;

/// Why a file gave no key or genesis.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{path} holds no usable key: {reason}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: PemError,
    },
    /// A passphrase file whose first line is empty.
    #[error("the first line of {0} is empty; write the passphrase there")]
    NoPassphrase(PathBuf),
    /// It holds no genesis.
    #[error("{path} holds no genesis: {reason}; fetch the file again from where it was signed")]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: EnvelopeError,
    },
}

/// Reads a private key, which nobody but its owner may be able to read, with the passphrase in another such file if it
/// needs one.
pub fn read_signing_key(
    path: &Path,
    passphrase: Option<&Path>,
) -> Result<SigningKey, KeyFileError> {
    let passphrase = passphrase.map(read_passphrase).transpose()?;
    let text = file::read(path, LARGEST_KEY, Secrecy::Secret)?;
    let key = pem::signing_key_from_pem(&text, passphrase.as_ref());
    key.map_err(|reason| KeyFileError::Key {
        path: path.into(),
        reason,
    })
}

fn read_passphrase(path: &Path) -> Result<Passphrase, KeyFileError> {
    let text = file::read(path, LARGEST_KEY, Secrecy::Secret)?;
    let passphrase = Passphrase::from_first_line(text.as_bytes());
    passphrase.ok_or_else(|| KeyFileError::NoPassphrase(path.into()))
}

/// Reads a public key.
pub fn read_public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let text = file::read(path, LARGEST_KEY, Secrecy::Public)?;
    pem::public_key_from_pem(&text).map_err(|reason| KeyFileError::Key {
        path: path.into(),
        reason,
    })
}

/// Reads a signed genesis. Nothing about it has been verified.
pub fn read_genesis(path: &Path) -> Result<Signed<Genesis>, KeyFileError> {
    let text = file::read(path, LARGEST_GENESIS, Secrecy::Public)?;
    Signed::from_json(text.as_bytes()).map_err(|reason| KeyFileError::Genesis {
        path: path.into(),
        reason,
    })
}

/// Reads a text of at most `limit` bytes.
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    Ok(file::read(path, limit, Secrecy::Public)?.to_string())
}
