//! The OpenAPI document, made from the routes.

use serde_json::{Map, Value, json};

use super::route::Route;
use super::schema::Schemas;

const ABOUT: &str = "The authority of a Tidegate network. Nodes and operators sign their requests: the \
    Authorization header is `Tidegate key=KEYID,time=MILLIS,nonce=BASE64,signature=BASE64`, an Ed25519 signature over \
    network, origin, method, target and body. Signed documents travel as DSSE envelopes. Refusals are problem details \
    with stable codes.";

/// The document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = Map::new();
    for route in routes {
        let item = paths
            .entry(route.path.to_owned())
            .or_insert_with(|| json!({}));
        item[route.method.as_str().to_lowercase()] = route.describe(&mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tidegate authority",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "securitySchemes": {
                "node": signed("signed with a node's identity key"),
                "operator": signed("signed with an operator's key"),
                "token": { "type": "http", "scheme": "bearer", "description": "an API token" },
            },
        },
    })
}

fn signed(description: &str) -> Value {
    json!({ "type": "apiKey", "in": "header", "name": "Authorization", "description": description })
}
