//! A pause for a descriptor that gives errors, so that it cannot keep the thread busy.

use std::time::Duration;

use tidegate_wg::Mono;

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(1);

/// Whether a descriptor is left alone at the moment. The pause doubles with each error in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    until: Option<Mono>,
    next: Option<Duration>,
}

impl Rest {
    /// Begins a pause and returns its length.
    pub(crate) fn begin(&mut self, now: Mono) -> Duration {
        let pause = self.next.unwrap_or(SHORTEST);
        self.next = Some((pause * 2).min(LONGEST));
        self.until = Some(now + pause);
        pause
    }

    /// The descriptor works: the next pause is a short one again.
    #[inline]
    pub(crate) fn works(&mut self) {
        self.next = None;
    }

    #[inline]
    pub(crate) fn is_over(&mut self, now: Mono) -> bool {
        if self.until.is_some_and(|until| now >= until) {
            self.until = None;
        }
        self.until.is_none()
    }

    pub(crate) fn until(&self) -> Option<Mono> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_are_forgotten_when_it_works_again() {
        let mut rest = Rest::default();
        let now = Mono(1_000_000_000);
        assert!(rest.is_over(now));
        assert_eq!(rest.begin(now), SHORTEST);
        assert!(!rest.is_over(now));
        assert!(rest.is_over(now + SHORTEST));
        for _ in 0..20 {
            rest.begin(now);
        }
        assert_eq!(rest.begin(now), LONGEST);
        rest.works();
        assert_eq!(rest.begin(now), SHORTEST);
    }
}
