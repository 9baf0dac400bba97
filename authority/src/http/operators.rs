//! Operators: who may decide.

use axum::http::Method;
use tidegate_proto::api::{NewOperator, OperatorView, Operators};
use tidegate_proto::policy::Operator;
use tidegate_proto::{BoundedList, OperatorId};

use super::answer::{Created, Done, Json};
use super::app::App;
use super::door::{ByOperator, ChangeOperators, ViewOperators};
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::OperatorRef;
use crate::store::StoreError;

pub(super) fn routes() -> Vec<Route> {
    vec![
        route(Method::GET, "/v1/operators", "Who may decide", list),
        route(
            Method::POST,
            "/v1/operators",
            "Names an operator, or gives one another role",
            add,
        ),
        route(
            Method::DELETE,
            "/v1/operators/{operator}",
            "Removes an operator, by id or name, and every token that it made",
            remove,
        ),
    ]
}

async fn list(app: App, _: ByOperator<ViewOperators>) -> Result<Json<Operators>, Refusal> {
    let operators = app.authority().operators().await?;
    let operators = BoundedList::new(operators.into_iter().map(view).collect())
        .map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(Json(Operators { operators }))
}

async fn add(
    app: App,
    asked: ByOperator<ChangeOperators, NewOperator>,
) -> Result<Created<OperatorView>, Refusal> {
    let NewOperator { name, key, role } = asked.body;
    let operator = Operator { name, key, role };
    app.authority()
        .add_operator(operator.clone(), asked.caller)
        .await?;
    Ok(Created(view(operator)))
}

async fn remove(
    app: App,
    asked: ByOperator<ChangeOperators, (), OperatorRef>,
) -> Result<Done, Refusal> {
    app.authority()
        .remove_operator(asked.path, asked.caller)
        .await?;
    Ok(Done)
}

fn view(operator: Operator) -> OperatorView {
    OperatorView {
        id: OperatorId::of(&operator.key),
        name: operator.name,
        key: operator.key,
        role: operator.role,
    }
}
