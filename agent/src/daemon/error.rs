//! Why the daemon does not start, or ends.

use crate::client::ClientError;
use crate::config::ConfigError;
use crate::exit::Exit;
use crate::local::SocketError;
use crate::privileges::RightsError;
use crate::state::StateError;

/// Why the daemon does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// Rights.
    #[error(transparent)]
    Rights(#[from] RightsError),
    /// The tunnel driver.
    #[error(transparent)]
    Tun(#[from] tidegate_netconfig::preflight::TunError),
    /// An interface of our name is there already.
    #[error(
        "there is an interface {0} already, so another program or daemon uses it; stop that, or set another name (interface = …)"
    )]
    Interface(String),
    /// The local socket.
    #[error("{0}")]
    Socket(String, Exit),
    /// The metrics' address.
    #[error("cannot serve metrics at {0}; correct metrics = … in the configuration")]
    Metrics(String),
    /// What core's files hold.
    #[error(transparent)]
    Restore(#[from] tidegate_core::RestoreError),
    /// The host's network.
    #[error(transparent)]
    Host(#[from] tidegate_netconfig::HostError),
    /// This host has left, and something of the daemon is still in its network.
    #[error("the keys are erased, but {0}; then run: tidegate leave")]
    NotUndone(tidegate_netconfig::HostError),
    /// The authority cannot even be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The chain of geneses.
    #[error("the genesis chain cannot be used: {0}; leave the network and join it again")]
    Chain(#[from] tidegate_proto::SuccessionError),
    /// The root has signed two documents for one revision.
    #[error(
        "the root has signed two different geneses for one revision, so nothing can be trusted; ask the network's operators before anything else"
    )]
    Siblings,
    /// The authority refused a join that was under way.
    #[error("the authority refused this node: {0}")]
    Denied(String),
    /// The system.
    #[error("the system refuses what every program needs: {0}")]
    System(#[from] std::io::Error),
}

impl From<SocketError> for DaemonError {
    fn from(error: SocketError) -> Self {
        let exit = match &error {
            SocketError::Taken(_) => Exit::Taken,
            SocketError::InTheWay(_) | SocketError::Refused { .. } => Exit::Rights,
        };
        Self::Socket(error.to_string(), exit)
    }
}

impl DaemonError {
    /// The exit code that says the same.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Metrics(_) => Exit::Config,
            Self::State(error) => error.exit(),
            Self::Rights(_) | Self::Tun(_) => Exit::Rights,
            Self::Interface(_) => Exit::Taken,
            Self::Socket(_, exit) => *exit,
            Self::Restore(tidegate_core::RestoreError::Missing(_)) => Exit::NotJoined,
            Self::Restore(_) => Exit::Storage,
            Self::Chain(_) | Self::Siblings => Exit::Untrusted,
            Self::Denied(_) => Exit::Refused,
            Self::Host(tidegate_netconfig::HostError::NotPermitted) => Exit::Rights,
            Self::Host(_) | Self::NotUndone(_) | Self::Client(_) | Self::System(_) => Exit::Failed,
        }
    }
}
