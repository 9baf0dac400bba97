//! Who asks, and whether it may.

use tidegate_proto::policy::OperatorRole;
use tidegate_proto::{KeyId, NodeId, Nonce, OperatorName, Origin, RequestSignature, UnixTime};

use crate::store::{StoreError, Tx};

/// The one behind a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Actor {
    /// The authority itself, by its clock.
    System,
    /// Somebody who is not known yet.
    Stranger,
    /// A node.
    Node(NodeId),
    /// An operator, by a signed request.
    Operator(OperatorName),
    /// The holder of an API token, by the token's name.
    Token(OperatorName),
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
    /// The authority itself.
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

/// What an operator may ask for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Operation {
    /// See nodes, revocations, epochs, the policy, operators, audit and events.
    View,
    /// Admit or deny a newcomer.
    Admit,
    /// Revoke, suspend or reinstate.
    PutOut,
    /// Make, list and revoke invites.
    Invite,
    /// Start a new epoch at once.
    Rotate,
    /// Change the policy.
    ChangePolicy,
    /// Make, list and revoke API tokens.
    Tokens,
    /// Change who the operators are.
    Operators,
}

impl Operation {
    /// The least role that may ask for it.
    pub fn needs(self) -> OperatorRole {
        match self {
            Self::View => OperatorRole::Viewer,
            Self::Admit | Self::PutOut => OperatorRole::Operator,
            Self::Invite | Self::Rotate | Self::ChangePolicy | Self::Tokens => OperatorRole::Admin,
            Self::Operators => OperatorRole::Sovereign,
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
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How long a nonce is remembered: longer than a signature can still be in time.
const REMEMBERED: u64 = 3 * RequestSignature::MOST_SKEW.as_millis();

/// Spends the caller's nonce within the effect's transaction, and checks that an operator still may.
pub(crate) async fn admit(
    tx: &mut Tx,
    caller: &Caller,
    operation: Option<Operation>,
) -> Result<(), AccessError> {
    if let (Some(operation), Actor::Node(_) | Actor::Stranger) = (operation, &caller.actor) {
        return Err(AccessError::Forbidden {
            needs: operation.needs(),
        });
    }
    let Some(spent) = caller.nonce else {
        return Ok(());
    };
    let expires = spent
        .time
        .as_millis()
        .max(tx.now().as_millis())
        .saturating_add(REMEMBERED);
    let inserted = sqlx::query(
        "INSERT INTO nonces (key_id, nonce, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(&spent.key.as_bytes()[..])
    .bind(&spent.nonce.as_bytes()[..])
    .bind(i64::try_from(expires).unwrap_or(i64::MAX))
    .execute(tx.connection())
    .await
    .map_err(StoreError::from)?;
    if inserted.rows_affected() == 0 {
        Err(AccessError::Replayed)
    } else {
        Ok(())
    }
}
