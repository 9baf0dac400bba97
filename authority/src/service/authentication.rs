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

impl Authority {
    /// The operator who signed a request. What it may is judged with the request's effect.
    pub async fn authenticate_operator(
        &self,
        signature: &RequestSignature,
        parts: &RequestParts<'_>,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthenticationError> {
        let in_force = {
            let mut connection = self.0.store.read().await?;
            self.policy_in_force(&mut connection).await?
        };
        let operators = in_force
            .iter()
            .flat_map(|in_force| in_force.policy.operators.iter());
        let operator = operators
            .into_iter()
            .find(|operator| KeyId::of(&operator.key) == signature.key);
        let checked = self.check_signature(signature, parts, operator.map(|one| &one.key));
        match (checked, operator) {
            (Ok(()), Some(operator)) => {
                let id = OperatorId::of(&operator.key);
                let actor = Actor::Operator(id, operator.name.clone());
                Ok(Caller::signed(actor, signature, parts.origin.clone()))
            }
            (Ok(()), None) => Err(RequestError::OtherKey(signature.key).into()),
            (Err(error), _) => Err(self.refused(error, Actor::Stranger, from)),
        }
    }

    /// The node that signed a request, and how it stands.
    pub async fn authenticate_node(
        &self,
        signature: &RequestSignature,
        parts: &RequestParts<'_>,
        from: Option<IpAddr>,
    ) -> Result<(Caller, NodeStatus), AuthenticationError> {
        let known = self.identity(signature.key).await?;
        let checked = self.check_signature(signature, parts, known.as_ref().map(|(_, key, _)| key));
        match (checked, known) {
            (Ok(()), Some((node, _, status))) => Ok((
                Caller::signed(Actor::Node(node), signature, parts.origin.clone()),
                status,
            )),
            (Ok(()), None) => Err(RequestError::OtherKey(signature.key).into()),
            (Err(error), _) => Err(self.refused(error, Actor::Stranger, from)),
        }
    }

    /// A newcomer, who signs with the key that it brings along.
    pub fn authenticate_newcomer(
        &self,
        signature: &RequestSignature,
        parts: &RequestParts<'_>,
        identity: &PublicKey,
        from: Option<IpAddr>,
    ) -> Result<Caller, AuthenticationError> {
        match self.check_signature(signature, parts, Some(identity)) {
            Ok(()) => {
                let node = NodeId::of(identity);
                Ok(Caller::signed(
                    Actor::Node(node),
                    signature,
                    parts.origin.clone(),
                ))
            }
            Err(error) => Err(self.refused(error, Actor::Stranger, from)),
        }
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

    fn check_signature(
        &self,
        signature: &RequestSignature,
        parts: &RequestParts<'_>,
        key: Option<&PublicKey>,
    ) -> Result<(), RequestError> {
        let key = key.ok_or(RequestError::OtherKey(signature.key))?;
        signature.verify(parts, key, self.clock().now())
    }

    /// A wrong clock is no attack; everything else is counted.
    fn refused(
        &self,
        error: RequestError,
        actor: Actor,
        from: Option<IpAddr>,
    ) -> AuthenticationError {
        if !matches!(error, RequestError::ClockSkew { .. }) {
            self.alarm(Alarm::AuthFailed, actor, from);
        }
        error.into()
    }
}
