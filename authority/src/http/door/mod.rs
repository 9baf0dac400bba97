//! The doors. A handler gets at a request only through one, so none can forget to ask who is there.

mod newcomer;
mod node;
mod operator;
mod public;
mod right;
mod visit;

use std::future::Future;

use axum::extract::Request;
use serde_json::{Value, json};
use tidegate_proto::policy::OperatorRole;

pub(super) use newcomer::ByNewcomer;
pub(super) use node::{ByMember, ByNode};
pub(super) use operator::ByOperator;
pub(super) use public::Public;
pub(super) use right::*;
pub use visit::Source;
use visit::Visit;

use super::app::App;
use super::problem::Refusal;
use super::schema::Schemas;
use crate::service::Operation;
use tidegate_proto::api::Door as Entrance;

/// Who may pass a door.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Need {
    /// Anybody.
    Nobody,
    /// Whoever signs with the key that the body names.
    Newcomer,
    /// Whoever signs with a key that is known, however it stands.
    Node,
    /// A node that is in.
    Member,
    /// An operator with the right to this.
    Operator(Operation),
}

/// The only way to a request.
pub(super) trait Door: Sized + Send + 'static {
    /// Who may pass.
    const NEED: Need;

    /// Lets the right ones in, with what they bring. Whoever is refused before it has proved to be somebody who is in
    /// pays from the share of its address.
    fn enter(app: &App, request: Request) -> impl Future<Output = Result<Self, Refusal>> + Send {
        async move {
            let mut visit = Visit::begin(request)?;
            let passed = match visit.check_target() {
                Ok(()) => Self::pass(app, &mut visit).await,
                Err(refusal) => Err(refusal),
            };
            passed.map_err(|refusal| visit.charge(app, refusal))
        }
    }

    /// Looks at who asks and what for.
    fn pass(app: &App, visit: &mut Visit) -> impl Future<Output = Result<Self, Refusal>> + Send;

    /// The parameters that the target has.
    fn parameters(schemas: &mut Schemas) -> Vec<Value>;

    /// The schema of the body, if there is one.
    fn body(schemas: &mut Schemas) -> Option<Value>;
}

impl Need {
    /// The least role, where it needs one.
    pub(super) fn role(self) -> Option<OperatorRole> {
        match self {
            Self::Operator(operation) => Some(operation.needs()),
            _ => None,
        }
    }

    /// For people.
    pub(super) fn sentence(self) -> String {
        match self {
            Self::Nobody => "For anybody.".to_owned(),
            Self::Newcomer => "Signed with the identity key that the body names.".to_owned(),
            Self::Node => "Signed by a node that is known, however it stands.".to_owned(),
            Self::Member => "Signed by a node that is in.".to_owned(),
            Self::Operator(operation) => format!(
                "For operators with the role {} or more (`{operation}`).",
                operation.needs()
            ),
        }
    }

    /// As OpenAPI has it.
    pub(super) fn security(self) -> Value {
        match self {
            Self::Nobody => json!([]),
            Self::Newcomer | Self::Node | Self::Member => json!([{ "node": [] }]),
            Self::Operator(operation) if operation.door() == Entrance::Either => {
                json!([{ "operator": [] }, { "token": [] }])
            }
            Self::Operator(_) => json!([{ "operator": [] }]),
        }
    }
}
