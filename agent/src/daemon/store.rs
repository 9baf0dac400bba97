//! The disk, on a thread of its own: files in the order in which core gives them, each confirmed when it is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidegate_core::{Input, Store};
use tokio::sync::mpsc;

use super::inbox::{Inbox, Message};
use crate::state::StateDirectory;

/// Files that may wait to be written.
const FILES: usize = 256;

/// Files that could not be written.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// How many there were.
    pub(super) count: AtomicU64,
    /// Whether the last one was one of them.
    pub(super) now: AtomicBool,
}

/// Where files are handed in.
pub(super) struct Disk {
    files: mpsc::Sender<Store>,
    failed: Arc<Failed>,
    thread: std::thread::JoinHandle<()>,
}

impl Disk {
    /// Starts the thread.
    pub(super) fn start(directory: Arc<StateDirectory>, inbox: Inbox) -> std::io::Result<Self> {
        let (files, queue) = mpsc::channel(FILES);
        let failed = Arc::new(Failed::default());
        let writer = Writer {
            directory,
            queue,
            inbox,
            failed: Arc::clone(&failed),
        };
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            files,
            failed,
            thread,
        })
    }

    /// Hands in a file. What finds no room is answered as not stored: `false`.
    pub(super) fn write(&self, file: Store) -> bool {
        self.files.try_send(file).is_ok()
    }

    /// How many files could not be written.
    pub(super) fn failed(&self) -> Arc<Failed> {
        Arc::clone(&self.failed)
    }

    /// Waits until what was handed in is on the disk, and ends.
    pub(super) async fn end(self) {
        let Self { files, thread, .. } = self;
        drop(files);
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

struct Writer {
    directory: Arc<StateDirectory>,
    queue: mpsc::Receiver<Store>,
    inbox: Inbox,
    failed: Arc<Failed>,
}

impl Writer {
    fn run(mut self) {
        while let Some(file) = self.queue.blocking_recv() {
            let input = match self.directory.replace(file.name.as_str(), &file.bytes) {
                Ok(()) => {
                    self.failed.now.store(false, Ordering::Relaxed);
                    Input::Stored(file.token)
                }
                Err(error) => {
                    self.failed.count.fetch_add(1, Ordering::Relaxed);
                    self.failed.now.store(true, Ordering::Relaxed);
                    tracing::error!(file = %file.name, %error, "a file could not be written");
                    Input::NotStored(file.token)
                }
            };
            if self.inbox.blocking_send(Message::Core(input)).is_err() {
                return;
            }
        }
    }
}
