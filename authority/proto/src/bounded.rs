//! Lists that say how long they may be.

use std::fmt;
use std::ops::Deref;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Why a list is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BoundedError {
    /// More entries than the limit.
    #[error("a list of more than {0} entries")]
    TooLong(usize),
    /// An entry twice, or out of order.
    #[error("a set whose entries are not in strictly rising order")]
    Unordered,
}

/// At most `MAX` entries, in any order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BoundedList<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> BoundedList<T, MAX> {
    /// The entries as they are, if they are not too many.
    pub fn new(entries: Vec<T>) -> Result<Self, BoundedError> {
        if entries.len() > MAX {
            Err(BoundedError::TooLong(MAX))
        } else {
            Ok(Self(entries))
        }
    }

    /// The first of the entries, as many as there is room for.
    pub fn shortened(mut entries: Vec<T>) -> Self {
        entries.truncate(MAX);
        Self(entries)
    }
}

/// At most `MAX` distinct entries, always in rising order, so that equal sets have equal bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BoundedSet<T, const MAX: usize>(Vec<T>);

impl<T: Ord, const MAX: usize> BoundedSet<T, MAX> {
    /// The distinct ones of `entries`, in order, if they are not too many.
    pub fn new(mut entries: Vec<T>) -> Result<Self, BoundedError> {
        entries.sort_unstable();
        entries.dedup();
        if entries.len() > MAX {
            Err(BoundedError::TooLong(MAX))
        } else {
            Ok(Self(entries))
        }
    }

    /// Whether `entry` is one of them.
    pub fn contains(&self, entry: &T) -> bool {
        self.0.binary_search(entry).is_ok()
    }
}

impl<T, const MAX: usize> Default for BoundedList<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Default for BoundedSet<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for BoundedList<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> Deref for BoundedSet<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for BoundedList<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_seq(AtMost::<T, MAX>(std::marker::PhantomData))
            .map(Self)
    }
}

impl<'de, T: Deserialize<'de> + Ord, const MAX: usize> Deserialize<'de> for BoundedSet<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = deserializer.deserialize_seq(AtMost::<T, MAX>(std::marker::PhantomData))?;
        if entries.is_sorted_by(|a, b| a < b) {
            Ok(Self(entries))
        } else {
            Err(de::Error::custom(BoundedError::Unordered))
        }
    }
}

/// Reads a sequence and stops at the first entry too many.
struct AtMost<T, const MAX: usize>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMost<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} entries")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = sequence.next_element()? {
            if entries.len() == MAX {
                return Err(de::Error::custom(BoundedError::TooLong(MAX)));
            }
            entries.push(entry);
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_only_in_its_canonical_order() {
        let read =
            |json: &str| crate::strict::read::<BoundedSet<u8, 3>>(json.as_bytes(), 64).is_ok();
        assert!(read("[1,2,3]") && read("[]"));
        assert!(!read("[2,1]") && !read("[1,1]") && !read("[1,2,3,4]"));
    }

    #[test]
    fn a_set_sorts_what_it_is_made_of() {
        assert_eq!(
            BoundedSet::<u8, 3>::new(vec![3, 1, 3, 2]).unwrap()[..],
            [1, 2, 3]
        );
        assert_eq!(
            BoundedSet::<u8, 1>::new(vec![1, 2]),
            Err(BoundedError::TooLong(1))
        );
        assert_eq!(
            BoundedList::<u8, 1>::new(vec![1, 2]),
            Err(BoundedError::TooLong(1))
        );
    }
}
