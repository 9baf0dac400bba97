//! Making a folder with all that belongs into it: whole, or not at all.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::file::{FileError, reason, shown};
use crate::new_file::Access;

const ENDING: &str = ".new";

/// A folder under a preliminary name beside its place. Dropped, it is gone; a killed process leaves it to the next one
/// that makes the same folder, which removes it first.
#[derive(Debug)]
pub struct NewDir {
    path: PathBuf,
    temporary: PathBuf,
    /// Who the folder is for, where an empty one is there already.
    owner: Option<(u32, u32)>,
    /// Locked: somebody is at work here.
    _at_work: File,
}

impl NewDir {
    /// Begins a folder that is to appear as `path`, where nothing may be yet, or an empty folder.
    pub fn prepare(path: &Path) -> Result<Self, FileError> {
        let absolute = std::path::absolute(path).map_err(|error| unwritable(path, &error))?;
        let name = absolute
            .file_name()
            .ok_or_else(|| FileError::NoName(shown(path)))?;
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        let owner = owner_if_empty(path)?;
        let prefix = format!(".{}.", name.to_string_lossy());
        remove_abandoned(parent, &prefix);
        let unique = getrandom::u64()
            .map_err(|error| unwritable(path, &io::Error::other(error.to_string())))?;
        let temporary = parent.join(format!("{prefix}{unique:016x}{ENDING}"));
        let begun = begin(&temporary).map_err(|error| unwritable(path, &error))?;
        Ok(Self {
            path: absolute,
            temporary,
            owner,
            _at_work: begun,
        })
    }

    /// Where its files are until then.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Makes a folder in it.
    pub fn add_folder(&self, name: &str) -> Result<(), FileError> {
        let mut folder = DirBuilder::new();
        let made = folder.mode(0o700).create(self.temporary.join(name));
        made.map_err(|error| unwritable(&self.path.join(name), &error))
    }

    /// Writes a file in it.
    pub fn add(&self, name: &str, contents: &[u8], access: Access) -> Result<(), FileError> {
        let mut file = self.create(name, access)?;
        file.write_all(contents)
            .map_err(|error| unwritable(&self.path.join(name), &error))
    }

    /// Creates a file in it, to be filled.
    pub fn create(&self, name: &str, access: Access) -> Result<File, FileError> {
        let mode = match access {
            Access::Owner => 0o600,
            Access::Everyone => 0o644,
        };
        let mut options = File::options();
        let created = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(self.temporary.join(name))
            .and_then(|file| {
                file.set_permissions(fs::Permissions::from_mode(mode))?; // whatever the umask says
                Ok(file)
            });
        created.map_err(|error| unwritable(&self.path.join(name), &error))
    }

    /// The error of a file in it that could not be written.
    pub(crate) fn unwritable(&self, name: &str, error: &io::Error) -> FileError {
        unwritable(&self.path.join(name), error)
    }

    /// Syncs all of it, and gives it its name.
    pub fn publish(self) -> Result<(), FileError> {
        let failed = |error: io::Error| unwritable(&self.path, &error);
        settle(&self.temporary, self.owner).map_err(failed)?;
        match rustix::fs::rename(&self.temporary, &self.path) {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {
                return Err(FileError::Exists(shown(&self.path)));
            }
            Err(Errno::BUSY | Errno::XDEV) => {
                let reason =
                    "it is a mount point, which cannot appear at once; name a folder within it";
                return Err(failed(io::Error::other(reason)));
            }
            renamed => renamed.map_err(|errno| failed(errno.into()))?,
        }
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(failed)
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary); // has its name already if it was published
    }
}

/// Whose the empty folder at `path` is; none if nothing is there.
fn owner_if_empty(path: &Path) -> Result<Option<(u32, u32)>, FileError> {
    let Ok(metadata) = path.symlink_metadata() else {
        return Ok(None);
    };
    let empty = metadata.is_dir()
        && fs::read_dir(path)
            .map_err(|error| FileError::Unreadable {
                path: shown(path),
                reason: reason(&error),
            })?
            .next()
            .is_none();
    if !empty {
        return Err(FileError::Exists(shown(path)));
    }
    Ok(Some((metadata.uid(), metadata.gid())))
}

fn begin(temporary: &Path) -> io::Result<File> {
    DirBuilder::new().mode(0o700).create(temporary)?;
    let folder = File::open(temporary)?;
    folder.set_permissions(fs::Permissions::from_mode(0o700))?; // whatever the umask says
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    Ok(folder)
}

/// Removes what killed processes left. What is locked is somebody's work.
fn remove_abandoned(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let unique = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix(ENDING));
        let ours =
            unique.is_some_and(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        // What is not ours is not even opened: a pipe would make us wait for its other end.
        let Some(folder) = ours.then(|| File::open(entry.path()).ok()).flatten() else {
            continue;
        };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path()); // whoever finds it next tries again
        }
    }
}

/// Gives every file and folder to its owner and syncs it, the innermost first.
fn settle(folder: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            settle(&entry.path(), owner)?;
        } else {
            give(&entry.path(), owner)?;
            File::open(entry.path())?.sync_all()?;
        }
    }
    give(folder, owner)?;
    File::open(folder)?.sync_all()
}

fn give(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    let metadata = path.metadata()?;
    match owner {
        Some((user, group)) if (metadata.uid(), metadata.gid()) != (user, group) => {
            std::os::unix::fs::chown(path, Some(user), Some(group))
        }
        _ => Ok(()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unwritable {
        path: shown(path),
        reason: reason(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(path: &Path) -> NewDir {
        let new = NewDir::prepare(path).unwrap();
        new.add("key", b"secret", Access::Owner).unwrap();
        new.add_folder("genesis").unwrap();
        new.add("genesis/1", b"public", Access::Everyone).unwrap();
        new
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn it_appears_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        for there in [false, true] {
            if there {
                fs::remove_dir_all(&path).unwrap();
                fs::create_dir(&path).unwrap();
            }
            let new = filled(&path);
            assert_eq!(path.exists(), there);
            new.publish().unwrap();
            assert_eq!(names(parent.path()), ["data"]);
            assert_eq!(names(&path), ["genesis", "key"]);
            assert_eq!(
                path.metadata().unwrap().permissions().mode() & 0o7777,
                0o700
            );
            assert_eq!(
                path.join("key").metadata().unwrap().permissions().mode() & 0o7777,
                0o600
            );
        }
    }

    #[test]
    fn unpublished_it_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        drop(filled(&parent.path().join("data")));
        assert!(names(parent.path()).is_empty());
    }

    #[test]
    fn what_is_there_is_not_touched() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let new = filled(&path);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("mine"), "mine").unwrap();
        assert_eq!(new.publish(), Err(FileError::Exists(shown(&path))));
        assert_eq!(
            NewDir::prepare(&path).unwrap_err(),
            FileError::Exists(shown(&path))
        );
        assert_eq!(
            (names(parent.path()), names(&path)),
            (vec!["data".into()], vec!["mine".into()])
        );
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_at_work_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let at_work = filled(&path);
        let abandoned = parent.path().join(".data.0123456789abcdef.new");
        let other = parent.path().join(".data.notes.new");
        for folder in [&abandoned, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join("key"), "secret").unwrap();
        }
        filled(&path).publish().unwrap();
        assert!(!abandoned.exists() && other.exists() && at_work.temporary().exists());
    }
}
