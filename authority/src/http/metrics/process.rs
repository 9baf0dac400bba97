//! What the system knows of this process.

use std::fs;

/// Memory that the process holds, in bytes.
pub(super) fn resident_memory() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processor time that the process has used, in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/schedstat").ok()?;
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let of = |text: &str| text.split(' ').next()?.parse::<f64>().ok();
    let each = threads.filter_map(|thread| {
        let path = thread.ok()?.path().join("schedstat");
        of(&fs::read_to_string(path).ok()?)
    });
    let nanoseconds = each.sum::<f64>().max(of(&stat)?);
    Some(nanoseconds / 1e9)
}

/// Files and sockets that are open.
pub(super) fn open_files() -> Option<i64> {
    let files = fs::read_dir("/proc/self/fd").ok()?;
    i64::try_from(files.count()).ok()
}
