//! A wall clock that is wrong for the programs of one node.
//!
//! CLOCK_REALTIME is faked by libfaketime; CLOCK_MONOTONIC is left alone by its own switch, and CLOCK_BOOTTIME because
//! the agent asks the kernel for it without the C library in between. The real clock of the machine is never touched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::Host;

/// How a wall clock is wrong, which can change while programs run.
pub(super) struct WallClock {
    file: PathBuf,
    library: PathBuf,
}

impl WallClock {
    /// A wall clock for the programs of a host; its setting lies in `folder`.
    pub(super) fn new(host: &Host, folder: &Path) -> Result<Self> {
        // The library leaves files here, named by process ids that mean nothing on another host.
        host.sh("mount -t tmpfs -o mode=1777 shm /dev/shm")?;
        Ok(Self {
            file: folder.join("wall-clock"),
            library: library()?,
        })
    }

    /// Sets it to so much before or after the real time, such as `+10m`.
    pub(super) fn set(&self, offset: &str) -> Result<()> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, format!("{offset}\n"))?;
        Ok(fs::rename(fresh, &self.file)?)
    }

    /// What makes a program see it.
    pub(super) fn environment(&self) -> [(&'static str, &Path); 5] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.file),
            ("FAKETIME_NO_CACHE", Path::new("1")),
            ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
            ("NO_FAKE_STAT", Path::new("1")),
        ]
    }
}

fn library() -> Result<PathBuf> {
    let places = fs::read_dir("/usr/lib")?.filter_map(Result::ok);
    let mut found = places.map(|place| place.path().join("faketime/libfaketimeMT.so.1"));
    found
        .find(|path| path.exists())
        .context("libfaketime is not installed; run tests/install-tools")
}
