//! What can be wrong with the state directory.

use std::io;
use std::path::Path;

/// Why the state directory cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another process works here.
    #[error(
        "{0} is in use by another tidegate process; stop it first (systemctl stop tidegate), or give another --state-dir"
    )]
    InUse(String),
    /// A membership is there already.
    #[error("this host has joined a network already; run: tidegate leave - and then join again")]
    Joined,
    /// There is none.
    #[error("this host has joined no network; run: tidegate join INVITE")]
    NotJoined,
    /// The directory is open to others.
    #[error("{path} is open to others (mode {mode:04o}); run: chmod 700 {path}")]
    OpenToOthers {
        /// The directory or file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The directory is another user's.
    #[error(
        "{path} belongs to user {owner}; run it as that user or as root, or give another --state-dir"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// Whose it is.
        owner: u32,
    },
    /// It cannot be read.
    #[error("cannot read {path}: {reason}; check its owner and mode")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// It cannot be written.
    #[error(
        "cannot write {path}: {reason}; nothing was changed: make room, or check owner and mode"
    )]
    Unwritable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Its content is not what was written.
    #[error("{path} is damaged ({what}); run: tidegate leave - and join again with a new invite")]
    Damaged {
        /// The file.
        path: String,
        /// In which way.
        what: String,
    },
}

impl StateError {
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable {
            path: path.display().to_string(),
            reason: reason(error),
        }
    }

    pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Self {
        Self::Unwritable {
            path: path.display().to_string(),
            reason: reason(error),
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl ToString) -> Self {
        Self::Damaged {
            path: path.display().to_string(),
            what: what.to_string(),
        }
    }
}

/// What the system said, without its error number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((reason, _)) => reason.to_lowercase(),
        None => text,
    }
}

impl StateError {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> crate::exit::Exit {
        use crate::exit::Exit;
        match self {
            Self::InUse(_) | Self::Joined => Exit::Taken,
            Self::NotJoined => Exit::NotJoined,
            Self::OpenToOthers { .. }
            | Self::Foreign { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::Damaged { .. } => Exit::Storage,
        }
    }
}
