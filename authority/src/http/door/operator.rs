//! The door for operators.

use std::marker::PhantomData;

use axum::http::HeaderMap;
use serde_json::Value;

use super::right::Right;
use super::visit::{self, Asked, Visit};
use super::{Door, Need};
use crate::http::app::App;
use crate::http::body::FromBody;
use crate::http::param::{PathValue, Query};
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;
use crate::service::Caller;

/// A request by an operator who has the right `R`.
pub(crate) struct ByOperator<R, B = (), P = (), Q = ()> {
    pub(in crate::http) caller: Caller,
    pub(in crate::http) body: B,
    pub(in crate::http) path: P,
    pub(in crate::http) query: Q,
    pub(in crate::http) headers: HeaderMap,
    right: PhantomData<fn() -> R>,
}

impl<R: Right, B: FromBody, P: PathValue, Q: Query> Door for ByOperator<R, B, P, Q> {
    const NEED: Need = Need::Operator(R::OPERATION);

    async fn pass(app: &App, visit: &mut Visit) -> Result<Self, Refusal> {
        let caller = identify(app, visit, B::LIMIT).await?;
        app.authority().authorize(&caller, R::OPERATION).await?;
        let Asked { body, path, query } = visit.asked().await?;
        Ok(Self {
            caller,
            body,
            path,
            query,
            headers: visit.headers().clone(),
            right: PhantomData,
        })
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<P, Q>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}

/// Who asks: by signature, or by token. No body is taken in under a key or a token that nobody has.
async fn identify(app: &App, visit: &mut Visit, limit: usize) -> Result<Caller, Refusal> {
    if let Some(token) = visit.authorization()?.strip_prefix("Bearer ") {
        let token = token
            .parse()
            .map_err(|error| Refusal::unproven("token-unknown", error))?;
        let from = Some(visit.source.ip());
        let caller = app.authority().authenticate_token(&token, from).await?;
        visit.pay_as_known(app, &caller.actor)?;
        visit.read(app, limit).await?;
        return Ok(caller);
    }
    let signature = visit.signature()?;
    let origin = visit.origin(app)?;
    let claim = app.authority().claimed_operator(signature.key).await?;
    let claim = claim.ok_or_else(|| visit.unknown(app, signature.key))?;
    visit.read(app, limit).await?;
    visit.prove(app, &claim, &signature, &origin)
}
