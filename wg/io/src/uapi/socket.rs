//! The listening socket and the thread that serves it.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::answer::{DeviceStatus, Request};
use crate::error::ControlError;
use crate::wake::Wake;

/// Where `wg` looks for the sockets of userspace implementations.
pub const STATUS_DIRECTORY: &str = "/var/run/wireguard";
/// No request that we answer is longer.
const LONGEST_REQUEST: usize = 4096;
/// How long one client may take altogether.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no status socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusSocketError {
    /// The directory or the socket could not be made.
    #[error("cannot make {path}: {source}; `wg show` will not see this interface", path = path.display())]
    Make {
        /// What was to be made.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A living process answers there, or it is no socket.
    #[error("{path} belongs to somebody else; stop who owns it or choose another interface name", path = path.display())]
    Taken {
        /// The path of the socket.
        path: PathBuf,
    },
}

/// Serves `wg show` until it is dropped, which also removes the socket.
#[derive(Debug)]
pub struct StatusSocket {
    path: PathBuf,
    inode: (u64, u64),
    stop: Wake,
    thread: Option<JoinHandle<()>>,
}

impl StatusSocket {
    /// Listens at `directory/interface.sock`, readable and writable by root alone.
    ///
    /// `status` is called on a thread of its own, once per request.
    pub fn open(
        directory: &Path,
        interface: &str,
        status: impl Fn() -> Result<DeviceStatus, ControlError> + Send + 'static,
    ) -> Result<Self, StatusSocketError> {
        let path = directory.join(format!("{interface}.sock"));
        make_directory(directory)?;
        remove_stale(&path)?;
        let failed = |source| StatusSocketError::Make {
            path: path.clone(),
            source,
        };
        let listener = bind_private(&path).map_err(failed)?;
        let inode = inode_of(&path).map_err(failed)?;
        let stop = Wake::new().map_err(failed)?;
        let heard = stop.clone();
        let thread = std::thread::Builder::new()
            .name("wg-status".to_owned())
            .spawn(move || serve(&listener, &heard, &status))
            .map_err(failed)?;
        Ok(Self {
            path,
            inode,
            stop,
            thread: Some(thread),
        })
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Whoever replaced it keeps theirs.
        if inode_of(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn make_directory(directory: &Path) -> Result<(), StatusSocketError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .map_err(|source| StatusSocketError::Make {
            path: directory.to_owned(),
            source,
        })
}

/// Removes what a crashed process left. What is alive, or is no socket, stays.
fn remove_stale(path: &Path) -> Result<(), StatusSocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let stale = metadata.file_type().is_socket()
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if !stale {
        return Err(StatusSocketError::Taken {
            path: path.to_owned(),
        });
    }
    fs::remove_file(path).map_err(|source| StatusSocketError::Make {
        path: path.to_owned(),
        source,
    })
}

/// The socket appears under its name only once nobody else may use it.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let unnamed = path.with_extension(format!("{}.new", std::process::id()));
    let _ = fs::remove_file(&unnamed);
    let listener = UnixListener::bind(&unnamed)?;
    let finish = || {
        fs::set_permissions(&unnamed, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        fs::rename(&unnamed, path)
    };
    finish().inspect_err(|_| {
        let _ = fs::remove_file(&unnamed);
    })?;
    Ok(listener)
}

fn inode_of(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn serve(
    listener: &UnixListener,
    stop: &Wake,
    status: &impl Fn() -> Result<DeviceStatus, ControlError>,
) {
    loop {
        let mut waiting = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::new(stop, PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return tracing::error!(%error, "the status socket cannot wait"),
        }
        if !waiting[1].revents().is_empty() {
            return;
        }
        if let Ok((client, _)) = listener.accept()
            && let Err(error) = answer(client, status)
        {
            tracing::debug!(%error, "a client of the status socket went away");
        }
    }
}

fn answer(
    mut client: UnixStream,
    status: &impl Fn() -> Result<DeviceStatus, ControlError>,
) -> io::Result<()> {
    let until = Instant::now() + PATIENCE;
    client.set_nonblocking(false)?;
    let request = read_request(&mut client, until)?;
    let text = request.answer(status);
    for piece in text.as_bytes().chunks(1 << 16) {
        client.set_write_timeout(Some(left(until)?))?;
        client.write_all(piece)?;
    }
    Ok(())
}

fn read_request(client: &mut UnixStream, until: Instant) -> io::Result<Request> {
    let mut buffer = [0; LONGEST_REQUEST];
    let mut length = 0;
    while length < buffer.len() {
        client.set_read_timeout(Some(left(until)?))?;
        match client.read(&mut buffer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
        if let Some(request) = Request::parse(&buffer[..length]) {
            return Ok(request);
        }
    }
    Ok(Request::Unknown)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tidegate-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn open(directory: &Directory) -> Result<StatusSocket, StatusSocketError> {
        StatusSocket::open(&directory.0, "tg0", || Ok(DeviceStatus::default()))
    }

    fn ask(socket: &StatusSocket, request: &[u8]) -> String {
        let mut client = UnixStream::connect(socket.path()).unwrap();
        client.write_all(request).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn answers_and_is_private_and_disappears() {
        let directory = Directory::new("answers");
        let socket = open(&directory).unwrap();
        assert_eq!(ask(&socket, b"get=1\n\n"), "listen_port=0\nerrno=0\n\n");
        assert_eq!(ask(&socket, b"set=1\n\n"), "errno=1\n\n");
        let mode = fs::metadata(socket.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn an_endless_request_is_cut_off() {
        let directory = Directory::new("endless");
        let socket = open(&directory).unwrap();
        assert_eq!(ask(&socket, &[b'x'; LONGEST_REQUEST]), "errno=22\n\n");
    }

    #[test]
    fn a_silent_client_does_not_keep_others_out_for_long() {
        let directory = Directory::new("silent");
        let socket = open(&directory).unwrap();
        let _silent = UnixStream::connect(socket.path()).unwrap();
        assert_eq!(ask(&socket, b"get=1\n\n"), "listen_port=0\nerrno=0\n\n");
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let directory = Directory::new("stale");
        drop(UnixListener::bind(directory.0.join("tg0.sock")).unwrap());
        let socket = open(&directory).unwrap();
        assert_eq!(ask(&socket, b"get=1\n\n"), "listen_port=0\nerrno=0\n\n");
    }

    #[test]
    fn a_living_owner_keeps_its_socket() {
        let directory = Directory::new("living");
        let first = open(&directory).unwrap();
        let second = open(&directory);
        assert!(matches!(second, Err(StatusSocketError::Taken { .. })));
        assert_eq!(ask(&first, b"get=1\n\n"), "listen_port=0\nerrno=0\n\n");
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let directory = Directory::new("file");
        let path = directory.0.join("tg0.sock");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(
            open(&directory),
            Err(StatusSocketError::Taken { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_and_no_panic() {
        let directory = Directory::new("blocked");
        let file = directory.0.join("file");
        fs::write(&file, "").unwrap();
        let result = StatusSocket::open(&file, "tg0", || Ok(DeviceStatus::default()));
        assert!(matches!(result, Err(StatusSocketError::Make { .. })));
    }
}
