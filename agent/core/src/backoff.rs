//! When to try again.

use std::time::Duration;

use tidegate_wg::Mono;

/// Growing pauses between attempts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    pauses: &'static [u64],
    failed: u32,
    next: Option<Mono>,
}

impl Backoff {
    /// Pauses in seconds; the last repeats. The first attempt is due at once.
    pub(crate) const fn new(pauses: &'static [u64]) -> Self {
        Self {
            pauses,
            failed: 0,
            next: None,
        }
    }

    pub(crate) fn is_due(&self, now: Mono) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// When the next attempt is due; `None`: at once.
    pub(crate) fn next(&self) -> Option<Mono> {
        self.next
    }

    /// An attempt begins: the next is due after the pause, if this one fails or is never answered.
    pub(crate) fn attempt(&mut self, now: Mono) {
        let at = (self.failed as usize).min(self.pauses.len().saturating_sub(1));
        let pause = self.pauses.get(at).copied().unwrap_or(1);
        self.next = Some(now + Duration::from_secs(pause));
        self.failed = self.failed.saturating_add(1);
    }

    /// Nothing is due before the longest pause is over.
    pub(crate) fn rest(&mut self, now: Mono) {
        let longest = self.pauses.iter().max().copied().unwrap_or(1);
        self.failed = 0;
        self.next = Some(now + Duration::from_secs(longest));
    }

    /// How many attempts have not succeeded.
    pub(crate) fn failed(&self) -> u32 {
        self.failed
    }

    /// The next attempt is due at once, and the pauses begin anew.
    pub(crate) fn cancel(&mut self) {
        self.failed = 0;
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_and_the_last_repeats_until_cancelled() {
        let mut backoff = Backoff::new(&[30, 60, 120]);
        let mut at = Mono(0);
        for pause in [30, 60, 120, 120] {
            assert!(backoff.is_due(at));
            backoff.attempt(at);
            let next = at + Duration::from_secs(pause);
            assert_eq!(backoff.next(), Some(next));
            assert!(!backoff.is_due(next - Duration::from_millis(1)));
            at = next;
        }
        backoff.cancel();
        assert!(backoff.is_due(Mono(0)));
    }
}
