//! Who asks, and whether it may.
//!
//! Access is judged twice: as a request comes in ([`super::authentication`]), and again within the transaction of the
//! effect, where nobody can be faster. An operator may what the policy in force says at that moment. A token may what
//! it was made for, and never more than the operator who made it may then: without that operator it is worth nothing.

use std::fmt;

use tidegate_proto::api::{Door, Operation};
use tidegate_proto::policy::OperatorRole;
use tidegate_proto::{
    BoundedSet, KeyId, NodeId, Nonce, OperatorId, OperatorName, Origin, RequestSignature, TokenId,
    UnixTime,
};

use super::{Alarm, Authority, tokens};
use crate::store::{Connection, StoreError, Tx, nonce, token};

/// The one behind a request.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Actor {
    /// The authority itself: by its clock, or by whoever runs its program on its machine.
    System,
    /// Somebody who is not known yet.
    Stranger,
    /// A node.
    Node(NodeId),
    /// An operator, by a signed request.
    Operator(OperatorId, OperatorName),
    /// The holder of an API token.
    Token(TokenId, OperatorName),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Stranger => f.write_str("stranger"),
            Self::Node(node) => node.fmt(f),
            Self::Operator(_, name) => write!(f, "operator:{name}"),
            Self::Token(id, name) => write!(f, "token:{name}:{id}"),
        }
    }
}

/// The nonce of a signed request. It is spent with the request's effect, so that the request works once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpentNonce {
    /// The key that signed.
    pub key: KeyId,
    /// The nonce.
    pub nonce: Nonce,
    /// When it was signed, by the signer's clock.
    pub time: UnixTime,
}

impl From<&RequestSignature> for SpentNonce {
    fn from(signature: &RequestSignature) -> Self {
        Self {
            key: signature.key,
            nonce: signature.nonce,
            time: signature.time,
        }
    }
}

/// Who asks for an effect, and with what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Who it is.
    pub actor: Actor,
    /// The nonce of the signed request; a token has none.
    pub nonce: Option<SpentNonce>,
    /// Which of the authority's origins the request was signed for.
    pub origin: Option<Origin>,
}

impl Caller {
    /// The authority itself. It may everything, so this is never made out of a request.
    pub fn system() -> Self {
        Self {
            actor: Actor::System,
            nonce: None,
            origin: None,
        }
    }

    /// Whoever signed with `signature` for `origin`, as `actor`.
    pub fn signed(actor: Actor, signature: &RequestSignature, origin: Origin) -> Self {
        Self {
            actor,
            nonce: Some(signature.into()),
            origin: Some(origin),
        }
    }
}

/// Why a caller may not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// The request was here before.
    #[error("this request was already carried out; sign a new one")]
    Replayed,
    /// The caller's role does not reach that far.
    #[error("this needs the role {needs}; ask somebody who has it")]
    Forbidden {
        /// The least role that may.
        needs: OperatorRole,
    },
    /// The token was not made for this.
    #[error("this token was not made for {0}; make one that is, or sign the request")]
    NotInScope(Operation),
    /// A token does not do here.
    #[error("{0} needs a request signed with an operator's key; a token does not do")]
    SignedOnly(Operation),
    /// No operator, or not any more.
    #[error("the policy in force does not name this operator; ask a sovereign")]
    NotOperator,
    /// The token has expired or was taken back.
    #[error("this token has expired or was revoked; ask for a new one")]
    TokenEnded,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a nonce is remembered: longer than a signature can still be in time.
const REMEMBERED: u64 = 3 * RequestSignature::MOST_SKEW.as_millis();

/// What somebody may right now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rights {
    role: OperatorRole,
    scope: Scope,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Scope {
    /// All of the role: the holder of an operator's key.
    Role,
    /// By token, all of the role or some operations of it.
    Token(Option<BoundedSet<Operation, 64>>),
}

impl Rights {
    /// The role.
    pub fn role(&self) -> OperatorRole {
        self.role
    }

    /// Whether they reach as far as `operation`.
    pub fn check(&self, operation: Operation) -> Result<(), AccessError> {
        let needs = operation.needs();
        match &self.scope {
            Scope::Token(_) if operation.door() == Door::Signed => {
                Err(AccessError::SignedOnly(operation))
            }
            _ if self.role < needs => Err(AccessError::Forbidden { needs }),
            Scope::Token(Some(operations)) if !operations.contains(&operation) => {
                Err(AccessError::NotInScope(operation))
            }
            _ => Ok(()),
        }
    }
}

impl Authority {
    /// Whether `caller` may do what has no effect of its own, now.
    pub async fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
    ) -> Result<(), AccessError> {
        let mut connection = self.0.store.read().await?;
        let now = self.clock().now();
        let checked = match self.rights(&mut connection, caller, operation, now).await {
            Ok(rights) => rights.check(operation),
            Err(error) => Err(error),
        };
        self.alarm_of(caller, &checked);
        if let (Ok(()), Actor::Token(id, _)) = (&checked, &caller.actor) {
            self.token_used(*id, now);
        }
        checked
    }

    /// Checks within the effect's transaction that `caller` still may, and spends its nonce there.
    pub(super) async fn admit(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        operation: Operation,
    ) -> Result<(), AccessError> {
        let admitted = self.admit_within(tx, caller, operation).await;
        self.alarm_of(caller, &admitted);
        admitted
    }

    async fn admit_within(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        operation: Operation,
    ) -> Result<(), AccessError> {
        let now = tx.now();
        let rights = self.rights(tx.connection(), caller, operation, now);
        rights.await?.check(operation)?;
        if let Actor::Token(id, _) = &caller.actor {
            token::used(tx.connection(), *id, now).await?;
        }
        spend(tx, caller).await
    }

    /// Spends the nonce of a node's request within its effect's transaction.
    pub(super) async fn spend(&self, tx: &mut Tx, caller: &Caller) -> Result<(), AccessError> {
        let spent = spend(tx, caller).await;
        self.alarm_of(caller, &spent);
        spent
    }

    /// What `caller` may now.
    pub(super) async fn rights(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        operation: Operation,
        now: UnixTime,
    ) -> Result<Rights, AccessError> {
        match &caller.actor {
            Actor::System => Ok(Rights {
                role: OperatorRole::Sovereign,
                scope: Scope::Role,
            }),
            Actor::Stranger | Actor::Node(_) => Err(AccessError::Forbidden {
                needs: operation.needs(),
            }),
            Actor::Operator(id, name) => {
                if caller.nonce.is_none() {
                    return Err(AccessError::SignedOnly(operation));
                }
                let (role, named) = self.operator_role(connection, *id).await?;
                let same = named == *name;
                same.then_some(Rights {
                    role,
                    scope: Scope::Role,
                })
                .ok_or(AccessError::NotOperator)
            }
            Actor::Token(id, _) => self.token_rights(connection, *id, now).await,
        }
    }

    async fn token_rights(
        &self,
        connection: &mut Connection,
        id: TokenId,
        now: UnixTime,
    ) -> Result<Rights, AccessError> {
        let token = token::load(&mut *connection, id)
            .await?
            .filter(|token| tokens::counts(&token.view, now))
            .ok_or(AccessError::TokenEnded)?;
        let (role, _) = self.operator_role(connection, token.maker).await?;
        Ok(Rights {
            role: role.min(token.view.role),
            scope: Scope::Token(token.view.operations),
        })
    }

    async fn operator_role(
        &self,
        connection: &mut Connection,
        id: OperatorId,
    ) -> Result<(OperatorRole, OperatorName), AccessError> {
        let in_force = self.policy_in_force(connection).await?;
        in_force
            .as_ref()
            .and_then(|in_force| in_force.policy.operator(id))
            .map(|operator| (operator.role, operator.name.clone()))
            .ok_or(AccessError::NotOperator)
    }

    /// Counts a refusal that somebody should hear of.
    fn alarm_of(&self, caller: &Caller, outcome: &Result<(), AccessError>) {
        let alarm = match outcome {
            Ok(()) | Err(AccessError::Store(_)) => return,
            Err(AccessError::Replayed) => Alarm::Replayed,
            Err(AccessError::TokenEnded) => Alarm::TokenRefused,
            Err(_) => Alarm::AccessRefused,
        };
        self.alarm(alarm, caller.actor.clone(), None);
    }
}

async fn spend(tx: &mut Tx, caller: &Caller) -> Result<(), AccessError> {
    let Some(spent) = caller.nonce else {
        return Ok(());
    };
    let latest = spent.time.as_millis().max(tx.now().as_millis());
    let expires = UnixTime::from_millis(latest.saturating_add(REMEMBERED));
    if nonce::spend(tx.connection(), spent.key, &spent.nonce, expires).await? {
        Ok(())
    } else {
        Err(AccessError::Replayed)
    }
}
