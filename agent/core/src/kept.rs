//! The form of every file: one line that names it, its version and the digest of the rest, and JSON behind it.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_proto::strict::{self, ReadError};
use tidegate_proto::{Digest, Document, Signed, base64_decode, base64_encode};
use zeroize::Zeroizing;

use crate::file::FileName;

/// The version of every file's form.
const VERSION: u32 = 1;
/// The most that is read of a file: a roster of 10,000 peers is a third of it.
pub const LARGEST_FILE: u64 = 96 << 20;

/// Why a file is not believed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Not the first line that such a file has.
    #[error("it does not begin like this file; put it back from a copy, or remove it")]
    Head,
    /// Written by a later program.
    #[error("its form {0} is newer than this program; install the newer one again")]
    Version(u32),
    /// Not what was written.
    #[error("its content does not match its digest; the disk may be failing")]
    Digest,
    /// Properly written, but not what belongs in it.
    #[error("{0}")]
    Content(#[from] ReadError),
}

/// The file that holds `content`.
pub(crate) fn write(name: FileName, content: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let body = Zeroizing::new(serde_json::to_vec(content).unwrap_or_default()); // texts, numbers and lists always serialise
    let head = format!("tidegate {name} {VERSION} {}\n", Digest::of(&body));
    let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// What the file holds.
pub(crate) fn read<T: DeserializeOwned>(name: FileName, bytes: &[u8]) -> Result<T, FileError> {
    let end = bytes.iter().take(200).position(|&byte| byte == b'\n');
    let (head, body) = bytes.split_at(end.ok_or(FileError::Head)?);
    let body = &body[1..];
    let head = std::str::from_utf8(head).map_err(|_| FileError::Head)?;
    let mut words = head.split(' ');
    if words.next() != Some("tidegate") || words.next() != Some(name.as_str()) {
        return Err(FileError::Head);
    }
    let version = words.next().and_then(|word| word.parse::<u32>().ok());
    match version.ok_or(FileError::Head)? {
        VERSION => {}
        other => return Err(FileError::Version(other)),
    }
    if head != format!("tidegate {name} {VERSION} {}", Digest::of(body)) {
        return Err(FileError::Digest);
    }
    Ok(strict::read(body, LARGEST_FILE as usize)?)
}

/// A signed document in a file: its compact form as one text. Nothing about it has been verified.
pub(crate) struct Kept<T>(pub(crate) Signed<T>);

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64_encode(&self.0.to_compact()))
    }
}

impl<'de, T: Document> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = base64_decode(&text).map_err(D::Error::custom)?;
        Signed::from_compact(&bytes)
            .map(Self)
            .map_err(D::Error::custom)
    }
}

/// A secret of 32 bytes in a file. Erased when dropped, and never printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) Zeroizing<[u8; 32]>);

impl Secret {
    pub(crate) fn new(bytes: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*bytes))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(base64_encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(base64_decode(&text).map_err(D::Error::custom)?);
        let array = <[u8; 32]>::try_from(bytes.as_slice()).map_err(D::Error::custom)?;
        Ok(Self(Zeroizing::new(array)))
    }
}
