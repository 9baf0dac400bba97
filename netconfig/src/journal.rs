//! The journal: how to undo each change, on the disk before the change is made.
//!
//! ```text
//! record(step)  →  change the host  →  …  →  undo the change  →  forget(key)
//! ```
//!
//! [`Journal::record`] returns when the record is on the disk (file and directory synced). Whatever a crash
//! interrupts, the next [`Journal::open`] knows every change that may have been made. A step names what it
//! undoes by its [`Step::key`]; only the first step of a key is kept, since only that one has seen the original.
//! Undoing must be repeatable, because a crash may come between the undo and the `forget`.

pub mod codec;
mod pending;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use codec::MAX_BYTES;
pub use pending::Pending;

/// A file that grew beyond this is rewritten with what is still pending.
const COMPACT_ABOVE: u64 = 256 << 10;

/// How long a lock may be held by somebody who is about to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// One undo step.
pub trait Step: Serialize + DeserializeOwned + Clone {
    /// Names what the step restores. Two steps with one key restore the same thing.
    fn key(&self) -> String;
}

/// Why the journal cannot be used. Without a journal nothing may be changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A system call failed.
    #[error(
        "cannot {what} {path}: {error}; nothing was changed: make the state directory writable and try again"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system answered.
        error: io::ErrorKind,
    },
    /// Another process holds the journal.
    #[error("{0} is in use by another process; stop that one first")]
    Busy(PathBuf),
    /// The file is far larger than any journal.
    #[error(
        "{path} has {bytes} bytes, which no journal has; move it away after restoring the host by hand"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A step does not fit into JSON.
    #[error("an undo step cannot be written down: {0}")]
    Encode(String),
}

/// Where a change stands; a test kills the process at each of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Checkpoint {
    /// The record is about to be written.
    Recording,
    /// The record is written, not yet synced.
    Written,
    /// The record is synced; the change may begin.
    Recorded,
    /// A change was made.
    Changed,
    /// A record is about to be dropped, its change is undone.
    Forgetting,
    /// The record is dropped.
    Forgotten,
}

/// Called at every [`Checkpoint`].
pub type OnCheckpoint = Box<dyn FnMut(Checkpoint) + Send>;

/// An append-only file of undo steps, held by one process at a time.
pub struct Journal<S> {
    path: PathBuf,
    directory: File,
    file: File,
    _lock: File,
    length: u64,
    pending: Pending<S>,
    damaged: Vec<usize>,
    on_checkpoint: Option<OnCheckpoint>,
}

impl<S: Step> Journal<S> {
    /// Opens or creates `directory/name`, and takes it for this process.
    ///
    /// # Errors
    /// When the file cannot be read, written or locked.
    pub fn open(directory: &Path, name: &str) -> Result<Self, JournalError> {
        let path = directory.join(name);
        let lock = lock(&directory.join(format!("{name}.lock")))?;
        let mut file = open_private(&path)?;
        let decoded = codec::decode::<S>(&read_bounded(&mut file, &path)?);
        file.set_len(decoded.whole as u64)
            .map_err(failed("truncate", &path))?;
        let opened = File::open(directory).map_err(failed("open", directory))?;
        let journal = Self {
            path,
            directory: opened,
            file,
            _lock: lock,
            length: decoded.whole as u64,
            pending: decoded.pending,
            damaged: decoded.damaged,
            on_checkpoint: None,
        };
        journal.sync()?;
        Ok(journal)
    }

    /// Steps of changes that may have been made and are not undone, oldest first: undo from the end.
    #[must_use]
    pub fn pending(&self) -> &Pending<S> {
        &self.pending
    }

    /// Lines that could not be read although later ones could: the disk, or somebody, changed them.
    #[must_use]
    pub fn damaged(&self) -> &[usize] {
        &self.damaged
    }

    /// Has `hook` called at every checkpoint.
    pub fn on_checkpoint(&mut self, hook: OnCheckpoint) {
        self.on_checkpoint = Some(hook);
    }

    /// Tells the hook that the change after a record was made.
    pub fn changed(&mut self) {
        self.checkpoint(Checkpoint::Changed);
    }

    /// Writes how to undo the changes that come next. When it returns, they may be made.
    ///
    /// Steps whose key is pending already are skipped; if all are, nothing is written.
    ///
    /// # Errors
    /// When the records cannot be made durable; then the changes must not be made.
    pub fn record(&mut self, steps: impl IntoIterator<Item = S>) -> Result<(), JournalError> {
        let mut pending = self.pending.clone();
        let mut bytes = Vec::new();
        for step in steps {
            if !pending.contains(&step.key()) {
                bytes.extend(codec::encode_step(&step).map_err(unencodable)?);
                pending.insert(step);
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.checkpoint(Checkpoint::Recording);
        self.append(&bytes)?;
        self.pending = pending;
        self.checkpoint(Checkpoint::Recorded);
        Ok(())
    }

    /// Drops the steps with these keys, because what they would undo is undone.
    ///
    /// # Errors
    /// When the file cannot be written; the steps stay, and undoing them again does no harm.
    pub fn forget<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k str>,
    ) -> Result<(), JournalError> {
        let mut left = self.pending.clone();
        let mut bytes = Vec::new();
        for key in keys {
            if left.contains(key) {
                left.remove(key);
                bytes.extend(codec::encode_forget(key).map_err(unencodable)?);
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.checkpoint(Checkpoint::Forgetting);
        if left.is_empty() {
            self.empty()?;
        } else if self.length > COMPACT_ABOVE {
            self.rewrite(&left)?;
        } else {
            self.append(&bytes)?;
        }
        self.pending = left;
        self.checkpoint(Checkpoint::Forgotten);
        Ok(())
    }

    /// Undoes every pending step, newest first, forgetting each as it is undone.
    ///
    /// A step that cannot be undone stays in the journal and does not hold up the others; their errors are returned.
    ///
    /// # Errors
    /// When the journal itself cannot be written.
    pub fn replay<E>(
        &mut self,
        mut undo: impl FnMut(&S) -> Result<(), E>,
    ) -> Result<Vec<E>, JournalError> {
        let mut errors = Vec::new();
        for step in self.pending.clone().iter().rev() {
            match undo(step) {
                Ok(()) => {
                    self.changed();
                    self.forget([step.key().as_str()])?;
                }
                Err(error) => errors.push(error),
            }
        }
        Ok(errors)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let written = self
            .file
            .write_all(bytes)
            .map_err(failed("write", &self.path));
        self.checkpoint(Checkpoint::Written);
        if let Err(error) = written.and_then(|()| self.sync()) {
            // Half a record in the middle would damage the file for later ones; if this fails too, opening repairs it.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn empty(&mut self) -> Result<(), JournalError> {
        self.file
            .set_len(0)
            .map_err(failed("truncate", &self.path))?;
        self.length = 0;
        self.checkpoint(Checkpoint::Written);
        self.sync()
    }

    /// Replaces the file with one that holds only these steps.
    fn rewrite(&mut self, pending: &Pending<S>) -> Result<(), JournalError> {
        let path = self.path.with_extension("new");
        let mut bytes = Vec::new();
        for step in pending.iter() {
            bytes.extend(codec::encode_step(step).map_err(unencodable)?);
        }
        let mut file = open_private(&path)?;
        file.set_len(0)
            .and_then(|()| file.write_all(&bytes))
            .map_err(failed("write", &path))?;
        file.sync_all().map_err(failed("sync", &path))?;
        fs::rename(&path, &self.path).map_err(failed("replace", &self.path))?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.checkpoint(Checkpoint::Written);
        self.sync()
    }

    fn sync(&self) -> Result<(), JournalError> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        self.directory
            .sync_all()
            .map_err(failed("sync the directory of", &self.path))
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) {
        if let Some(hook) = &mut self.on_checkpoint {
            hook(checkpoint);
        }
    }
}

/// A former holder may take a moment to go: a child that it was just starting shares its lock until it runs.
fn lock(path: &Path) -> Result<File, JournalError> {
    let file = open_private(path)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => {
                thread::sleep(PATIENCE / 50)
            }
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Busy(path.to_owned())),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
        }
    }
}

fn open_private(path: &Path) -> Result<File, JournalError> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("open", path))
}

fn read_bounded(file: &mut File, path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    if bytes.len() > MAX_BYTES {
        let bytes = file
            .metadata()
            .map_or(bytes.len() as u64, |data| data.len());
        return Err(JournalError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    Ok(bytes)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |error| JournalError::Io {
        what,
        path: path.to_owned(),
        error: error.kind(),
    }
}

fn unencodable(error: serde_json::Error) -> JournalError {
    JournalError::Encode(error.to_string())
}
