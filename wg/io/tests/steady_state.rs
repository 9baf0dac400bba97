//! Once traffic flows, the data threads ask the allocator for nothing.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::wireguard::{Pair, Side};
use tidegate_tests::{Lab, LabError, wait_until};
use tidegate_wg_io::{Control, DataPlane};

use crate::common::start;

const PATIENCE: Duration = Duration::from_secs(30);

/// The system's allocator, which counts what is asked of it by any thread but the test's own.
struct Counting;

static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_TEST: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !IS_TEST.get() {
        ASKED.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Frames read from and written to the TUN so far.
fn frames(control: &Control) -> [u64; 2] {
    let tun = control.io_status().unwrap().tun;
    [tun.frames_read, tun.frames_written]
}

#[test]
fn traffic_allocates_nothing() -> Result<(), LabError> {
    IS_TEST.set(true);
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let planes = [start(&pair, Side::A)?.0, start(&pair, Side::B)?.0];
    pair.await_ping(Side::A, 0)?;
    let _server = serve(&pair.b.host)?;
    let load = Load {
        seconds: 15,
        streams: 4,
        both_ways: true,
        ..Load::default()
    };
    let _client = load.start(&pair.a.host, pair.b.overlay[0])?;

    let controls = planes.each_ref().map(DataPlane::control);
    let pass = |what: &str| {
        let before = controls.each_ref().map(frames);
        wait_until(PATIENCE, what, || {
            let now = controls.each_ref().map(frames);
            before
                .iter()
                .zip(now)
                .all(|(b, n)| n[0] > b[0] + 3000 && n[1] > b[1] + 3000)
        })
    };
    pass("the flows to be known")?;
    let asked = ASKED.load(Ordering::Relaxed);
    assert!(asked > 0, "nothing was counted, not even the start");
    pass("thousands of frames in all four directions")?;
    assert_eq!(
        ASKED.load(Ordering::Relaxed) - asked,
        0,
        "the data threads allocate"
    );
    Ok(())
}
