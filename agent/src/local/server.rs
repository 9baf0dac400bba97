//! The daemon's side of the socket.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{CLIENTS, LONGEST_REQUEST, PATIENCE, Refusal, Reply, Request};
use crate::exit::Exit;

/// The group that may look.
const GROUP: &str = "tidegate";
/// A pause after an error of the socket, so that it cannot eat the machine.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long answers may take to leave when the daemon ends.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);

/// Why the daemon cannot be spoken to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum SocketError {
    /// A daemon answers there.
    #[error(
        "a tidegate daemon runs already and answers at {0}; stop it first, or give another --socket"
    )]
    Taken(String),
    /// Something else is there.
    #[error("{0} exists and is no socket; move it away, or give another --socket")]
    InTheWay(String),
    /// It cannot be made.
    #[error("cannot listen at {path}: {reason}; check the folder, or give another --socket")]
    Refused {
        /// The path.
        path: String,
        /// What the system said.
        reason: String,
    },
}

/// A socket that listens, made before rights are given up. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Listens at `path`, for the owner and the group `tidegate` where there is one.
    pub(crate) fn open(path: &Path) -> Result<Self, SocketError> {
        let refused = |error: io::Error| SocketError::Refused {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        if let Some(folder) = path.parent() {
            let make = fs::DirBuilder::new()
                .mode(0o755)
                .recursive(true)
                .create(folder);
            make.map_err(refused)?;
        }
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused)?;
        let mode = if give_to_group(path) { 0o660 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }

    /// Begins to serve; must be called within the runtime.
    pub(crate) fn serve(self, asked: mpsc::Sender<Asked>) -> io::Result<Listener> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let slots = Slots::default();
        let task = tokio::spawn(accept(listener, asked, slots.clone()));
        Ok(Listener {
            task,
            slots,
            _socket: self,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Another daemon removes it as stale if this fails.
        let _ = fs::remove_file(&self.path);
    }
}

/// A question, and where its answer goes.
pub(crate) type Asked = (Request, oneshot::Sender<Reply>);

/// A socket that is served.
#[derive(Debug)]
pub(crate) struct Listener {
    task: tokio::task::JoinHandle<()>,
    slots: Slots,
    _socket: Socket,
}

impl Listener {
    /// Takes no more questions, and waits a moment for the answers that are on their way.
    pub(crate) async fn finish(self) {
        self.task.abort();
        let _ = timeout(LAST_WORDS, self.slots.all_free()).await; // who does not read by now does without
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Removes what a daemon that is gone has left.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let shown = || path.display().to_string();
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::InTheWay(shown()));
    }
    if UnixStream::connect(path).is_ok() {
        return Err(SocketError::Taken(shown()));
    }
    fs::remove_file(path).map_err(|error| SocketError::Refused {
        path: shown(),
        reason: error.to_string(),
    })
}

/// Whether there is such a group and the socket is its now.
fn give_to_group(path: &Path) -> bool {
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    let Some(group) = group_id(&groups, GROUP) else {
        return false;
    };
    std::os::unix::fs::chown(path, None, Some(group)).is_ok()
}

fn group_id(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        fields.nth(1).filter(|_| found)?.parse().ok()
    })
}

/// Whom there is room for: those who may change something, and those who may only look.
#[derive(Clone, Debug)]
struct Slots {
    changing: Arc<Semaphore>,
    looking: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        let semaphore = || Arc::new(Semaphore::new(CLIENTS));
        Self {
            changing: semaphore(),
            looking: semaphore(),
        }
    }
}

impl Slots {
    fn take(&self, may_change: bool) -> Option<OwnedSemaphorePermit> {
        let slots = if may_change {
            &self.changing
        } else {
            &self.looking
        };
        Arc::clone(slots).try_acquire_owned().ok()
    }

    async fn all_free(&self) {
        for slots in [&self.changing, &self.looking] {
            let _ = slots.acquire_many(CLIENTS as u32).await; // it is never closed
        }
    }
}

async fn accept(listener: tokio::net::UnixListener, asked: mpsc::Sender<Asked>, slots: Slots) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let may_change = may_change(&stream);
        let Some(slot) = slots.take(may_change) else {
            turn_away(&stream);
            continue;
        };
        let asked = asked.clone();
        tokio::spawn(async move {
            let _slot = slot;
            // A client that hangs up or is too slow loses its answer, nothing more.
            let _ = converse(stream, may_change, &asked).await;
        });
    }
}

fn turn_away(stream: &tokio::net::UnixStream) {
    let message = "too many programs ask the daemon at once; try again in a moment";
    let reply = Reply::Refused(Refusal::new(Exit::NoAnswer, message));
    let mut answer = serde_json::to_vec(&reply).unwrap_or_default();
    answer.push(b'\n');
    let _ = stream.try_write(&answer); // there is room for it, or nobody listens
}

async fn converse(
    stream: tokio::net::UnixStream,
    may_change: bool,
    asked: &mpsc::Sender<Asked>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader.take(LONGEST_REQUEST as u64));
    let mut line = Vec::new();
    timeout(PATIENCE, lines.read_until(b'\n', &mut line)).await??;
    let reply = match judge(&line, may_change) {
        Ok(request) => ask(request, asked).await,
        Err(refusal) => Reply::Refused(refusal),
    };
    let mut answer = serde_json::to_vec(&reply)?;
    answer.push(b'\n');
    timeout(PATIENCE, writer.write_all(&answer)).await?
}

/// Root and the daemon's own user.
fn may_change(stream: &tokio::net::UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|asker| asker.uid() == 0 || asker.uid() == own)
}

fn judge(line: &[u8], may_change: bool) -> Result<Request, Refusal> {
    if !line.ends_with(b"\n") {
        let message = format!("a question is one line of at most {LONGEST_REQUEST} bytes");
        return Err(Refusal::new(Exit::Usage, message));
    }
    let request = Request::parse(line).map_err(|error| {
        let message =
            format!("the daemon does not understand that ({error}); are both of one version?");
        Refusal::new(Exit::Usage, message)
    })?;
    if request.changes() && !may_change {
        let message = "only root may change anything; use sudo";
        return Err(Refusal::new(Exit::Rights, message));
    }
    Ok(request)
}

async fn ask(request: Request, asked: &mpsc::Sender<Asked>) -> Reply {
    let (answer, answered) = oneshot::channel();
    let ended = || Reply::Refused(Refusal::new(Exit::NoDaemon, "the daemon is ending"));
    if asked.send((request, answer)).await.is_err() {
        return ended();
    }
    answered.await.unwrap_or_else(|_| ended())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_only_look_changes_nothing() {
        assert!(judge(b"{\"do\":\"health\"}\n", false).is_ok());
        let refused = judge(b"{\"do\":\"down\"}\n", false).unwrap_err();
        assert_eq!(refused.exit, Exit::Rights);
        assert!(judge(b"{\"do\":\"down\"}\n", true).is_ok());
    }

    #[test]
    fn who_may_only_look_leaves_room_for_root() {
        let slots = Slots::default();
        let taken: Vec<_> = (0..CLIENTS).map_while(|_| slots.take(false)).collect();
        assert_eq!(taken.len(), CLIENTS);
        assert!(slots.take(false).is_none());
        assert!(slots.take(true).is_some());
        drop(taken);
        assert!(slots.take(false).is_some());
    }

    #[tokio::test]
    async fn one_too_many_is_told_so() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        turn_away(&ours);
        drop(ours);
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("too many programs"), "{answer}");
    }

    #[test]
    fn half_a_question_is_none() {
        assert!(judge(b"{\"do\":\"health\"}", true).is_err());
        assert!(judge(b"", true).is_err());
        assert!(judge(b"\xff\xfe\n", true).is_err());
    }

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\ntidegate-x:x:7:\ntidegate:x:998:alice\n";
        assert_eq!(group_id(groups, "tidegate"), Some(998));
        assert_eq!(group_id(groups, "tide"), None);
    }

    #[test]
    fn a_second_daemon_finds_the_first_and_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/tidegate.sock");
        let first = Socket::open(&path).unwrap();
        assert!(matches!(Socket::open(&path), Err(SocketError::Taken(_))));
        drop(first);
        drop(UnixListener::bind(&path).unwrap());
        Socket::open(&path).unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let file = folder.path().join("file");
        assert!(matches!(Socket::open(&file), Err(SocketError::InTheWay(_))));
    }
}
