//! Files that are there whole, or as they were before.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::StateError;

/// The end of the names of files that are being written.
pub(super) const UNFINISHED: &str = ".new";

/// The file itself is opened, not what a link leads to; and nobody waits for the other end of a pipe.
pub(super) const ITSELF: i32 = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .bits()
    .cast_signed();

/// The most that any file of the state directory holds.
const LARGEST: u64 = tidegate_core::LARGEST_FILE;

/// Replaces `directory/name`. When this returns, the new content survives a loss of power.
pub(super) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), StateError> {
    let path = directory.join(name);
    let beside = directory.join(format!("{name}{UNFINISHED}"));
    let written = write_synced(&beside, bytes).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = written.and_then(|()| sync(directory)) {
        // The error is what matters; a leftover is removed at the next start.
        let _ = fs::remove_file(&beside);
        return Err(StateError::unwritable(&path, &error));
    }
    Ok(())
}

/// Writes a new file, in place of whatever lies there: that is nobody's of ours.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Syncs a directory: the names in it.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Removes a file for good; it need not be there.
pub(super) fn remove(directory: &Path, name: &str) -> Result<(), StateError> {
    let path = directory.join(name);
    let removed = match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other,
    };
    removed
        .and_then(|()| sync(directory))
        .map_err(|error| StateError::unwritable(&path, &error))
}

/// A file's bytes, erased when dropped; `None` where there is no such file. Refused where others can read it.
pub(super) fn read(directory: &Path, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StateError> {
    let path = directory.join(name);
    let unreadable = |error: &io::Error| StateError::unreadable(&path, error);
    let opened = File::options().read(true).custom_flags(ITSELF).open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(&error)),
    };
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StateError::OpenToOthers {
            path: path.display().to_string(),
            mode,
        });
    }
    if !metadata.is_file() || metadata.len() > LARGEST {
        return Err(StateError::damaged(&path, "no file that tidegate wrote"));
    }
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        replace(folder.path(), "list", b"one").unwrap();
        replace(folder.path(), "list", b"two").unwrap();
        assert_eq!(**read(folder.path(), "list").unwrap().unwrap(), *b"two");
        let mode = fs::metadata(folder.path().join("list")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        replace(folder.path(), "key", b"secret").unwrap();
        let open = fs::Permissions::from_mode(0o640);
        fs::set_permissions(folder.path().join("key"), open).unwrap();
        assert!(matches!(
            read(folder.path(), "key"),
            Err(StateError::OpenToOthers { mode: 0o640, .. })
        ));
    }

    #[test]
    fn a_folder_that_takes_nothing_keeps_what_it_had() {
        let folder = tempfile::tempdir().unwrap();
        replace(folder.path(), "list", b"one").unwrap();
        // In the way of the file that is written beside.
        fs::create_dir(folder.path().join("list.new")).unwrap();
        assert!(matches!(
            replace(folder.path(), "list", b"two"),
            Err(StateError::Unwritable { .. })
        ));
        assert_eq!(**read(folder.path(), "list").unwrap().unwrap(), *b"one");
    }

    #[test]
    fn no_file_is_no_error_and_removing_it_neither() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path(), "list").unwrap(), None);
        remove(folder.path(), "list").unwrap();
    }
}
