//! Awaiting a condition instead of sleeping.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::LabError;

const PAUSE: Duration = Duration::from_millis(5);

/// Returns as soon as `condition` holds, or fails naming `what` once `within` has passed.
///
/// The condition is asked at least once, and once more after the time is up.
pub fn wait_until(
    within: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<(), LabError> {
    wait_for(within, what, || condition().then_some(()))
}

/// Like [`wait_until`], for a condition that yields a value when it holds.
pub fn wait_for<T>(
    within: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let deadline = Instant::now() + within;
    loop {
        let last = Instant::now() >= deadline;
        if let Some(value) = probe() {
            return Ok(value);
        }
        if last {
            return Err(LabError::NotReached {
                what: what.to_owned(),
                within,
            });
        }
        thread::sleep(PAUSE);
    }
}
