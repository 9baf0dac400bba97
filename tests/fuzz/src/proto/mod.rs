//! The decoders of `tidegate-proto`.
#![allow(
    clippy::missing_panics_doc,
    reason = "panicking is how a decoder reports"
)]

mod audit;
mod body;
mod document;
mod envelope;
mod event_stream;
#[allow(
    missing_docs,
    clippy::new_without_default,
    clippy::wildcard_imports,
    reason = "it is a module of the crate's own tests"
)]
#[path = "../../../../authority/proto/tests/fixtures/mod.rs"]
pub mod fixtures;
mod key_file;
mod promise;
mod text;

pub use audit::audit;
pub use body::api;
pub use document::document;
pub use envelope::{envelope_compact, envelope_json};
pub use event_stream::event_stream;
pub use key_file::pem;
pub use text::{invite, policy_file, request_header, text};

/// One decoder that is fuzzed.
pub type Decoder = fn(&[u8]);

/// Every target with its decoder.
pub const TARGETS: [(&str, Decoder); 11] = [
    ("proto_api", api),
    ("proto_audit", audit),
    ("proto_document", document),
    ("proto_envelope_compact", envelope_compact),
    ("proto_envelope_json", envelope_json),
    ("proto_event_stream", event_stream),
    ("proto_invite", invite),
    ("proto_pem", pem),
    ("proto_policy_file", policy_file),
    ("proto_request_header", request_header),
    ("proto_text", text),
];
