//! How a command ends when it does not end well.

use tidegate::client::{ClientError, GenesisChainError};
use tidegate::daemon::DaemonError;
use tidegate::exit::Exit;
use tidegate::join::JoinError;
use tidegate::privileges::RightsError;
use tidegate::state::StateError;
use tidegate_netconfig::HostError;

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

/// Errors that know their exit code, and say in one line all that there is to say.
macro_rules! with_exit {
    ($($error:ty),+) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self {
                    exit: error.exit(),
                    message: error.to_string(),
                }
            }
        }
    )+};
}

with_exit!(
    StateError,
    JoinError,
    RightsError,
    DaemonError,
    tidegate::local::ClientError
);

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        DaemonError::from(error).into()
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
