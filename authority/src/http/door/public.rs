//! The door for anybody.

use std::net::SocketAddr;

use axum::extract::Request;
use serde_json::Value;

use super::visit::{self, Asked, Visit};
use super::{Door, Need};
use crate::http::app::App;
use crate::http::body::FromBody;
use crate::http::param::{PathValue, Query};
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;

/// A request from anybody.
pub(crate) struct Public<B = (), P = (), Q = ()> {
    pub(in crate::http) body: B,
    pub(in crate::http) path: P,
    pub(in crate::http) query: Q,
    pub(in crate::http) source: SocketAddr,
}

impl<B: FromBody, P: PathValue, Q: Query> Door for Public<B, P, Q> {
    const NEED: Need = Need::Nobody;

    async fn enter(app: &App, request: Request) -> Result<Self, Refusal> {
        let mut visit = Visit::begin(app, request)?;
        visit.read(B::LIMIT).await?;
        let Asked { body, path, query } = visit.asked().await?;
        Ok(Self {
            body,
            path,
            query,
            source: visit.source,
        })
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<P, Q>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}
