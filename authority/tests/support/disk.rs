//! A disk that can be full.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A small disk of its own, gone at the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(at: PathBuf, size: &str) -> Self {
        std::fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&at);
        assert!(mount.status().unwrap().success(), "this test runs as root");
        Self(at)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves no room. Whoever removes the file makes it again.
    pub fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut length = 1 << 24;
        let mut content = Vec::new();
        while length > 0 {
            content.resize(content.len() + length, 1);
            if std::fs::write(&filler, &content).is_err() {
                content.truncate(content.len() - length);
                length /= 2;
            }
        }
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
