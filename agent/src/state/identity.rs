//! The key that says who this node is.

use std::path::Path;

use tidegate_proto::SigningKey;
use tidegate_proto::pem::{signing_key_from_pem, signing_key_to_pem};

use super::{StateDirectory, StateError};

pub(super) const IDENTITY: &str = "identity.key";

pub(super) fn load(directory: &StateDirectory) -> Result<Option<SigningKey>, StateError> {
    let Some(bytes) = directory.read(IDENTITY)? else {
        return Ok(None);
    };
    let path = directory.path().join(IDENTITY);
    signing_key_from_pem(text(&bytes, &path)?, None)
        .map(Some)
        .map_err(|error| StateError::damaged(&path, error))
}

pub(super) fn store(directory: &StateDirectory, key: &SigningKey) -> Result<(), StateError> {
    directory.replace(IDENTITY, signing_key_to_pem(key).as_bytes())
}

pub(super) fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str, StateError> {
    std::str::from_utf8(bytes).map_err(|_| StateError::damaged(path, "not text"))
}
