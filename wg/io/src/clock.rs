//! The two clocks, sampled once per batch.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};
use tidegate_wg::{Mono, Now};

/// Time since boot, suspend included: the clock that every deadline is measured on.
#[inline]
pub fn boottime() -> Mono {
    let now = clock_gettime(ClockId::Boottime);
    Mono(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
}

/// Both clocks. The wall clock counts as zero where it stands before 1970.
#[inline]
pub fn now() -> Now {
    let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        mono: boottime(),
        unix: unix.unwrap_or(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_advances_and_counts_from_boot() {
        let first = now();
        let second = now();
        assert!(second.mono >= first.mono);
        assert!(first.mono > Mono(0));
        assert!(u128::from(first.mono.0) < first.unix.as_nanos());
    }
}
