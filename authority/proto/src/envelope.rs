//! Envelopes: payload bytes, their type, and signatures over both.
//!
//! An envelope travels in two forms that hold the same thing. The JSON form is DSSE's. The compact form, for
//! datagrams, is
//!
//! ```text
//! format 1 │ kind │ version │ count │ count × (key id 8, signature 64) │ payload length, 4 bytes, big endian │ payload
//! ```

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::bounded::BoundedList;
use crate::bytes::{BytesError, base64_array, base64_decode, base64_encode};
use crate::document::{Document, DocumentError, Kind};
use crate::domain;
use crate::id::{Digest, KeyId};
use crate::key::SigningKey;
use crate::strict::{self, ReadError};

/// More signatures than any network needs, and few enough to check.
pub(crate) const MOST_SIGNATURES: usize = 16;

/// First byte of the compact form.
const COMPACT_FORMAT: u8 = 1;

/// Room in the JSON form for all but the payload.
const JSON_OVERHEAD: usize = 512 + MOST_SIGNATURES * 192;

/// The length of the JSON form around the largest payload.
const fn largest_json(payload: usize) -> usize {
    payload.div_ceil(3) * 4 + JSON_OVERHEAD
}

/// Why bytes are no envelope.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON of an envelope.
    #[error("no envelope: {0}")]
    Json(ReadError),
    /// Payload or signature is not canonical base64 of the right length.
    #[error("no envelope: {0}")]
    Base64(BytesError),
    /// A payload type that is not Tidegate's.
    #[error("the payload type '{0}' is unknown")]
    UnknownType(String),
    /// A kind that is known, in a version that is not.
    #[error("version {version} of a {kind} cannot be read here; this program may be too old")]
    UnknownVersion {
        /// The kind.
        kind: Kind,
        /// Its version.
        version: u32,
    },
    /// A sound envelope of something else.
    #[error("a {got} where a {want} is needed")]
    WrongKind {
        /// What is needed.
        want: Kind,
        /// What came.
        got: Kind,
    },
    /// No signature, or more than are ever checked.
    #[error("{0} signatures; between 1 and {MOST_SIGNATURES} are read")]
    SignatureCount(usize),
    /// A payload above its kind's limit.
    #[error("a {kind} of {got} bytes; at most {limit} are read")]
    TooLarge {
        /// The kind.
        kind: Kind,
        /// Its limit.
        limit: usize,
        /// What came.
        got: usize,
    },
    /// The compact form ends early.
    #[error("the envelope is cut off")]
    Truncated,
    /// Bytes behind the compact form.
    #[error("bytes follow the envelope")]
    TrailingBytes,
    /// A compact form that this version does not know.
    #[error("format {0} of the compact envelope is unknown")]
    UnknownFormat(u8),
}

/// Why a document was not signed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SignError {
    /// It breaks a rule of its kind.
    #[error("not signed: {0}")]
    Rule(#[from] DocumentError),
    /// It is too large, or the keys are none or too many.
    #[error("not signed: {0}")]
    Envelope(#[from] EnvelopeError),
    /// The key has signed it before.
    #[error("not signed: {0} has signed it already")]
    SignedAlready(KeyId),
    /// It holds something that JSON cannot.
    #[error("not signed: the document cannot be written as JSON")]
    Unwritable,
}

/// One signature and the key that is said to have made it.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Signature {
    /// The key.
    pub key: KeyId,
    /// Ed25519 over the pre-authentication encoding.
    pub bytes: [u8; 64],
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", self.key)
    }
}

/// Signed bytes of any kind; nothing about them has been verified.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Dsse", into = "Dsse")]
pub struct Envelope {
    kind: Kind,
    version: u32,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// The JSON form.
#[derive(Deserialize, Serialize)]
struct Dsse {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: BoundedList<DsseSignature, MOST_SIGNATURES>,
}

#[derive(Deserialize, Serialize)]
struct DsseSignature {
    keyid: KeyId,
    sig: String,
}

impl Envelope {
    /// The most bytes that any envelope's JSON form may have.
    pub const LARGEST_JSON: usize = largest_json(Kind::LARGEST);

    /// Reads the JSON form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Self::from_json_within(bytes, Self::LARGEST_JSON)
    }

    fn from_json_within(bytes: &[u8], limit: usize) -> Result<Self, EnvelopeError> {
        let dsse: Dsse = strict::read(bytes, limit).map_err(EnvelopeError::Json)?;
        dsse.try_into()
    }

    /// Reads the compact form, which must fill `bytes`.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let mut reader = CompactReader(bytes);
        let [format, kind, version, count] = reader.array()?;
        if format != COMPACT_FORMAT {
            return Err(EnvelopeError::UnknownFormat(format));
        }
        let kind = Kind::from_code(kind)
            .ok_or_else(|| EnvelopeError::UnknownType(format!("code {kind}")))?;
        let count = usize::from(count);
        if count > MOST_SIGNATURES {
            return Err(EnvelopeError::SignatureCount(count));
        }
        let mut signatures = Vec::with_capacity(count);
        for _ in 0..count {
            signatures.push(Signature {
                key: KeyId::from_bytes(reader.array()?),
                bytes: reader.array()?,
            });
        }
        let length = u32::from_be_bytes(reader.array()?) as usize;
        let payload = reader.take(length)?.to_vec();
        if !reader.0.is_empty() {
            return Err(EnvelopeError::TrailingBytes);
        }
        Self {
            kind,
            version: u32::from(version),
            payload,
            signatures,
        }
        .within_limits()
    }

    fn within_limits(self) -> Result<Self, EnvelopeError> {
        if !self.kind.versions().contains(&self.version) {
            return Err(EnvelopeError::UnknownVersion {
                kind: self.kind,
                version: self.version,
            });
        }
        if self.signatures.is_empty() || self.signatures.len() > MOST_SIGNATURES {
            return Err(EnvelopeError::SignatureCount(self.signatures.len()));
        }
        let limit = self.kind.largest_payload();
        if self.payload.len() > limit {
            return Err(EnvelopeError::TooLarge {
                kind: self.kind,
                limit,
                got: self.payload.len(),
            });
        }
        Ok(self)
    }

    /// The JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&Dsse::from(self.clone())).unwrap_or_default() // texts and lists always serialise
    }

    /// The compact form.
    pub fn to_compact(&self) -> Vec<u8> {
        let mut bytes = vec![
            COMPACT_FORMAT,
            self.kind.code(),
            self.version as u8,
            self.signatures.len() as u8,
        ];
        for signature in &self.signatures {
            bytes.extend_from_slice(signature.key.as_bytes());
            bytes.extend_from_slice(&signature.bytes);
        }
        bytes.extend_from_slice(&(self.payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// What is inside, by its own word.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes that signatures cover: DSSE's pre-authentication encoding of type and payload.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let payload_type = self.kind.payload_type(self.version);
        let head = format!(
            "{} {} {payload_type} {} ",
            domain::PAE,
            payload_type.len(),
            self.payload.len()
        );
        [head.as_bytes(), &self.payload].concat()
    }

    /// The digest of the signed bytes. It does not depend on who signed, nor on the form that travelled.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The signatures, as they came.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

impl TryFrom<Dsse> for Envelope {
    type Error = EnvelopeError;

    fn try_from(dsse: Dsse) -> Result<Self, EnvelopeError> {
        let (kind, version) = Kind::from_payload_type(&dsse.payload_type)?;
        let payload = base64_decode(&dsse.payload).map_err(EnvelopeError::Base64)?;
        let signature = |s: &DsseSignature| {
            let bytes = base64_array(&s.sig).map_err(EnvelopeError::Base64)?;
            Ok(Signature {
                key: s.keyid,
                bytes,
            })
        };
        let signatures = dsse
            .signatures
            .iter()
            .map(signature)
            .collect::<Result<_, _>>()?;
        Self {
            kind,
            version,
            payload,
            signatures,
        }
        .within_limits()
    }
}

impl From<Envelope> for Dsse {
    fn from(envelope: Envelope) -> Self {
        let signature = |s: &Signature| DsseSignature {
            keyid: s.key,
            sig: base64_encode(&s.bytes),
        };
        let signatures = envelope.signatures.iter().map(signature).collect();
        Self {
            payload_type: envelope.kind.payload_type(envelope.version),
            payload: base64_encode(&envelope.payload),
            signatures: BoundedList::new(signatures).unwrap_or_default(), // as many as were read or made
        }
    }
}

/// Walks over the compact form without ever reading past its end.
struct CompactReader<'a>(&'a [u8]);

impl<'a> CompactReader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], EnvelopeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(EnvelopeError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EnvelopeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

/// An envelope that says it holds a `T`. Only [`Signed::verify`] can tell.
pub struct Signed<T> {
    envelope: Envelope,
    document: PhantomData<fn() -> T>,
}

impl<T: Document> Signed<T> {
    /// Signs `document` with each of `keys`, unless it breaks a rule of its kind. Whether it fits into its network is for
    /// the signer's own [`Signed::verify`] to say, before it lets the document out.
    pub fn sign(document: &T, keys: &[&SigningKey]) -> Result<Self, SignError> {
        document.check()?;
        let payload = serde_json::to_vec(document).map_err(|_| SignError::Unwritable)?;
        let signatures = Vec::new();
        let mut envelope = Envelope {
            kind: T::KIND,
            version: T::VERSION,
            payload,
            signatures,
        };
        let message = envelope.signed_bytes();
        envelope
            .signatures
            .extend(keys.iter().map(|key| signature(key, &message)));
        Ok(Self {
            envelope: envelope.within_limits()?,
            document: PhantomData,
        })
    }

    /// The same document with the signature of one more key.
    pub fn countersigned(&self, key: &SigningKey) -> Result<Self, SignError> {
        let mut envelope = self.envelope.clone();
        let signature = signature(key, &envelope.signed_bytes());
        if envelope
            .signatures
            .iter()
            .any(|earlier| earlier.key == signature.key)
        {
            return Err(SignError::SignedAlready(signature.key));
        }
        envelope.signatures.push(signature);
        Ok(Self {
            envelope: envelope.within_limits()?,
            document: PhantomData,
        })
    }

    /// Reads the JSON form.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Envelope::from_json_within(bytes, largest_json(T::KIND.largest_payload()))?.try_into()
    }

    /// Reads the compact form.
    pub fn from_compact(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        Envelope::from_compact(bytes)?.try_into()
    }
}

impl<T> Signed<T> {
    /// The envelope that travels.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The JSON form.
    pub fn to_json(&self) -> Vec<u8> {
        self.envelope.to_json()
    }

    /// The compact form.
    pub fn to_compact(&self) -> Vec<u8> {
        self.envelope.to_compact()
    }

    /// The digest of the signed bytes.
    pub fn digest(&self) -> Digest {
        self.envelope.digest()
    }
}

fn signature(key: &SigningKey, message: &[u8]) -> Signature {
    Signature {
        key: KeyId::of(&key.public_key()),
        bytes: key.sign(message),
    }
}

impl<T: Document> TryFrom<Envelope> for Signed<T> {
    type Error = EnvelopeError;

    fn try_from(envelope: Envelope) -> Result<Self, EnvelopeError> {
        if envelope.kind != T::KIND {
            return Err(EnvelopeError::WrongKind {
                want: T::KIND,
                got: envelope.kind,
            });
        }
        if envelope.version != T::VERSION {
            return Err(EnvelopeError::UnknownVersion {
                kind: envelope.kind,
                version: envelope.version,
            });
        }
        Ok(Self {
            envelope,
            document: PhantomData,
        })
    }
}

impl<T> Serialize for Signed<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.envelope.serialize(serializer)
    }
}

impl<'de, T: Document> Deserialize<'de> for Signed<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Envelope::deserialize(deserializer)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            envelope: self.envelope.clone(),
            document: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }
}

impl<T> Eq for Signed<T> {}

impl<T> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} {})", self.envelope.kind, self.digest())
    }
}
