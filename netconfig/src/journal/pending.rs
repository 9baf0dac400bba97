//! The steps that are still to be undone, in the order in which they were recorded, one a key.

use std::collections::{BTreeMap, HashMap};

use super::Step;

/// Undo steps by age and by key.
#[derive(Clone, Debug)]
pub struct Pending<S> {
    steps: BTreeMap<u64, S>,
    ages: HashMap<String, u64>,
    next: u64,
}

impl<S> Default for Pending<S> {
    fn default() -> Self {
        Self {
            steps: BTreeMap::new(),
            ages: HashMap::new(),
            next: 0,
        }
    }
}

impl<S: Step> Pending<S> {
    /// Oldest first; undo from the end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &S> {
        self.steps.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether nothing is left to undo.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether a step of this key is there.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.ages.contains_key(key)
    }

    /// Adds a step unless its key is there already.
    pub(super) fn insert(&mut self, step: S) {
        let key = step.key();
        if !self.contains(&key) {
            self.ages.insert(key, self.next);
            self.steps.insert(self.next, step);
            self.next += 1;
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(age) = self.ages.remove(key) {
            self.steps.remove(&age);
        }
    }
}
