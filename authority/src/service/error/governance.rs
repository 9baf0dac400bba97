//! Why no epoch was opened, or no policy put in force.

use tidegate_proto::policy::PolicyFileError;
use tidegate_proto::{DocumentError, Label, Sequence, SettingsError, SignError};

use super::super::access::AccessError;
use super::{Blame, Coded, coded};
use crate::signer::SignerError;
use crate::store::StoreError;

/// Why no epoch was opened, rotated or released.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// The numbers are used up.
    #[error("there are no epoch numbers left")]
    NoNumbers,
    /// Settings beyond the genesis' ceilings.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The at-rest key does not serve.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(EpochError {
    Self::NoNumbers => "no-epoch-numbers", Internal;
    Self::Settings(_) => "epoch-settings", Conflict;
} inner { Access, Sign, Signer, Store });

/// Why a policy was not put in force.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyChangeError {
    /// The file does not read.
    #[error(transparent)]
    File(#[from] PolicyFileError),
    /// It breaks a rule.
    #[error(transparent)]
    Rule(DocumentError),
    /// A membership rule that the authority cannot carry out.
    #[error(
        "the membership rule '{0}' cannot be carried out; the authority observes silence only, and marks the silent offline: use 'silent_for' with 'offline'"
    )]
    NotCarriedOut(Label),
    /// Nobody would be left who may change operators.
    #[error(
        "no operator would be sovereign; name at least one, or nobody could name operators again"
    )]
    NoSovereign,
    /// No policy to change.
    #[error("there is no policy yet; put one in force first")]
    NoPolicy,
    /// No such operator.
    #[error("there is no such operator; 'tidegate admin operators list' has them")]
    NoOperator,
    /// More operators than a policy holds.
    #[error("a policy holds no more operators; remove some first")]
    TooManyOperators,
    /// Operators are changed by a sovereign only.
    #[error("the file changes who the operators are, which needs the role sovereign")]
    ChangesOperators,
    /// The policy changed meanwhile.
    #[error("the policy is at version {have} meanwhile; fetch it, change that and try again")]
    Changed {
        /// The version in force.
        have: Sequence,
    },
    /// The genesis wants another policy first.
    #[error("the genesis names another policy, which must be in force first")]
    NotGenesisPolicy,
    /// Not a policy of this authority.
    #[error("the policy was refused: {0}")]
    Refused(String),
    /// The caller may not.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

coded!(PolicyChangeError {
    Self::File(_) => "policy-file", Malformed;
    Self::Rule(_) => "policy-rule", Malformed;
    Self::NotCarriedOut(_) => "rule-not-carried-out", Malformed;
    Self::NoSovereign => "last-sovereign", Conflict;
    Self::NoPolicy => "not-yet", Missing;
    Self::NoOperator => "no-such-operator", Missing;
    Self::TooManyOperators => "too-many-operators", Exhausted;
    Self::ChangesOperators => "needs-sovereign", Forbidden;
    Self::Changed { .. } => "policy-changed", Conflict;
    Self::NotGenesisPolicy => "not-genesis-policy", Conflict;
    Self::Refused(_) => "policy-refused", Malformed;
} inner { Access, Sign, Store });
