//! The command line's side of the socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{LONGEST_REPLY, PATIENCE, Refusal, Reply, Request};
use crate::exit::Exit;

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "the daemon does not run ({path}: {reason}); start it with `systemctl start tidegate` or `tidegate run`"
    )]
    NoDaemon {
        /// The socket.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Only root and the group may ask.
    #[error("{0} may be used by root and the group tidegate; use sudo, or join the group")]
    Forbidden(String),
    /// It does not answer, or not in our language.
    #[error("the daemon does not answer ({0}); see its log: journalctl -u tidegate")]
    NoAnswer(String),
    /// It says no.
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl ClientError {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon { .. } | Self::NoAnswer(_) => Exit::NoDaemon,
            Self::Forbidden(_) => Exit::Rights,
            Self::Refused(refusal) => refusal.exit,
        }
    }
}

/// Asks the daemon at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// A client of the daemon that listens at `path`.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there is none, or the daemon refuses.
    pub fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let stream = UnixStream::connect(&self.path).map_err(|error| self.unreachable(&error))?;
        match converse(stream, request).map_err(|error| ClientError::NoAnswer(error.to_string()))? {
            Reply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            reply => Ok(reply),
        }
    }

    fn unreachable(&self, error: &io::Error) -> ClientError {
        let path = self.path.display().to_string();
        match error.kind() {
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(path),
            _ => ClientError::NoDaemon {
                path,
                reason: error.to_string(),
            },
        }
    }
}

fn converse(mut stream: UnixStream, request: &Request) -> io::Result<Reply> {
    // Leaving takes as long as undoing the host's network does.
    stream.set_read_timeout(Some(3 * PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream)
        .take(LONGEST_REPLY as u64)
        .read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}
