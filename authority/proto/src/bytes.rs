//! Fixed-size byte values and their one text form: canonical, padded standard base64.

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeSliceError, Engine as _};

/// Why a text is not the bytes it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BytesError {
    /// Not base64, or not its canonical form (padding and unused bits included).
    #[error("not canonical base64")]
    Encoding,
    /// Decoded, but not of the right length.
    #[error("{got} bytes where {want} are needed")]
    Length {
        /// The length that the value has.
        want: usize,
        /// The length that was found.
        got: usize,
    },
}

/// What of a stranger's text a message may repeat: no control character, and not more than `most` others.
pub(crate) fn printable(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// Canonical base64 of `bytes`.
pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Bytes from canonical base64. Missing padding and stray bits are refused, so that one value has one text.
pub fn base64_decode(text: &str) -> Result<Vec<u8>, BytesError> {
    STANDARD.decode(text).map_err(|_| BytesError::Encoding)
}

/// Exactly `N` bytes from canonical base64. They may be a secret, so no copy is left behind.
pub(crate) fn base64_array<const N: usize>(text: &str) -> Result<[u8; N], BytesError> {
    let mut bytes = [0; N];
    let wrong_length = |got| BytesError::Length { want: N, got };
    match STANDARD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        Ok(length) => Err(wrong_length(length)),
        Err(DecodeSliceError::OutputSliceTooSmall) => Err(wrong_length(base64_decode(text)?.len())),
        Err(DecodeSliceError::DecodeError(_)) => Err(BytesError::Encoding),
    }
}

/// Implements `Display`, `Debug`, `FromStr` and serde over a fixed array, all in canonical base64.
macro_rules! base64_bytes {
    ($name:ident, $length:literal) => {
        impl $name {
            /// The value's length in bytes.
            pub const LENGTH: usize = $length;

            /// The bytes themselves.
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::bytes::base64_encode(&self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        $crate::bytes::text_serde!($name);
    };
}

/// Serde through `Display` and `FromStr`.
macro_rules! text_serde {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use {base64_bytes, text_serde};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_of_a_value_is_read() {
        assert_eq!(base64_decode("AQI="), Ok(vec![1, 2]));
        for text in ["AQI", "AQJ=", "AQI==", " AQI=", "AQI=\n", "AQ-_", "A"] {
            assert_eq!(base64_decode(text), Err(BytesError::Encoding), "{text}");
        }
        assert_eq!(
            base64_array::<3>("AQI="),
            Err(BytesError::Length { want: 3, got: 2 })
        );
    }
}
