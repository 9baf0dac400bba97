//! Reading files: never more than they may hold, and never a secret that others can read too.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

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
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A folder, a device, a pipe.
    #[error("{0} is not a regular file; give the path of a file")]
    NotRegular(String),
    /// More than any file of its kind holds.
    #[error("{path} has more than {limit} bytes, which no such file has; give the right file")]
    TooLarge {
        /// The file.
        path: String,
        /// The most that is read.
        limit: usize,
    },
    /// A secret that others than its owner may read or change.
    #[error(
        "{path} is open to others (mode {mode:04o}); run: chmod 600 {path} - and if anybody may have read it, make a new secret"
    )]
    OpenToOthers {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// A name that is taken.
    #[error("{0} exists already and is never replaced; choose another name, or move it away first")]
    Exists(String),
    /// A path that names no file, like `..`.
    #[error("{0} is no name for a file; give one like folder/name")]
    NoName(String),
    /// The system did not let it be written; nothing of it is left.
    #[error(
        "cannot write {path}: {reason}; nothing was written: choose a folder that exists, may be written to and has room"
    )]
    Unwritable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Secrecy {
    /// Its owner alone, or it is refused.
    Secret,
    /// Anybody.
    Public,
}

/// The file's bytes, of which there may be at most `limit`. They are erased when dropped.
pub(crate) fn read(
    path: &Path,
    limit: usize,
    secrecy: Secrecy,
) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let unreadable = |error: io::Error| FileError::Unreadable {
        path: shown(path),
        reason: reason(&error),
    };
    let file = open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular(shown(path)));
    }
    let mode = metadata.mode() & 0o7777;
    if secrecy == Secrecy::Secret && mode & !0o600 != 0 {
        return Err(FileError::OpenToOthers {
            path: shown(path),
            mode,
        });
    }
    // All the room at once: a vector that grows leaves copies behind that nobody erases.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > limit {
        return Err(FileError::TooLarge {
            path: shown(path),
            limit,
        });
    }
    Ok(bytes)
}

/// Opens without waiting, should it be a pipe that nobody writes to.
fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)
}

/// What the system said, without its error number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

/// A path as people paste it into a shell.
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@%=".contains(c);
    let dashed = if text.starts_with('-') { "./" } else { "" };
    if !text.is_empty() && text.chars().all(plain) {
        format!("{dashed}{text}")
    } else {
        format!("'{dashed}{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn file_of(bytes: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn only_what_its_owner_alone_can_use_is_secret() {
        for mode in [0o600, 0o400] {
            let file = file_of(b"secret", mode);
            assert_eq!(**read(file.path(), 6, Secrecy::Secret).unwrap(), *b"secret");
        }
        for mode in [0o640, 0o604, 0o644, 0o620, 0o602, 0o610, 0o700, 0o4600] {
            let file = file_of(b"secret", mode);
            let refused = FileError::OpenToOthers {
                path: shown(file.path()),
                mode,
            };
            assert_eq!(read(file.path(), 6, Secrecy::Secret), Err(refused));
            assert!(read(file.path(), 6, Secrecy::Public).is_ok());
        }
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let file = file_of(b"seven b", 0o600);
        let refused = FileError::TooLarge {
            path: shown(file.path()),
            limit: 6,
        };
        assert_eq!(read(file.path(), 6, Secrecy::Public), Err(refused));
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            0o600.into(),
            0,
        )
        .unwrap();
        for path in [folder.path(), &pipe, Path::new("/dev/zero")] {
            assert_eq!(
                read(path, 6, Secrecy::Public),
                Err(FileError::NotRegular(shown(path)))
            );
        }
    }

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        let text = |path: &str| shown(Path::new(path));
        assert_eq!(text("keys/root.pem"), "keys/root.pem");
        assert_eq!(text("my keys/root.pem"), "'my keys/root.pem'");
        assert_eq!(text("it's"), r"'it'\''s'");
        assert_eq!(text("-rf"), "./-rf");
        assert_eq!(text(""), "''");
    }
}
