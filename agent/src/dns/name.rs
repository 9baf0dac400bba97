//! Names: labels in lower case, within the bounds of RFC 1035.

use super::message::MessageError;

const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

/// A name as labels in lower case, the root excluded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Name(Vec<Vec<u8>>);

impl Name {
    /// The name that this text spells; `None` where a label is empty or too long.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::of(
            text.split('.')
                .map(|label| label.as_bytes().to_vec())
                .collect(),
        )
    }

    /// The name of these labels; `None` where one is empty or too long, or all together are.
    #[must_use]
    pub fn of(mut labels: Vec<Vec<u8>>) -> Option<Self> {
        labels
            .iter_mut()
            .for_each(|label| label.make_ascii_lowercase());
        let fits = |label: &Vec<u8>| (1..=LONGEST_LABEL).contains(&label.len());
        let name = Self(labels);
        (name.0.iter().all(fits) && name.wire_length() <= LONGEST_NAME).then_some(name)
    }

    /// The labels, the leftmost first.
    #[must_use]
    pub fn labels(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The labels in front of `domain`, if this name is in it or is it.
    #[must_use]
    pub fn within(&self, domain: &Self) -> Option<&[Vec<u8>]> {
        self.0.strip_suffix(domain.0.as_slice())
    }

    fn wire_length(&self) -> usize {
        1 + self.0.iter().map(|label| 1 + label.len()).sum::<usize>()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        for label in &self.0 {
            out.push(label.len() as u8); // at most 63
            out.extend_from_slice(label);
        }
        out.push(0);
    }

    /// Reads a name without pointers, for a question is the first name in its message; and where it ends.
    pub(super) fn read(bytes: &[u8], start: usize) -> Result<(Self, usize), MessageError> {
        let mut labels = Vec::new();
        let mut at = start;
        loop {
            let length = usize::from(*bytes.get(at).ok_or(MessageError::Truncated)?);
            at += 1;
            if length == 0 {
                return Ok((Self(labels), at));
            }
            if length > LONGEST_LABEL || at + length - start >= LONGEST_NAME {
                return Err(MessageError::Name);
            }
            let label = bytes.get(at..at + length).ok_or(MessageError::Truncated)?;
            labels.push(label.to_ascii_lowercase());
            at += length;
        }
    }
}
