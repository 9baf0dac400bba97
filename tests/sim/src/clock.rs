//! The clock that every crate in this program sees, one per thread.

use std::cell::Cell;

/// Wall-clock time at the start of the world.
const EPOCH: u64 = 1_700_000_000;
const SECOND: u64 = 1_000_000_000;

thread_local! {
    static NOW: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Sets this thread's clock, in nanoseconds since the start of the world.
pub fn set(nanos: u64) {
    NOW.with(|now| now.set(Some(nanos)));
}

/// Takes the place of the C library's function in this program.
///
/// # Safety
///
/// As for the original: `time` points to a `timespec` that can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    time: *mut libc::timespec,
) -> libc::c_int {
    let Ok(Some(nanos)) = NOW.try_with(Cell::get) else {
        // SAFETY: the kernel checks the pointer, which the caller vouches for.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int };
    };
    let base = if clock == libc::CLOCK_REALTIME {
        EPOCH
    } else {
        0
    };
    let (seconds, nanos) = (base + nanos / SECOND, nanos % SECOND);
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        time.write(libc::timespec {
            tv_sec: seconds as libc::time_t,
            tv_nsec: nanos as libc::c_long,
        })
    };
    0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    #[test]
    fn the_standard_library_sees_virtual_time() {
        super::set(5_000_000_000);
        let (start, wall) = (Instant::now(), SystemTime::now());
        super::set(3_605_000_000_000);
        assert_eq!(start.elapsed(), Duration::from_secs(3600));
        assert_eq!(wall.elapsed().ok(), Some(Duration::from_secs(3600)));
    }
}
