//! The door for operators.

use std::marker::PhantomData;

use axum::extract::Request;
use axum::http::HeaderMap;
use serde_json::Value;
use tidegate_proto::api::LARGEST_NODE_BODY;
use tidegate_proto::{KeyId, RequestError, RequestSignature};

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

    async fn enter(app: &App, request: Request) -> Result<Self, Refusal> {
        let mut visit = Visit::begin(app, request)?;
        let caller = identify(app, &mut visit, B::LIMIT).await?;
        app.authority().authorize(&caller, R::OPERATION).await?;
        app.is_known(visit.source.ip(), &caller.actor)?;
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

/// Who asks: by signature, or by token.
async fn identify(app: &App, visit: &mut Visit, limit: usize) -> Result<Caller, Refusal> {
    let from = Some(visit.source.ip());
    let authorization = visit.authorization(app)?;
    if let Some(token) = authorization.strip_prefix("Bearer ") {
        let token = token
            .parse()
            .map_err(|error| visit.unproven(app, Refusal::unproven("token-unknown", error)))?;
        let known = app.authority().authenticate_token(&token, from).await;
        let caller = known.map_err(|error| visit.refuse(app, error, None))?;
        visit.read(app, limit).await?;
        return Ok(caller);
    }
    let signature = visit.signature(app)?;
    let origin = visit.origin(app)?;
    if limit > LARGEST_NODE_BODY {
        check_known(app, visit, &signature).await?;
    }
    visit.read(app, limit).await?;
    let parts = visit.signed(app, &origin);
    let known = app
        .authority()
        .authenticate_operator(&signature, &parts, from)
        .await;
    known.map_err(|error| visit.refuse(app, error, Some(&signature)))
}

/// Takes in no large body under a key that nobody has.
async fn check_known(
    app: &App,
    visit: &Visit,
    signature: &RequestSignature,
) -> Result<(), Refusal> {
    let operators = app.authority().operators().await?;
    if operators
        .iter()
        .any(|operator| KeyId::of(&operator.key) == signature.key)
    {
        Ok(())
    } else {
        let error = RequestError::OtherKey(signature.key);
        Err(visit.refuse(app, error.into(), Some(signature)))
    }
}
