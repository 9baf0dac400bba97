//! What travels, described for the OpenAPI document.
//!
//! A description is bound to its type: one that names a field too few, too many or with another type does not
//! compile. Texts have the pattern that their own reader insists on.

mod objects;
mod texts;

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde_json::{Value, json};
use tidegate_proto::{BoundedList, BoundedSet, Signed};

/// The largest integer that travels.
const LARGEST: u64 = (1 << 53) - 1;

/// The named schemas that a document refers to.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<&'static str, Value>);

/// A type that travels.
pub(super) trait Described {
    /// The name under which others refer to it; none where it is written out in place.
    const NAME: Option<&'static str> = None;
    /// Whether it may be left out.
    const OPTIONAL: bool = false;

    /// Its schema.
    fn schema(schemas: &mut Schemas) -> Value;
}

impl Schemas {
    /// The schema of `T`, or a reference to it.
    pub(super) fn of<T: Described>(&mut self) -> Value {
        let Some(name) = T::NAME else {
            return T::schema(self);
        };
        if !self.0.contains_key(name) {
            self.0.insert(name, Value::Null); // so that a type can hold itself
            let schema = T::schema(self);
            self.0.insert(name, schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// All of them, by name.
    pub(super) fn into_value(self) -> Value {
        Value::Object(
            self.0
                .into_iter()
                .map(|(name, schema)| (name.to_owned(), schema))
                .collect(),
        )
    }
}

/// An object with a fixed set of members.
#[derive(Debug, Default)]
struct Members {
    properties: serde_json::Map<String, Value>,
    required: Vec<&'static str>,
}

impl Members {
    fn with<T: Described>(mut self, name: &'static str, schemas: &mut Schemas) -> Self {
        if !T::OPTIONAL {
            self.required.push(name);
        }
        self.optional::<T>(name, schemas)
    }

    fn optional<T: Described>(mut self, name: &'static str, schemas: &mut Schemas) -> Self {
        self.properties.insert(name.to_owned(), schemas.of::<T>());
        self
    }

    fn schema(self) -> Value {
        json!({
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

impl<T: Described> Described for Option<T> {
    const OPTIONAL: bool = true;

    fn schema(schemas: &mut Schemas) -> Value {
        schemas.of::<T>()
    }
}

impl<T: Described> Described for Vec<T> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": schemas.of::<T>() })
    }
}

impl<T: Described, const MAX: usize> Described for BoundedList<T, MAX> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({ "type": "array", "items": schemas.of::<T>(), "maxItems": MAX })
    }
}

impl<T: Described, const MAX: usize> Described for BoundedSet<T, MAX> {
    fn schema(schemas: &mut Schemas) -> Value {
        json!({
            "type": "array",
            "items": schemas.of::<T>(),
            "maxItems": MAX,
            "uniqueItems": true,
            "description": "in strictly rising order",
        })
    }
}

impl<T> Described for Signed<T> {
    const NAME: Option<&'static str> = Some("Envelope");

    fn schema(_schemas: &mut Schemas) -> Value {
        let signature = json!({
            "type": "object",
            "properties": { "keyid": { "type": "string" }, "sig": { "type": "string" } },
            "required": ["keyid", "sig"],
            "additionalProperties": false,
        });
        json!({
            "type": "object",
            "description": "A signed document: a DSSE envelope, whose payload is JSON in base64",
            "properties": {
                "payloadType": {
                    "type": "string",
                    "pattern": "^application/vnd\\.tidegate\\.[a-z-]+\\.v[0-9]+\\+json$",
                },
                "payload": { "type": "string" },
                "signatures": { "type": "array", "items": signature, "maxItems": 16 },
            },
            "required": ["payloadType", "payload", "signatures"],
            "additionalProperties": false,
        })
    }
}

/// Integers, each with its largest value.
macro_rules! integers {
    ($($name:ty = $largest:expr, $description:literal;)*) => {
        $(impl Described for $name {
            fn schema(_schemas: &mut Schemas) -> Value {
                let mut schema = json!({ "type": "integer", "minimum": 0, "maximum": $largest });
                if !$description.is_empty() {
                    schema["description"] = $description.into();
                }
                schema
            }
        })*
    };
}

integers! {
    u16 = u16::MAX, "";
    u32 = u32::MAX, "";
    u64 = LARGEST, "";
    tidegate_proto::UnixTime = LARGEST, "milliseconds since 1970-01-01T00:00:00Z";
    tidegate_proto::Span = LARGEST, "milliseconds";
    tidegate_proto::Sequence = LARGEST, "";
    tidegate_proto::Serial = LARGEST, "";
    tidegate_proto::Revision = LARGEST, "";
    tidegate_proto::EpochNumber = LARGEST, "";
}

impl Described for NonZeroU32 {
    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX })
    }
}

impl Described for bool {
    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "boolean" })
    }
}

impl Described for String {
    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "string" })
    }
}
