//! A genesis hash in the form that people read to each other.

use std::fmt;
use std::str::FromStr;

use tidegate_proto::GenesisHash;

/// A genesis hash as sixteen groups of four hexadecimal digits, for a telephone; base64 is read as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint(pub GenesisHash);

/// A text that is no genesis hash.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "this is no genesis hash; give its 64 hexadecimal digits, with or without blanks, or its 44 characters of base64"
)]
pub struct FingerprintError;

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pair) in self.0.as_bytes().chunks(2).enumerate() {
            let blank = if at == 0 { "" } else { " " };
            f.write_str(blank)?;
            pair.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: Vec<_> = text.chars().filter(|&c| c != ' ').collect();
        let bytes = (digits.len() == 64)
            .then(|| digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>())
            .flatten();
        let hash = match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => Some(GenesisHash::from_bytes(bytes)),
            None => text.parse().ok(),
        };
        hash.map(Self).ok_or(FingerprintError)
    }
}

fn byte(digits: &[char]) -> Option<u8> {
    digits.iter().try_fold(0, |byte, digit| {
        Some(byte << 4 | digit.to_digit(16)? as u8) // below 16
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_every_form_that_people_give_it() {
        let hash = GenesisHash::of(b"genesis");
        let spoken = Fingerprint(hash).to_string();
        assert_eq!(spoken.len(), 79);
        let forms = [
            spoken.clone(),
            spoken.replace(' ', ""),
            spoken.to_uppercase(),
            hash.to_string(),
        ];
        for form in forms {
            assert_eq!(form.parse(), Ok(Fingerprint(hash)), "{form}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let spoken = Fingerprint(GenesisHash::of(b"genesis")).to_string();
        for text in [
            "",
            "abcd",
            &spoken[..78],
            &spoken.replace('a', "g"),
            &"é".repeat(64),
        ] {
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError), "{text}");
        }
    }
}
