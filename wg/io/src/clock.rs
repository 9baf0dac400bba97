//! The two clocks, sampled once per batch.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Time since boot, suspend included: the clock that every deadline is measured on.
pub fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}

/// Wall time since 1970; zero where the wall clock stands before that.
pub fn unix_time() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_advances_and_counts_from_boot() {
        let first = boottime();
        let second = boottime();
        assert!(second >= first);
        assert!(first > Duration::ZERO);
        assert!(unix_time() > first);
    }
}
