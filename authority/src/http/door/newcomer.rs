//! The door for those who bring their own key along.

use std::future::Future;

use serde_json::Value;
use tidegate_proto::api::{Enroll, Recovery, Renew};
use tidegate_proto::{NodeId, NodeKeys, PublicKey};

use super::visit::{self, Asked, Visit};
use super::{Door, Need};
use crate::http::app::App;
use crate::http::body::FromBody;
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;
use crate::service::{Caller, Claim, RecoveryError};

/// A body that names the key its request is signed with.
pub(crate) trait NamesIdentity {
    /// The key.
    fn identity(&self) -> &PublicKey;

    /// Refuses a body before it is taken in, where it is not the time for it.
    fn check_due(_app: &App) -> impl Future<Output = Result<(), Refusal>> + Send {
        async { Ok(()) }
    }
}

impl NamesIdentity for NodeKeys {
    fn identity(&self) -> &PublicKey {
        &self.identity
    }
}

impl NamesIdentity for Enroll {
    fn identity(&self) -> &PublicKey {
        &self.keys.identity
    }
}

impl NamesIdentity for Recovery {
    fn identity(&self) -> &PublicKey {
        &self.keys.identity
    }

    async fn check_due(app: &App) -> Result<(), Refusal> {
        match app.authority().recovery().await? {
            Some(_) => Ok(()),
            None => Err(RecoveryError::NotRecovering.into()),
        }
    }
}

impl NamesIdentity for Renew {
    fn identity(&self) -> &PublicKey {
        &self.keys.identity
    }
}

/// A request signed with the identity key that its body names.
pub(crate) struct ByNewcomer<B> {
    pub(in crate::http) node: NodeId,
    pub(in crate::http) claim: Claim,
    pub(in crate::http) caller: Caller,
    pub(in crate::http) body: B,
    pub(in crate::http) source: std::net::SocketAddr,
}

impl<B: FromBody + NamesIdentity> Door for ByNewcomer<B> {
    const NEED: Need = Need::Newcomer;

    async fn pass(app: &App, visit: &mut Visit) -> Result<Self, Refusal> {
        let signature = visit.signature()?;
        let origin = visit.origin(app)?;
        let known = app.authority().claimed_node(signature.key).await?;
        if !known.as_ref().is_some_and(Claim::is_in) {
            visit.pay_as_stranger(app)?;
        }
        B::check_due(app).await?;
        visit.read(app, B::LIMIT).await?;
        let Asked::<B, (), ()> { body, .. } = visit.asked().await?;
        let status = known.and_then(|claim| claim.status);
        let claim = Claim::node(*body.identity(), status);
        let caller = visit.prove(app, &claim, &signature, &origin)?;
        Ok(Self {
            node: NodeId::of(body.identity()),
            claim,
            caller,
            body,
            source: visit.source,
        })
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<(), ()>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}
