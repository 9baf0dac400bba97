//! An operator's control action.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Author, Document, DocumentError, Kind, Validity};
use crate::id::{NetworkId, NodeId, OperatorId};
use crate::keyring::OperatorAndAuthority;
use crate::policy::Selector;
use crate::request::Nonce;
use crate::time::{Span, UnixTime};

/// What a node is to do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Read the configuration again.
    Reload,
    /// Renew the certificate now.
    Renew,
    /// Take no new flows and tell peers so.
    Drain,
    /// Stop the daemon.
    Shutdown,
    /// Answer, to show that commands arrive.
    Ping,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload",
            Self::Renew => "renew",
            Self::Drain => "drain",
            Self::Shutdown => "shut down",
            Self::Ping => "answer",
        })
    }
}

/// Who is to do it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One node.
    Node(NodeId),
    /// Every node that the selector chooses.
    Selected(Selector),
}

/// One control action, signed by an operator and countersigned by the authority over the same bytes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Command {
    /// The network.
    pub network: NetworkId,
    /// Who says so.
    pub operator: OperatorId,
    /// Makes the command unique; nodes keep it until `not_after`, so that it is obeyed once.
    pub nonce: Nonce,
    /// Who is meant.
    pub target: Target,
    /// What to do.
    pub action: Action,
    /// When the command begins to count.
    pub not_before: UnixTime,
    /// When it stops to count.
    pub not_after: UnixTime,
}

impl Command {
    /// The longest that a command counts, and its nonce is kept.
    pub const LONGEST: Span = Span::from_hours(1);
}

impl Document for Command {
    type Signer = OperatorAndAuthority;
    const KIND: Kind = Kind::Command;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn check(&self) -> Result<(), DocumentError> {
        let (got, most) = (self.not_after.since(self.not_before), Self::LONGEST);
        if got > most {
            return Err(DocumentError::LongCommand { got, most });
        }
        self.validity().check_sound()
    }

    fn validity(&self) -> Validity {
        Validity {
            not_before: Some(self.not_before),
            not_after: Some(self.not_after),
        }
    }

    fn author(&self) -> Option<Author> {
        Some(Author::Operator(self.operator))
    }

    fn action(&self) -> Option<Action> {
        Some(self.action)
    }
}
