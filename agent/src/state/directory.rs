//! The directory as a whole: made, locked, listed, emptied.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tidegate_netconfig::host::JOURNAL;
use zeroize::Zeroizing;

use super::{StateError, file};

/// The name of the file whose lock says that somebody works here.
const LOCK: &str = "lock";

/// A state directory that is ours alone until this is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Opens and locks the directory, making it if need be, and removes what a crash left half written.
    ///
    /// # Errors
    /// When another process works there, others can read it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        make(path)?;
        let lock = lock(path)?;
        let directory = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        directory.sweep()?;
        Ok(directory)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file's bytes, if there is such a file.
    ///
    /// # Errors
    /// When it cannot be read, or others can read it too.
    pub fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
        file::read(&self.path, name)
    }

    /// Replaces a file; when this returns, the content survives a loss of power.
    ///
    /// # Errors
    /// When the system refuses; then the file is as it was.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        file::replace(&self.path, name, bytes)
    }

    /// Removes a file, which need not be there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &str) -> Result<(), StateError> {
        file::remove(&self.path, name)
    }

    /// Whether a file of that name is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).symlink_metadata().is_ok()
    }

    /// Removes every file but the lock: the membership is gone, and nothing is to be undone on the host.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn empty(&self) -> Result<(), StateError> {
        self.remove_all(|name| name != LOCK)
    }

    /// Removes the membership: every file but the lock, and what is still to be undone on the host.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn forget_membership(&self) -> Result<(), StateError> {
        self.remove_all(|name| name != LOCK && name != JOURNAL)
    }

    fn sweep(&self) -> Result<(), StateError> {
        self.remove_all(|name| name.ends_with(file::UNFINISHED))
    }

    /// Removes what goes by such a name, links and sockets too; folders are nobody's of ours.
    fn remove_all(&self, which: impl Fn(&str) -> bool) -> Result<(), StateError> {
        let unreadable = |error: &io::Error| StateError::unreadable(&self.path, error);
        for entry in fs::read_dir(&self.path).map_err(|error| unreadable(&error))? {
            let entry = entry.map_err(|error| unreadable(&error))?;
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = entry.file_name();
            if let Some(name) = name.to_str().filter(|name| !is_folder && which(name)) {
                self.remove(name)?;
            }
        }
        Ok(())
    }
}

fn make(path: &Path) -> Result<(), StateError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|error| StateError::unwritable(path, &error))?;
    let metadata = fs::metadata(path).map_err(|error| StateError::unreadable(path, &error))?;
    if metadata.uid() != geteuid().as_raw() {
        return Err(StateError::Foreign {
            path: path.display().to_string(),
            owner: metadata.uid(),
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StateError::OpenToOthers {
            path: path.display().to_string(),
            mode,
        });
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<File, StateError> {
    use std::os::unix::fs::OpenOptionsExt;
    let path = directory.join(LOCK);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(file::ITSELF)
        .open(&path)
        .map_err(|error| StateError::unwritable(&path, &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(StateError::InUse(directory.display().to_string()))
        }
        Err(error) => Err(StateError::unwritable(&path, &error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_works_in_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = StateDirectory::open(&path).unwrap();
        assert_eq!(
            StateDirectory::open(&path).unwrap_err(),
            StateError::InUse(path.display().to_string())
        );
        drop(first);
        StateDirectory::open(&path).unwrap();
    }

    #[test]
    fn what_a_crash_left_half_written_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        drop(StateDirectory::open(&path).unwrap());
        fs::write(path.join("list.new"), b"hal").unwrap();
        let directory = StateDirectory::open(&path).unwrap();
        assert!(!directory.has("list.new"));
    }

    #[test]
    fn a_directory_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(
            StateDirectory::open(folder.path()),
            Err(StateError::OpenToOthers { mode: 0o755, .. })
        ));
    }

    #[test]
    fn emptying_leaves_the_lock_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let directory = StateDirectory::open(&path).unwrap();
        directory.replace("identity.key", b"secret").unwrap();
        directory.replace(JOURNAL, b"to be undone").unwrap();
        directory.forget_membership().unwrap();
        assert!(!directory.has("identity.key"));
        assert!(directory.has(JOURNAL));
        directory.empty().unwrap();
        assert!(!directory.has(JOURNAL));
        assert!(directory.has(LOCK));
    }
}
