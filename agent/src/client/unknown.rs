//! Events of a kind that this program does not know, from an authority of a later version.

use std::sync::atomic::{AtomicU64, Ordering};

/// What of a name is logged: it is a stranger's.
const LONGEST: usize = 32;

/// Counts them, and logs the first.
#[derive(Debug, Default)]
pub struct Unknown(AtomicU64);

impl Unknown {
    pub(super) fn count(&self, name: &str) {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            let name: String = name.chars().take(LONGEST).collect();
            tracing::warn!(
                ?name,
                "the authority sends events of a kind that this version does not know; they are passed over, install the later version"
            );
        }
    }

    /// How many there were.
    pub fn seen(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
