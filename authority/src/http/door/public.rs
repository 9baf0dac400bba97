//! The door for anybody.

use serde_json::Value;

use super::visit::{self, Asked, Visit};
use super::{Door, Need};
use crate::http::app::App;
use crate::http::body::FromBody;
use crate::http::problem::Refusal;
use crate::http::schema::Schemas;

/// A request from anybody.
pub(crate) struct Public<B = ()> {
    pub(in crate::http) body: B,
}

impl<B: FromBody> Door for Public<B> {
    const NEED: Need = Need::Nobody;

    async fn pass(app: &App, visit: &mut Visit) -> Result<Self, Refusal> {
        visit.pay(app)?;
        visit.read(app, B::LIMIT).await?;
        let Asked::<B, (), ()> { body, .. } = visit.asked().await?;
        Ok(Self { body })
    }

    fn parameters(schemas: &mut Schemas) -> Vec<Value> {
        visit::parameters::<(), ()>(schemas)
    }

    fn body(schemas: &mut Schemas) -> Option<Value> {
        B::describe(schemas)
    }
}
