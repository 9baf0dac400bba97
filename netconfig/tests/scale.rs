//! A host with a full routing table pays nothing for us.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::crowd;

/// One test alone, since it measures its own process.
#[test]
fn a_hundred_thousand_foreign_routes_cost_nothing_at_rest() {
    let crowd = crowd::measure(100_000, Duration::from_secs(2));
    println!("{crowd:?}");
    assert!(
        crowd.start < Duration::from_secs(10),
        "start-up took {:?}",
        crowd.start
    );
    assert!(
        crowd.grown_kib < 40 << 10,
        "grew by {} KiB",
        crowd.grown_kib
    );
    // The clock of CPU time ticks every 10 ms; one tick may fall to the runtime or the reading itself.
    assert!(
        crowd.idle_cpu <= Duration::from_millis(10),
        "used {:?} at rest",
        crowd.idle_cpu
    );
}
