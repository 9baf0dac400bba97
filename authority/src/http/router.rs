//! All routes, behind what every request passes.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use axum::middleware;
use axum::routing::get;
use serde_json::Value;
use tower_http::catch_panic::CatchPanicLayer;

use super::answer::{Answer as _, Prepared, Text};
use super::app::App;
use super::door::{Public, Source};
use super::gate::Kind;
use super::health::OpenMetrics;
use super::problem::Refusal;
use super::route::{Route, route};
use super::schema::{Described, Schemas};
use super::trace::{self, RequestId};
use super::{
    audit, certificates, enrollment, epochs, events, genesis, grants, health, invites, nodes,
    openapi, operators, policy, presence, recovery, revocations, roster, stream, time, tokens,
};

/// Every operation of the API, but the one that describes them.
fn operations() -> Vec<Route> {
    let nouns = [
        health::routes(),
        genesis::routes(),
        time::routes(),
        enrollment::routes(),
        certificates::routes(),
        presence::routes(),
        recovery::routes(),
        grants::routes(),
        roster::routes(),
        policy::routes(),
        stream::routes(),
        nodes::routes(),
        revocations::routes(),
        epochs::routes(),
        invites::routes(),
        operators::routes(),
        tokens::routes(),
        audit::routes(),
        events::routes(),
    ];
    nouns.into_iter().flatten().collect()
}

/// An OpenAPI document.
struct Document;

impl Described for Document {
    fn schema(_schemas: &mut Schemas) -> Value {
        serde_json::json!({ "type": "object" })
    }
}

/// The router over `app`.
pub fn router(app: App) -> Router {
    let mut routes = operations();
    let described: Arc<std::sync::OnceLock<Bytes>> = Arc::default();
    let document = Arc::clone(&described);
    routes.push(route(
        Method::GET,
        "/openapi.json",
        "This document",
        move |_: App, _: Public| {
            let document = document.get().cloned().unwrap_or_default();
            async move { Ok(Prepared::<Document>::new(document)) }
        },
    ));
    let text = openapi::document(&routes).to_string();
    described.get_or_init(|| text.into());
    let mut router = Router::new();
    for route in routes {
        router = router.route(route.path, route.into_handler());
    }
    router
        .fallback(nothing_here)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn_with_state(app.clone(), trace::request))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// The router of the address that is only for measurements.
pub(crate) fn metrics_router(app: App) -> Router {
    let measure = async |State(app): State<App>| match app.measure().await {
        Ok(text) => Text::<OpenMetrics>::new(text).respond(),
        Err(error) => Refusal::from(error).respond(&app, None),
    };
    Router::new()
        .route("/metrics", get(measure))
        .fallback(nothing_here)
        .with_state(app)
}

async fn nothing_here(State(app): State<App>, request: Request) -> Response<Body> {
    let detail = "there is nothing at this target; /openapi.json lists what there is";
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "no-such-target", detail);
    turned_away(&app, &request, refusal)
}

async fn other_method(State(app): State<App>, request: Request) -> Response<Body> {
    turned_away(&app, &request, Refusal::not_allowed())
}

/// What is answered to a request that comes to no door. It is paid for as a stranger's.
fn turned_away(app: &App, request: &Request, refusal: Refusal) -> Response<Body> {
    let source = request.extensions().get();
    let paid = source.map_or(Ok(()), |Source(source)| app.admit(*source, Kind::Request));
    let refusal = paid.err().unwrap_or(refusal);
    refusal.respond(app, request.extensions().get::<RequestId>())
}

/// A fault of this program: it is logged, and ends no more than the one request.
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let what = panic.downcast_ref::<&str>().copied();
    let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(
        panic = what.unwrap_or("of no text"),
        "a request ended in a panic"
    );
    let problem =
        r#"{"code":"panicked","status":500,"detail":"the authority failed; tell its operators"}"#;
    let mut response = Response::new(Body::from(problem));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(
        axum::http::header::CONTENT_TYPE,
        axum::http::HeaderValue::from_static(tidegate_proto::api::Problem::MEDIA_TYPE),
    );
    response
}
