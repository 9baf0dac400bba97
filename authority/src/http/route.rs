//! Routes: each knows its door, what it takes and what it answers, from the types of its handler.

use std::future::Future;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Value, json};
use tidegate_proto::api::Problem;

use super::answer::Answer;
use super::app::App;
use super::door::{Door, Need};
use super::problem::Refusal;
use super::schema::Schemas;
use super::trace::{RequestId, Taken};

/// One operation of the API.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    summary: &'static str,
    describe: fn(&mut Schemas) -> Value,
    handler: MethodRouter<App>,
}

/// The operation that `handler` carries out. There is none without a door: it is the only way to a request.
pub(super) fn route<D, A, F, R>(
    method: Method,
    path: &'static str,
    summary: &'static str,
    handler: F,
) -> Route
where
    D: Door,
    A: Answer,
    F: Fn(App, D) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<A, Refusal>> + Send + 'static,
{
    let serve = move |State(app): State<App>, request: Request| async move {
        let id = request.extensions().get::<RequestId>().copied();
        let answered = match D::enter(&app, request).await {
            Ok(door) => handler(app.clone(), door).await,
            Err(refusal) => Err(refusal),
        };
        let mut response = match answered {
            Ok(answer) => answer.respond(),
            Err(refusal) => refusal.respond(&app, id.as_ref()),
        };
        response.extensions_mut().insert(Taken(path));
        response
    };
    let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::TRACE);
    Route {
        method,
        path,
        summary,
        describe: operation::<D, A>,
        handler: on(filter, serve),
    }
}

impl Route {
    /// The handler, behind its door.
    pub(super) fn into_handler(self) -> MethodRouter<App> {
        self.handler
    }

    /// The operation, as OpenAPI has it.
    pub(super) fn describe(&self, schemas: &mut Schemas) -> Value {
        let mut operation = (self.describe)(schemas);
        operation["summary"] = self.summary.into();
        operation["operationId"] = self.id().into();
        operation["tags"] = json!([self.tag()]);
        operation
    }

    fn id(&self) -> String {
        let path = self.path.trim_start_matches("/v1").replace(['{', '}'], "");
        let words = path.split(['/', '.']).filter(|word| !word.is_empty());
        let mut id = self.method.as_str().to_lowercase();
        for word in words {
            id.push('-');
            id.push_str(word);
        }
        id
    }

    fn tag(&self) -> &'static str {
        let mut parts = self.path.split('/').filter(|part| !part.is_empty());
        match (parts.next(), parts.next()) {
            (Some("v1"), Some(noun)) => noun,
            _ => "server",
        }
    }
}

/// What the types say of an operation.
fn operation<D: Door, A: Answer>(schemas: &mut Schemas) -> Value {
    let mut operation = json!({
        "description": D::NEED.sentence(),
        "security": D::NEED.security(),
        "responses": responses::<D, A>(schemas),
    });
    let parameters = D::parameters(schemas);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = D::body(schemas) {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    if let Some(role) = D::NEED.role() {
        operation["x-tidegate-role"] = role.to_string().into();
    }
    operation
}

/// The one success, and every status that a refusal may have.
fn responses<D: Door, A: Answer>(schemas: &mut Schemas) -> Value {
    let mut responses = serde_json::Map::new();
    let mut success = json!({ "description": A::MEANING });
    if let Some((media, schema)) = A::describe(schemas) {
        success["content"] = json!({ media: { "schema": schema } });
    }
    responses.insert(A::STATUS.as_u16().to_string(), success);
    let problem = schemas.of::<Problem>();
    for (status, meaning) in D::NEED.refusals() {
        let content = json!({ Problem::MEDIA_TYPE: { "schema": problem } });
        let refusal = json!({ "description": meaning, "content": content });
        responses.insert(status.as_u16().to_string(), refusal);
    }
    if let Some((status, media, schema)) = A::failure(schemas) {
        responses[&status.as_u16().to_string()]["content"][media] = json!({ "schema": schema });
    }
    responses.into()
}

impl Need {
    /// What may be refused behind this door.
    fn refusals(self) -> Vec<(StatusCode, &'static str)> {
        let mut refusals = vec![
            (StatusCode::BAD_REQUEST, "it cannot be right"),
            (StatusCode::NOT_FOUND, "there is no such thing"),
            (StatusCode::REQUEST_TIMEOUT, "the body took too long"),
            (StatusCode::CONFLICT, "it contradicts what is"),
            (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is no JSON"),
            (
                StatusCode::TOO_MANY_REQUESTS,
                "a limit is reached; Retry-After says when to try again",
            ),
            (StatusCode::INTERNAL_SERVER_ERROR, "the authority failed"),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the authority is busy, stopping or recovering",
            ),
            (
                StatusCode::INSUFFICIENT_STORAGE,
                "the authority's disk is full",
            ),
        ];
        if self != Self::Nobody {
            refusals.push((
                StatusCode::UNAUTHORIZED,
                "the caller has not shown who it is",
            ));
            refusals.push((StatusCode::FORBIDDEN, "the caller may not"));
        }
        refusals
    }
}
