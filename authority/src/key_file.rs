//! Key files: PKCS#8 and SubjectPublicKeyInfo in PEM, and the passphrases that protect them.

use std::path::Path;
use std::str;

use tidegate_proto::pem::{self, Passphrase, PemError};
use tidegate_proto::{PublicKey, SigningKey};

use crate::file::{self, FileError, Secrecy, shown};

/// More than any key file or passphrase file holds.
const LONGEST: usize = 8 * 1024;

/// Why no key or passphrase was read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error("{path} holds no usable key: {reason}; {remedy}")]
    Key {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: PemError,
        /// What to do.
        remedy: &'static str,
    },
    /// A passphrase for a key that anybody can use without.
    #[error(
        "{0} is not protected by a passphrase, though one is given; leave --passphrase-file out, or protect the key: openssl pkcs8 -topk8 -in {0} -out NEW-FILE"
    )]
    NotProtected(String),
    /// A passphrase file whose first line is empty.
    #[error("the first line of {0} is empty; write the passphrase there")]
    NoPassphrase(String),
}

/// Reads a private key, which nobody but its owner may be able to read.
pub fn read_signing_key(
    path: &Path,
    passphrase: Option<&Passphrase>,
) -> Result<SigningKey, KeyFileError> {
    let bytes = file::read(path, LONGEST, Secrecy::Secret)?;
    let text = str::from_utf8(&bytes).unwrap_or_default();
    let key =
        pem::signing_key_from_pem(text, passphrase).map_err(|reason| unusable(path, reason))?;
    if passphrase.is_some() && !text.contains("-----BEGIN ENCRYPTED ") {
        return Err(KeyFileError::NotProtected(shown(path)));
    }
    Ok(key)
}

/// Reads a public key, which anybody may be able to read.
pub fn read_public_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let bytes = file::read(path, LONGEST, Secrecy::Public)?;
    let text = str::from_utf8(&bytes).unwrap_or_default();
    pem::public_key_from_pem(text).map_err(|reason| unusable(path, reason))
}

/// Reads a passphrase: the first line of a file that nobody but its owner may be able to read.
pub fn read_passphrase(path: &Path) -> Result<Passphrase, KeyFileError> {
    let bytes = file::read(path, LONGEST, Secrecy::Secret)?;
    Passphrase::from_first_line(&bytes).ok_or_else(|| KeyFileError::NoPassphrase(shown(path)))
}

fn unusable(path: &Path, reason: PemError) -> KeyFileError {
    let remedy = match &reason {
        PemError::PassphraseNeeded => "write it into the first line of a file with mode 0600",
        PemError::WrongPassphrase => "check that the file's first line is the right passphrase",
        PemError::OtherLabel { want, .. } if want.starts_with("PUBLIC") => {
            "give the .pub file that was written beside the private key"
        }
        PemError::OtherLabel { .. } => "give the .pem file that holds the private key",
        _ => {
            "give an Ed25519 key as this program or 'openssl genpkey -algorithm ed25519' writes it"
        }
    };
    KeyFileError::Key {
        path: shown(path),
        reason,
        remedy,
    }
}
