//! How a command ends when it does not end well.

use tidegate::client::{ClientError, GenesisChainError};
use tidegate::exit::Exit;

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
