//! Why a request to the authority had no effect, or may have had none.

use tidegate_proto::api::Problem;
use tidegate_proto::strict::ReadError;
use tidegate_proto::{EventStreamError, Origin, VerifyError};

/// Why something that was asked of the authority did not work out.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The genesis names no URL.
    #[error("the genesis names no URL of the authority; ask its operator for one")]
    NoUrl,
    /// Nothing answers there.
    #[error(
        "{origin} cannot be reached ({reason}); check the network, and that the authority runs"
    )]
    Unreachable {
        /// The last place that was tried.
        origin: Origin,
        /// What went wrong there.
        reason: String,
    },
    /// Something answers that is not the authority.
    #[error(
        "what answers at {origin} is not the authority that the genesis names ({reason}); do not go on until its operator has explained it"
    )]
    Untrusted {
        /// The place.
        origin: Origin,
        /// What gave it away.
        reason: String,
    },
    /// The request left, and no answer came.
    #[error(
        "{origin} did not answer ({reason}); the request may have been carried out, so look before you repeat it"
    )]
    Unanswered {
        /// The place.
        origin: Origin,
        /// What went wrong.
        reason: String,
    },
    /// The authority said no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// An answer that makes no sense.
    #[error(
        "{origin} gave an answer that cannot be read ({reason}); this program and the authority may be of different versions"
    )]
    Malformed {
        /// The place.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
    /// More than the answer to this question can have.
    #[error("{origin} gave an answer of more than {limit} bytes; it is not read")]
    TooLarge {
        /// The place.
        origin: Origin,
        /// The most that is read.
        limit: usize,
    },
    /// The time that came with a refusal is not the authority's answer to this request.
    #[error(
        "the clock of this machine is off, and the time that {origin} gave is not to be trusted ({reason}); set the clock and try again"
    )]
    Time {
        /// The place.
        origin: Origin,
        /// Why.
        reason: String,
    },
    /// The stream cannot be read on.
    #[error("the stream from {origin} broke off: {reason}")]
    Stream {
        /// The place.
        origin: Origin,
        /// Why.
        reason: StreamEnd,
    },
    /// A body that cannot be written.
    #[error("the request cannot be written as JSON: {0}")]
    Unwritable(String),
    /// The machine gives no certificates of its own.
    #[error(
        "the system's certificate authorities cannot be read ({0}); install ca-certificates, or have the genesis name a TLS pin"
    )]
    NoRoots(String),
    /// The operating system gave no random numbers.
    #[error("the system's random number generator failed: {0}")]
    Random(String),
}

/// How a stream ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StreamEnd {
    /// The authority closed it: this client was too slow, is not a member any more, or the authority stops.
    #[error("the authority closed it")]
    Closed,
    /// Not a sign of life for too long.
    #[error("not a sign of life for {0} seconds")]
    Silent(u64),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Not a stream of events.
    #[error(transparent)]
    Form(#[from] EventStreamError),
    /// An event that cannot be read.
    #[error("an event cannot be read: {0}")]
    Event(ReadError),
    /// An event under another's name.
    #[error("an event's name is not that of what it carries")]
    Name,
}

impl ClientError {
    /// The stable code of a refusal, if that is what it is.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(problem) => Some(problem.code.as_str()),
            _ => None,
        }
    }

    pub(super) fn time(origin: &Origin, error: &VerifyError) -> Self {
        Self::Time {
            origin: origin.clone(),
            reason: error.to_string(),
        }
    }
}
