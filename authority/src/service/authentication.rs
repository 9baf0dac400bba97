//! Who is at the door: signatures of operators and nodes, and API tokens.

use std::net::IpAddr;

use tidegate_proto::{
    KeyId, NodeId, OperatorId, PublicKey, RequestError, RequestParts, RequestSignature,
};

use super::tokens::ApiToken;
use super::{Actor, Alarm, Authority, Caller, NodeStatus};
use crate::store::{StoreError, token};

/// Why somebody is not who it says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The signature, its key or its time.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A token that was never made here.
    #[error("this token is not known here; check that it was copied whole, or ask for a new one")]
    TokenUnknown,
    /// A token after its end.
    #[error("this token has expired; ask for a new one")]
    TokenExpired,
    /// A token that was taken back.
    #[error("this token was revoked; ask for a new one")]
    TokenRevoked,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whom a request says that it comes from. Its signature proves that.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Who it would be.
    pub actor: Actor,
    /// How the node stands, where it is a node that is known.
    pub status: Option<NodeStatus>,
    key: PublicKey,
}

impl Claim {
    /// The node with this identity key.
    pub fn node(key: PublicKey, status: Option<NodeStatus>) -> Self {
        Self {
            actor: Actor::Node(NodeId::of(&key)),
            status,
            key,
        }
    }

    /// Whether it is an operator, or a node that is in.
    pub fn is_in(&self) -> bool {
        match self.actor {
            Actor::Operator(..) => true,
            _ => matches!(self.status, Some(NodeStatus::Allowed | NodeStatus::Offline)),
        }
    }
}

impl Authority {
    /// The operator with this key, as the policy in force names it.
    pub async fn claimed_operator(&self, key: KeyId) -> Result<Option<Claim>, StoreError> {
        let in_force = {
            let mut connection = self.0.store.read().await?;
            self.policy_in_force(&mut connection).await?
        };
        let operators = in_force
            .iter()
            .flat_map(|in_force| in_force.policy.operators.iter());
        let operator = operators
            .into_iter()
            .find(|operator| KeyId::of(&operator.key) == key);
        Ok(operator.map(|operator| Claim {
            actor: Actor::Operator(OperatorId::of(&operator.key), operator.name.clone()),
            status: None,
            key: operator.key,
        }))
    }

    /// The node with this key, and how it stands.
    pub async fn claimed_node(&self, key: KeyId) -> Result<Option<Claim>, StoreError> {
        let known = self.identity(key).await?;
        Ok(known.map(|(_, key, status)| Claim::node(key, Some(status))))
    }

    /// Whoever signed a request, if that is who it claims to be. What it may is judged with the request's effect.
    pub fn authenticate(
        &self,
        claim: &Claim,
        signature: &RequestSignature,
        parts: &RequestParts<'_>,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthenticationError> {
        let verified = signature.verify(parts, &claim.key, self.clock().now());
        verified.map_err(|error| self.refused(error, from))?;
        let (actor, origin) = (claim.actor.clone(), parts.origin.clone());
        Ok(Caller::signed(actor, signature, origin))
    }

    /// The refusal of a key that nobody has.
    pub fn unknown(&self, key: KeyId, from: Option<IpAddr>) -> AuthenticationError {
        self.refused(RequestError::OtherKey(key), from)
    }

    /// A wrong clock is no attack; everything else is counted.
    fn refused(&self, error: RequestError, from: Option<IpAddr>) -> AuthenticationError {
        if !matches!(error, RequestError::ClockSkew { .. }) {
            self.alarm(Alarm::AuthFailed, Actor::Stranger, from);
        }
        error.into()
    }

    /// The holder of an API token. What it may is judged with the request's effect.
    pub async fn authenticate_token(
        &self,
        presented: &ApiToken,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthenticationError> {
        let mut connection = self.0.store.read().await?;
        let Some(token) = token::by_hash(&mut connection, presented.hash()).await? else {
            self.alarm(Alarm::AuthFailed, Actor::Stranger, from);
            return Err(AuthenticationError::TokenUnknown);
        };
        let actor = Actor::Token(token.view.id, token.view.name.clone());
        let refusal = if token.view.revoked_at.is_some() {
            Some(AuthenticationError::TokenRevoked)
        } else if token.view.expires_at <= self.clock().now() {
            Some(AuthenticationError::TokenExpired)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.alarm(Alarm::TokenRefused, actor, from);
            return Err(refusal);
        }
        Ok(Caller {
            actor,
            nonce: None,
            origin: None,
        })
    }
}
