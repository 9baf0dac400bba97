//! Why a recovery does not go on.

use tidegate_proto::{Revision, SignError, SuccessionError, VerifyError};

use super::super::{AccessError, Blame, Coded};
use crate::store::StoreError;

/// Why a report was not merged, or a recovery not ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// There is nothing to recover.
    #[error("the authority is not recovering; go on as usual")]
    NotRecovering,
    /// Somebody who was never in.
    #[error(
        "a report comes from a node with a certificate of this network; enrol once the authority works again"
    )]
    Stranger,
    /// The newest list is refused.
    #[error("the revocation list in the report is refused: {0}")]
    Refused(VerifyError),
    /// The nodes' genesis contradicts the restored one.
    #[error("the genesis in the report is refused: {0}")]
    Genesis(#[from] SuccessionError),
    /// The network has a later genesis, and its keys are not here.
    #[error(
        "the network has genesis revision {0} by now, and not enough of its authority keys are here; put them into keys/ and start the authority again"
    )]
    LaterKeys(Revision),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A fresh document could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Coded for RecoveryError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotRecovering => "not-recovering",
            Self::Stranger => "not-a-member",
            Self::Refused(_) => "list-refused",
            Self::Genesis(_) => "genesis-refused",
            Self::LaterKeys(_) => "keys-below-threshold",
            Self::Access(inner) => inner.code(),
            Self::Sign(inner) => inner.code(),
            Self::Store(inner) => inner.code(),
        }
    }

    fn blame(&self) -> Blame {
        match self {
            Self::NotRecovering => Blame::Conflict,
            Self::Stranger => Blame::Forbidden,
            Self::Refused(_) | Self::Genesis(_) => Blame::Malformed,
            Self::LaterKeys(_) => Blame::Internal,
            Self::Access(inner) => inner.blame(),
            Self::Sign(inner) => inner.blame(),
            Self::Store(inner) => inner.blame(),
        }
    }
}
