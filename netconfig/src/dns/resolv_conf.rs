//! Replacing `/etc/resolv.conf` by another in one step.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid, XattrFlags};

/// A file larger than this is not a resolver configuration.
pub(super) const MAX_BYTES: u64 = 64 << 10;

/// How often a file that others change at the same time is looked at again.
const TRIES: usize = 10;

/// Why the file could not be edited. It is as it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolvConfError {
    /// A system call failed.
    #[error("cannot {what} {path}: {error}; it is unchanged: {}", advice(*error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        error: io::ErrorKind,
    },
    /// It is not a regular file any more.
    #[error("{0} is not a regular file any more; it is unchanged: run tidegate-dns up again")]
    NotAFile(PathBuf),
    /// It has grown beyond all measure.
    #[error("{0} is larger than 64 KiB, which no resolver configuration is; it is unchanged")]
    TooLarge(PathBuf),
    /// Somebody else writes it all the time.
    #[error("{0} is being changed by another program; it is unchanged: try again")]
    Contended(PathBuf),
}

fn advice(error: io::ErrorKind) -> &'static str {
    match error {
        io::ErrorKind::ReadOnlyFilesystem => {
            "make the file system writable, or enable systemd-resolved"
        }
        io::ErrorKind::PermissionDenied => "run as root, and see whether lsattr shows it immutable",
        io::ErrorKind::ResourceBusy => "something is mounted on it; configure the names there",
        _ => "repair that and try again",
    }
}

/// What an edit makes of the file.
pub(super) enum Edited {
    /// Nothing changes.
    Same,
    /// It is replaced.
    Content(Vec<u8>),
    /// It goes away.
    Gone,
}

/// Edits the file in one step: whoever looks sees it as before or as after, with mode, owner and attributes kept.
///
/// `edit` gets the content, `None` if there is no file.
pub(super) fn edit(
    path: &Path,
    edit: impl Fn(Option<&[u8]>) -> Edited,
) -> Result<(), ResolvConfError> {
    for _ in 0..TRIES {
        let seen = Seen::read(path)?;
        let done = match edit(seen.as_ref().map(|seen| seen.content.as_slice())) {
            Edited::Same => true,
            Edited::Content(content) => replace(path, seen.as_ref(), &content)?,
            Edited::Gone => drop_file(path, seen.as_ref())?,
        };
        if done {
            return Ok(());
        }
    }
    Err(ResolvConfError::Contended(path.to_owned()))
}

/// Removes what an interrupted [`edit`] left beside the file.
pub(super) fn tidy(path: &Path) -> Result<(), ResolvConfError> {
    let draft = draft(path);
    // Looking first: on a read-only file system even removing nothing is an error.
    match look(&draft)? {
        None => Ok(()),
        Some(_) => absent_is_fine(fs::remove_file(&draft)).map_err(failed("remove", &draft)),
    }
}

/// Reads the file, through a link if it is one; `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, ResolvConfError> {
    // A pipe in its place must not make us wait for ever.
    let mut options = File::options();
    options
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let mut content = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut content)
        .map_err(failed("read", path))?;
    if content.len() as u64 > MAX_BYTES {
        return Err(ResolvConfError::TooLarge(path.to_owned()));
    }
    Ok(Some(content))
}

struct Seen {
    content: Vec<u8>,
    data: Metadata,
}

impl Seen {
    fn read(path: &Path) -> Result<Option<Self>, ResolvConfError> {
        let Some(data) = look(path)? else {
            return Ok(None);
        };
        if !data.is_file() {
            return Err(ResolvConfError::NotAFile(path.to_owned()));
        }
        Ok(read(path)?.map(|content| Self { content, data }))
    }
}

fn look(path: &Path) -> Result<Option<Metadata>, ResolvConfError> {
    match fs::symlink_metadata(path) {
        Ok(data) => Ok(Some(data)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

/// Whether the file is still the one that was seen.
fn unchanged(path: &Path, seen: Option<&Seen>) -> Result<bool, ResolvConfError> {
    let stamp = |data: &Metadata| {
        let changed = (data.ctime(), data.ctime_nsec());
        (data.dev(), data.ino(), data.len(), changed)
    };
    let now = look(path)?;
    Ok(now.as_ref().map(stamp) == seen.map(|seen| stamp(&seen.data)))
}

fn replace(path: &Path, seen: Option<&Seen>, content: &[u8]) -> Result<bool, ResolvConfError> {
    let draft = draft(path);
    let result = write_draft(path, &draft, seen, content).and_then(|()| {
        let same = unchanged(path, seen)?;
        if same {
            fs::rename(&draft, path).map_err(failed("replace", path))?;
        }
        Ok(same)
    });
    if !matches!(result, Ok(true)) {
        // What is left is removed by the next run, should this fail too.
        let _ = fs::remove_file(&draft);
    }
    sync_directory(path).and(result)
}

fn write_draft(
    path: &Path,
    draft: &Path,
    seen: Option<&Seen>,
    content: &[u8],
) -> Result<(), ResolvConfError> {
    tidy(path)?;
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)
        .map_err(failed("create", draft))?;
    file.write_all(content).map_err(failed("write", draft))?;
    match seen {
        Some(seen) => dress(path, &file, &seen.data),
        None => rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644)).map_err(io::Error::from),
    }
    .map_err(failed("set owner and mode of", draft))?;
    file.sync_all().map_err(failed("sync", draft))
}

/// Gives the new file owner, mode and extended attributes of the old one.
fn dress(path: &Path, file: &File, data: &Metadata) -> io::Result<()> {
    let (owner, group) = (Uid::from_raw(data.uid()), Gid::from_raw(data.gid()));
    rustix::fs::fchown(file, Some(owner), Some(group))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(data.mode()))?;
    let mut names = vec![0; MAX_BYTES as usize];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        length => length?,
    };
    for name in names[..length].split(|&byte| byte == 0) {
        if name.is_empty() {
            continue;
        }
        let mut value = vec![0; MAX_BYTES as usize];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        rustix::fs::fsetxattr(file, name, &value[..length], XattrFlags::empty())?;
    }
    Ok(())
}

fn drop_file(path: &Path, seen: Option<&Seen>) -> Result<bool, ResolvConfError> {
    if !unchanged(path, seen)? {
        return Ok(false);
    }
    absent_is_fine(fs::remove_file(path)).map_err(failed("remove", path))?;
    sync_directory(path)?;
    Ok(true)
}

fn sync_directory(path: &Path) -> Result<(), ResolvConfError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync", directory))
}

/// Beside the file, so that it can take its place, under a name that nothing else uses.
fn draft(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tidegate-dns"))
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ResolvConfError {
    move |error| ResolvConfError::Io {
        what,
        path: path.to_owned(),
        error: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        (directory, path)
    }

    fn put(content: &'static [u8]) -> impl Fn(Option<&[u8]>) -> Edited {
        move |_| Edited::Content(content.to_vec())
    }

    #[test]
    fn mode_owner_and_attributes_are_kept() {
        let (_directory, path) = place();
        fs::write(&path, b"before").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = File::open(&path).unwrap();
        let attribute = rustix::fs::fsetxattr(&file, "user.note", b"mine", XattrFlags::empty());
        let root = rustix::process::geteuid().is_root();
        if root {
            std::os::unix::fs::chown(&path, Some(7), Some(9)).unwrap();
        }
        edit(&path, put(b"after")).unwrap();
        let data = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(data.mode() & 0o7777, 0o640);
        assert!(!root || (data.uid(), data.gid()) == (7, 9));
        if attribute.is_ok() {
            let mut value = [0; 8];
            let length = rustix::fs::lgetxattr(&path, "user.note", &mut value).unwrap();
            assert_eq!(&value[..length], b"mine");
        }
    }

    #[test]
    fn nothing_is_left_beside_it() {
        let (directory, path) = place();
        fs::write(draft(&path), b"from a crash").unwrap();
        edit(&path, put(b"new")).unwrap();
        edit(&path, |_| Edited::Gone).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        edit(&path, |_| Edited::Gone).unwrap();
    }

    #[test]
    fn a_link_is_never_followed_for_writing() {
        let (directory, path) = place();
        let target = directory.path().join("target");
        fs::write(&target, b"theirs").unwrap();
        symlink(&target, &path).unwrap();
        let error = edit(&path, put(b"ours")).unwrap_err();
        assert_eq!(error, ResolvConfError::NotAFile(path.clone()));
        symlink(&target, draft(&path)).unwrap();
        fs::remove_file(&path).unwrap();
        edit(&path, put(b"ours")).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
    }

    #[test]
    fn a_change_by_others_meanwhile_is_edited_too() {
        let (_directory, path) = place();
        fs::write(&path, b"one").unwrap();
        let interfere = std::cell::Cell::new(true);
        edit(&path, |content| {
            if interfere.take() {
                fs::write(&path, b"another").unwrap();
            }
            Edited::Content([content.unwrap(), b" and ours"].concat())
        })
        .unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"another and ours");
        let error = edit(&path, |content| {
            let more = [content.unwrap(), b"."].concat();
            fs::write(&path, more).unwrap();
            Edited::Content(Vec::new())
        });
        assert_eq!(error, Err(ResolvConfError::Contended(path)));
    }

    #[test]
    fn huge_files_and_directories_are_refused() {
        let (directory, path) = place();
        let size = usize::try_from(MAX_BYTES).unwrap() + 1;
        fs::write(&path, vec![b'\n'; size]).unwrap();
        let error = edit(&path, put(b"")).unwrap_err();
        assert_eq!(error, ResolvConfError::TooLarge(path));
        let error = edit(directory.path(), put(b"")).unwrap_err();
        assert_eq!(
            error,
            ResolvConfError::NotAFile(directory.path().to_owned())
        );
    }
}
