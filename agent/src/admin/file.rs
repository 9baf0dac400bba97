//! Files that only their owner may read.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Why a file was not read or written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system did not let it be read.
    #[error("cannot read {path}: {reason}; check the path, and that you may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A folder, a device, a pipe.
    #[error("{0} is not a regular file; give the path of a file")]
    NotRegular(PathBuf),
    /// More than any file of its kind holds.
    #[error("{path} has more than {limit} bytes, which no such file has; give the right file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: usize,
    },
    /// A secret that others may read or change.
    #[error(
        "{path} is open to others (mode {mode:04o}); run: chmod 600 {path} - and if anybody may have read it, make a new secret"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Bytes that are no text.
    #[error("{0} is not text; give the right file")]
    NotText(PathBuf),
    /// The system did not let it be written.
    #[error("cannot write {path}: {reason}; nothing was changed")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// Who may be able to read a file that is read here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Secrecy {
    Secret,
    Public,
}

/// The text in `path`, of at most `limit` bytes. Everything is checked on the handle that is read.
pub(crate) fn read(
    path: &Path,
    limit: usize,
    secrecy: Secrecy,
) -> Result<Zeroizing<String>, FileError> {
    let unreadable = |error: io::Error| FileError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed()) // a pipe must not make us wait
        .open(path)
        .map_err(unreadable)?;
    check(&file, path, secrecy)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit.min(64 * 1024) + 1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: path.into(),
            limit,
        });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| FileError::NotText(path.into()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn check(file: &File, path: &Path, secrecy: Secrecy) -> Result<(), FileError> {
    let facts = file.metadata().map_err(|error| FileError::Unreadable {
        path: path.into(),
        reason: error.to_string(),
    })?;
    if !facts.is_file() {
        return Err(FileError::NotRegular(path.into()));
    }
    let mode = facts.mode() & 0o7777;
    if secrecy == Secrecy::Secret && mode & 0o077 != 0 {
        return Err(FileError::OpenToOthers {
            path: path.into(),
            mode,
        });
    }
    Ok(())
}

/// Puts `text` in the place of `path`, whole or not at all, for its owner only. Folders that are missing are made.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let unwritable = |error: io::Error| FileError::Unwritable {
        path: path.into(),
        reason: error.to_string(),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(unwritable)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let written = write_new(&draft, text).and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft); // it may not be there
    }
    written
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(unwritable)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
