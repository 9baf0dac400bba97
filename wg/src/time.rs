//! The two clocks, as values.

use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant on CLOCK_BOOTTIME, in nanoseconds: it runs on while the host sleeps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Mono(pub u64);

impl Mono {
    /// Later than everything: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// How long ago `earlier` was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// One sample of the clocks, taken once per turn of the data thread's loop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// CLOCK_BOOTTIME: what every deadline is measured on.
    pub mono: Mono,
    /// Wall-clock time since 1970: only ever shown, never decided on.
    pub unix: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate_instead_of_wrapping() {
        assert_eq!(Mono::NEVER + Duration::from_secs(1), Mono::NEVER);
        assert_eq!(Mono(5) - Duration::from_secs(1), Mono(0));
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
        assert_eq!(Mono(9).since(Mono(5)), Duration::from_nanos(4));
    }
}
