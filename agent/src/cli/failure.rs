//! How a command ends when it does not end well.

use std::process::ExitCode;

use tidegate::client::{ClientError, GenesisChainError};

/// What the exit code tells a script; the program's help lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// The authority said no.
    Refused = 3,
    /// The authority cannot be reached, or is not the one that is trusted.
    Unreachable = 4,
    /// A wait ended without what was waited for.
    Waited = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it should, in one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// What happened, why, and what to do next.
    pub(crate) message: String,
}

impl Failure {
    /// It did not work.
    pub(crate) fn new(error: impl std::fmt::Display) -> Self {
        Self {
            exit: Exit::Failed,
            message: error.to_string(),
        }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(error: impl std::fmt::Display) -> Self {
        Self {
            exit: Exit::Usage,
            message: error.to_string(),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        use ClientError::{NoUrl, Refused, Stream, Unanswered, Unreachable, Untrusted};
        let exit = match &error {
            Refused(_) => Exit::Refused,
            NoUrl | Unreachable { .. } | Untrusted { .. } | Unanswered { .. } | Stream { .. } => {
                Exit::Unreachable
            }
            _ => Exit::Failed,
        };
        let message = match error.code() {
            Some(code) => format!("refused: {error} [{code}]"),
            None => error.to_string(),
        };
        Self { exit, message }
    }
}

impl From<GenesisChainError> for Failure {
    fn from(error: GenesisChainError) -> Self {
        match error {
            GenesisChainError::Client(error) => error.into(),
            other => Self::new(other),
        }
    }
}
