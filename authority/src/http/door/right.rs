//! Rights, as types: a handler's door names the one that it asks for.

use crate::service::Operation;

/// A right that an operator may have.
pub(crate) trait Right: Send + 'static {
    /// To what.
    const OPERATION: Operation;
}

macro_rules! rights {
    ($($operation:ident)*) => {
        $(
            #[doc = concat!("The right to ", stringify!($operation), ".")]
            pub(crate) enum $operation {}

            impl Right for $operation {
                const OPERATION: Operation = Operation::$operation;
            }
        )*
    };
}

rights! {
    ViewNodes ViewRevocations ViewEpochs ViewPolicy ViewOperators ViewAudit
    Approve Deny Revoke Suspend Reinstate
    MakeInvite ViewInvites RevokeInvite
    RotateEpoch CheckPolicy ChangePolicy
    ViewTokens MakeToken RevokeToken
    ChangeOperators OverrideRecovery
}
