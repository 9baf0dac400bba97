//! Backups of the authority, and its return out of one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Overlay;
use crate::binary;

impl Overlay {
    /// Makes a backup of the running authority.
    pub fn back_up(&self) -> Result<PathBuf> {
        let backup = self.folder().join("backup");
        let _ = fs::remove_file(&backup); // of before
        self.keep("backup", "--out", &backup)?;
        Ok(backup)
    }

    /// Kills the authority, and starts it again as the backup has it, without waiting for its recovery.
    pub fn restore(&mut self, backup: &Path) -> Result<()> {
        self.kill_authority();
        let lost = self.folder().join("lost");
        fs::rename(self.dir(), &lost)?;
        self.keep("restore", "--from", backup)?;
        // The operator's key is no part of a backup; its owner has it elsewhere.
        let key = "operator-first.key";
        fs::copy(lost.join(key), self.dir().join(key))?;
        self.start_unready_authority()
    }

    fn keep(&self, what: &str, direction: &str, backup: &Path) -> Result<()> {
        let (dir, passphrase) = (self.dir(), self.folder().join("passphrase"));
        fs::write(&passphrase, "five random words of ours\n")?;
        fs::set_permissions(&passphrase, fs::Permissions::from_mode(0o600))?;
        let arguments = [
            OsStr::new(what),
            "--dir".as_ref(),
            dir.as_os_str(),
            direction.as_ref(),
            backup.as_os_str(),
            "--passphrase-file".as_ref(),
            passphrase.as_os_str(),
        ];
        let program = binary("tidegate-authority")?;
        self.authority.run(program, arguments)?;
        Ok(())
    }
}
