//! What measurements are told apart by. Every value is one of few: none comes from a caller.

use prometheus_client::encoding::EncodeLabelSet;

macro_rules! labels {
    ($($name:ident { $($field:ident: $type:ty),* })*) => {
        $(#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
        pub(super) struct $name {
            $(pub(super) $field: $type,)*
        })*
    };
}

labels! {
    Answer { route: &'static str, method: String, status: u16 }
    Route { route: &'static str }
    Code { code: &'static str }
    Kind { kind: &'static str }
    Why { why: &'static str }
    Outcome { outcome: &'static str }
    Event { event: &'static str }
    Status { status: &'static str }
    Version { version: &'static str }
}
