//! The keys that sign for the authority, and how many of them must.

use tidegate_proto::{AuthoritySet, BoundedSet, DocumentError, KeyId, PublicKey, Revision};

use super::CeremonyError;

/// Distinct authority keys, in rising order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuthorityKeys(Vec<PublicKey>);

impl AuthorityKeys {
    /// These keys, unless one stands there twice or they are too many.
    pub fn new(mut keys: Vec<PublicKey>) -> Result<Self, CeremonyError> {
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CeremonyError::RepeatedKey(KeyId::of(&pair[0])));
        }
        if keys.len() > AuthoritySet::MOST_KEYS {
            return Err(CeremonyError::TooMany {
                what: "authority keys",
                got: keys.len(),
                most: AuthoritySet::MOST_KEYS,
            });
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// More than half of the keys: what must sign unless somebody says otherwise. 1 of 1, 2 of 2, 2 of 3.
    pub fn majority(&self) -> u32 {
        self.count() as u32 / 2 + 1 // at most MOST_KEYS
    }

    /// These keys, of which `threshold` must sign from revision `since` on.
    pub fn with_threshold(
        self,
        threshold: u32,
        since: Revision,
    ) -> Result<AuthoritySet, CeremonyError> {
        let impossible = DocumentError::Threshold {
            threshold: threshold as usize,
            keys: self.count(),
        };
        if threshold == 0 || threshold as usize > self.count() {
            return Err(CeremonyError::rule(impossible));
        }
        Ok(AuthoritySet {
            keys: BoundedSet::new(self.0).map_err(|_| CeremonyError::rule(impossible))?,
            threshold,
            since,
            previous_until: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_proto::SigningKey;

    fn keys(count: u8) -> Vec<PublicKey> {
        let key = |byte| SigningKey::from_seed(&[byte; 32]).public_key();
        (1..=count).map(key).collect()
    }

    #[test]
    fn more_than_half_must_sign() {
        let majority = |count| AuthorityKeys::new(keys(count)).unwrap().majority();
        assert_eq!([1, 2, 3, 4, 5, 15].map(majority), [1, 2, 2, 3, 3, 8]);
    }

    #[test]
    fn a_key_counts_once_and_there_is_room_for_fifteen() {
        let twice = [keys(2), keys(1)].concat();
        let first = KeyId::of(&twice[0]);
        assert_eq!(
            AuthorityKeys::new(twice),
            Err(CeremonyError::RepeatedKey(first))
        );
        assert!(matches!(
            AuthorityKeys::new(keys(16)),
            Err(CeremonyError::TooMany { got: 16, .. })
        ));
    }

    #[test]
    fn a_threshold_can_be_met() {
        let set = |threshold| {
            AuthorityKeys::new(keys(3))
                .unwrap()
                .with_threshold(threshold, Revision::FIRST)
        };
        assert!(set(0).is_err() && set(4).is_err());
        assert_eq!(set(3).unwrap().threshold, 3);
    }
}
