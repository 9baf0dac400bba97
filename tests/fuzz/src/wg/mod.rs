//! The decoders of `tidegate-wg`, each against a slow model that is obviously right.
#![allow(
    clippy::missing_panics_doc,
    reason = "panicking is how a decoder reports"
)]

mod engine;
mod frame;
mod model;
#[allow(missing_docs, reason = "helpers of the engine's own tests")]
#[path = "../../../../wg/tests/net/mod.rs"]
pub mod net;
mod packet;
mod policy;
mod script;

pub use engine::engine;
pub use frame::{frame, merge};
pub use packet::packet;
pub use policy::{filter, routes};

/// One decoder that is fuzzed.
pub type Decoder = fn(&[u8]);

/// Every target with its decoder.
pub const TARGETS: [(&str, Decoder); 6] = [
    ("wg_engine", engine),
    ("wg_filter", filter),
    ("wg_frame", frame),
    ("wg_merge", merge),
    ("wg_packet", packet),
    ("wg_routes", routes),
];
