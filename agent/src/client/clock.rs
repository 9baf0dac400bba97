//! The authority's time, as far as it is known here.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::UnixTime;

/// This machine's clock, and what it is off by. The clock itself is never set.
#[derive(Debug)]
pub struct Clock {
    source: fn() -> UnixTime,
    /// What has to be added, in milliseconds.
    correction: AtomicI64,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::of(system_time)
    }

    /// Another clock.
    pub fn of(source: fn() -> UnixTime) -> Self {
        Self {
            source,
            correction: AtomicI64::new(0),
        }
    }

    /// The authority's time, as well as it is known.
    pub fn now(&self) -> UnixTime {
        let raw = (self.source)().as_millis();
        UnixTime::from_millis(raw.saturating_add_signed(self.correction.load(Ordering::Relaxed)))
    }

    /// What is added to this machine's clock, in milliseconds.
    pub fn correction(&self) -> i64 {
        self.correction.load(Ordering::Relaxed)
    }

    /// It is `at` now, by the authority's verified word.
    pub fn correct(&self, at: UnixTime) {
        let raw = i64::try_from((self.source)().as_millis()).unwrap_or(i64::MAX);
        let at = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
        self.correction
            .store(at.saturating_sub(raw), Ordering::Relaxed);
    }
}

fn system_time() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default(); // before 1970 the authority corrects us
    UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correction_is_added_to_whatever_the_machine_says() {
        let clock = Clock::of(|| UnixTime::from_millis(1_000_000));
        assert_eq!(clock.now(), UnixTime::from_millis(1_000_000));
        for at in [5, 1_000_000, 9_000_000_000] {
            clock.correct(UnixTime::from_millis(at));
            assert_eq!(clock.now(), UnixTime::from_millis(at));
        }
    }
}
