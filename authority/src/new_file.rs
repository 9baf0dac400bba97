//! Writing files: whole, under a name that was free, or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::file::{FileError, reason, shown};

/// Who may read a new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Its owner alone, whatever the umask says.
    Owner,
    /// Whoever the umask lets.
    Everyone,
}

impl Access {
    fn mode(self) -> Mode {
        match self {
            Self::Owner => Mode::RUSR | Mode::WUSR,
            Self::Everyone => Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH,
        }
    }
}

/// A file open for writing, and its preliminary name if it has one.
type Created = (File, Option<PathBuf>);
type Create = fn(&Path, &Path, Mode) -> io::Result<Created>;

/// A file that is written and synced, but has no name yet. Dropped, it is gone.
///
/// Where the file system can, it has no name at all, so that not even a killed process leaves a part of it.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    folder: PathBuf,
    file: File,
    /// Its preliminary name, where it needs one.
    temporary: Option<PathBuf>,
}

/// Gives all of `files` their names, or none: those that have theirs lose it again when one cannot get it.
pub fn publish(files: &[NewFile]) -> Result<(), FileError> {
    for (at, file) in files.iter().enumerate() {
        if let Err(error) = file.publish() {
            files[..at].iter().for_each(NewFile::withdraw);
            return Err(error);
        }
    }
    Ok(())
}

impl NewFile {
    /// Writes `contents`, to be published as `path`. Refused at once if that name is taken.
    pub fn prepare(path: &Path, contents: &[u8], access: Access) -> Result<Self, FileError> {
        Self::prepare_with(path, access, |mut file| file.write_all(contents))
    }

    /// As [`NewFile::prepare`], with contents that `write` streams into it.
    pub fn prepare_with(
        path: &Path,
        access: Access,
        write: impl FnOnce(&File) -> io::Result<()>,
    ) -> Result<Self, FileError> {
        Self::prepare_in(path, access, write, unnamed_file)
    }

    fn prepare_in(
        path: &Path,
        access: Access,
        write: impl FnOnce(&File) -> io::Result<()>,
        create: Create,
    ) -> Result<Self, FileError> {
        let name = path
            .file_name()
            .filter(|_| !path.as_os_str().as_encoded_bytes().ends_with(b"/"))
            .ok_or_else(|| FileError::NoName(shown(path)))?;
        if path.symlink_metadata().is_ok() {
            return Err(FileError::Exists(shown(path)));
        }
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let folder = parent.unwrap_or(Path::new("."));
        let written =
            create(folder, Path::new(name), access.mode()).and_then(|(file, temporary)| {
                let new = Self {
                    path: path.into(),
                    folder: folder.into(),
                    file,
                    temporary,
                };
                new.fill(write, access)?;
                Ok(new)
            });
        written.map_err(|error| unwritable(path, &error))
    }

    fn fill(&self, write: impl FnOnce(&File) -> io::Result<()>, access: Access) -> io::Result<()> {
        if access == Access::Owner {
            rustix::fs::fchmod(&self.file, access.mode())?; // an odd umask would keep the owner out as well
        }
        write(&self.file)?;
        self.file.sync_all()
    }

    fn publish(&self) -> Result<(), FileError> {
        let linked = match &self.temporary {
            None => link_open_file(&self.file, &self.path),
            Some(temporary) => rename_without_replacing(temporary, &self.path),
        };
        linked.map_err(|errno| match errno {
            Errno::EXIST => FileError::Exists(shown(&self.path)),
            other => unwritable(&self.path, &other.into()),
        })?;
        self.sync_folder().map_err(|error| {
            self.withdraw();
            unwritable(&self.path, &error)
        })
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    /// Takes back what this program has just published.
    fn withdraw(&self) {
        let _ = fs::remove_file(&self.path); // there is nobody left to tell
        let _ = self.sync_folder();
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary); // gone already once it is published
        }
    }
}

fn unwritable(path: &Path, error: &io::Error) -> FileError {
    FileError::Unwritable {
        path: shown(path),
        reason: reason(error),
    }
}

/// A file without a name, or one with a preliminary name where the file system knows no other.
fn unnamed_file(folder: &Path, name: &Path, mode: Mode) -> io::Result<Created> {
    if !Path::new("/proc/self/fd").exists() {
        return named_file(folder, name, mode);
    }
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(folder, flags, mode) {
        Ok(file) => Ok((File::from(file), None)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_file(folder, name, mode),
        Err(errno) => Err(errno.into()),
    }
}

fn named_file(folder: &Path, name: &Path, mode: Mode) -> io::Result<Created> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let unique = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
    let path = folder.join(format!(".{}.{unique:016x}.new", name.to_string_lossy()));
    let file: OwnedFd = rustix::fs::open(&path, flags, mode)?;
    Ok((File::from(file), Some(path)))
}

fn link_open_file(file: &File, path: &Path) -> Result<(), Errno> {
    let open = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)
}

fn rename_without_replacing(from: &Path, to: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can; then a link is what never replaces, and `Drop` removes the other name.
        Err(Errno::INVAL | Errno::NOSYS) => {
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WAYS: [Create; 2] = [unnamed_file, named_file];

    fn prepare(path: &Path, contents: &[u8], create: Create) -> Result<NewFile, FileError> {
        NewFile::prepare_in(
            path,
            Access::Owner,
            |mut file| file.write_all(contents),
            create,
        )
    }

    fn names_in(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_whole_and_alone() {
        for create in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            let new = prepare(&path, b"secret", create).unwrap();
            assert!(!path.exists());
            publish(&[new]).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"secret");
            assert_eq!(
                path.metadata().unwrap().permissions().mode() & 0o7777,
                0o600
            );
            assert_eq!(names_in(folder.path()), ["key"]);
        }
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        for create in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key");
            drop(prepare(&path, b"secret", create).unwrap());
            assert!(names_in(folder.path()).is_empty());
        }
    }

    #[test]
    fn a_name_that_is_taken_meanwhile_is_not_replaced_and_its_companion_goes_too() {
        for create in WAYS {
            let folder = tempfile::tempdir().unwrap();
            let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
            let files = [&first, &second].map(|path| prepare(path, b"new", create).unwrap());
            fs::write(&second, b"old").unwrap();
            assert_eq!(publish(&files), Err(FileError::Exists(shown(&second))));
            drop(files);
            assert_eq!(names_in(folder.path()), ["second"]);
            assert_eq!(fs::read(&second).unwrap(), b"old");
        }
    }

    #[test]
    fn a_dangling_link_is_a_name_that_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        let refused = NewFile::prepare(&path, b"secret", Access::Owner).unwrap_err();
        assert_eq!(refused, FileError::Exists(shown(&path)));
    }

    #[test]
    fn a_path_without_a_file_name_is_refused() {
        for path in ["..", "/", "folder/", ""] {
            let refused = NewFile::prepare(Path::new(path), b"", Access::Owner).unwrap_err();
            assert_eq!(refused, FileError::NoName(shown(Path::new(path))));
        }
    }
}
