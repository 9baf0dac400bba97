//! What an operator can ask for, and who may.

use std::fmt;
use std::str::FromStr;

use crate::bytes::text_serde;
use crate::policy::OperatorRole;

/// Whether an API token is enough for an operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// A signed request or a token.
    Either,
    /// Only a request signed with the operator's own key.
    Signed,
}

/// One row of the table of who may do what.
struct Facts {
    name: &'static str,
    needs: OperatorRole,
    door: Door,
    what: &'static str,
}

macro_rules! operations {
    ($($variant:ident = $name:literal, $needs:ident, $door:ident, $what:literal;)*) => {
        /// What an operator may ask for.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Operation {
            $(#[doc = $what] $variant,)*
        }

        impl Operation {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            const fn facts(self) -> Facts {
                match self {
                    $(Self::$variant => Facts { name: $name, needs: OperatorRole::$needs, door: Door::$door, what: $what },)*
                }
            }
        }
    };
}

operations! {
    ViewNodes = "nodes.view", Viewer, Either, "See nodes.";
    ViewRevocations = "revocations.view", Viewer, Either, "See revocations, and who has confirmed them.";
    ViewEpochs = "epoch.view", Viewer, Either, "See the epochs that count.";
    ViewPolicy = "policy.view", Viewer, Either, "See the policy.";
    ViewOperators = "operators.view", Viewer, Either, "See who the operators are.";
    ViewAudit = "audit.view", Viewer, Either, "See, follow and export the audit log.";
    Approve = "nodes.approve", Operator, Either, "Let a waiting node in.";
    Deny = "nodes.deny", Operator, Either, "Turn a waiting node away.";
    Revoke = "nodes.revoke", Operator, Either, "Put a node out for good.";
    Suspend = "nodes.suspend", Operator, Either, "Put a node out for now.";
    Reinstate = "nodes.reinstate", Operator, Either, "End a suspension, or let a node come back.";
    MakeInvite = "invites.make", Admin, Either, "Make an invite.";
    ViewInvites = "invites.view", Admin, Either, "See the invites, without their tokens.";
    RevokeInvite = "invites.revoke", Admin, Either, "Take an invite back.";
    RotateEpoch = "epoch.rotate", Admin, Either, "Start a new epoch at once.";
    CheckPolicy = "policy.check", Admin, Either, "Learn what a policy would do.";
    ChangePolicy = "policy.change", Admin, Either, "Put a policy in force that names the same operators.";
    ViewTokens = "tokens.view", Admin, Either, "See the API tokens, without their secrets.";
    RevokeToken = "tokens.revoke", Admin, Either, "Take an API token back.";
    MakeToken = "tokens.make", Admin, Signed, "Make an API token that may no more than its maker.";
    ChangeOperators = "operators.change", Sovereign, Signed, "Name operators, change their roles, remove them.";
    OverrideRecovery = "recovery.override", Sovereign, Signed, "End the recovery after a restored backup early.";
}

impl Operation {
    /// The name, which keeps its meaning.
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The least role that may ask for it.
    pub const fn needs(self) -> OperatorRole {
        self.facts().needs
    }

    /// Whether an API token is enough.
    pub const fn door(self) -> Door {
        self.facts().door
    }

    /// The table of who may do what, as the README has it.
    pub fn table() -> String {
        let mut text = String::from(
            "| operation | what | viewer | operator | admin | sovereign | by token |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        );
        for operation in Self::ALL {
            let facts = operation.facts();
            let may = |yes: bool| if yes { "yes" } else { "–" };
            let roles = OperatorRole::ALL.map(|role| may(role >= facts.needs));
            let row = [
                &format!("`{}`", facts.name),
                facts.what.trim_end_matches('.'),
                roles[0],
                roles[1],
                roles[2],
                roles[3],
                may(facts.door == Door::Either),
            ];
            text.push_str(&format!("| {} |\n", row.join(" | ")));
        }
        text
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no operation.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("this is no operation; the README has the table of them")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        Self::ALL
            .iter()
            .copied()
            .find(|operation| operation.name() == text)
            .ok_or(UnknownOperation)
    }
}

text_serde!(Operation);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Operation::ALL.iter().map(|one| one.name()).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            assert_eq!(operation.name().parse(), Ok(*operation));
        }
        assert_eq!("nodes".parse::<Operation>(), Err(UnknownOperation));
    }

    #[test]
    fn each_role_may_all_that_the_one_before_may() {
        let count = |role| {
            Operation::ALL
                .iter()
                .filter(|one| role >= one.needs())
                .count()
        };
        let counts = OperatorRole::ALL.map(count);
        assert_eq!(counts, [6, 11, 20, 22]);
        assert_eq!(Operation::table().lines().count(), 24);
    }
}
