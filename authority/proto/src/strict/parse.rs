//! From JSON to a value that has passed every rule.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{DEEPEST, MOST_VALUES, ReadError, excerpt};
use crate::time::MAX_INTEGER;

/// A value out of JSON, if it keeps every rule.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, ReadError> {
    let mut refusal = None;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let mut left = MOST_VALUES;
    let parser = Parser {
        depth: 0,
        left: &mut left,
        refusal: &mut refusal,
    };
    let outcome = parser.deserialize(&mut json);
    match outcome.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(refusal.unwrap_or(ReadError::Syntax {
            line: error.line(),
            column: error.column(),
        })),
    }
}

/// A JSON value that has passed every rule of this module.
pub(super) enum Value {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

impl Value {
    pub(super) fn shape(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Text(_) => "a text",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    pub(super) fn instead_of(&self, wanted: &'static str) -> ReadError {
        ReadError::Shape {
            wanted,
            found: self.shape(),
        }
    }

    /// The name of a variant, and what stands behind it.
    pub(super) fn into_variant(self) -> Result<(String, Option<Self>), ReadError> {
        const WANTED: &str = "a text or an object of one member";
        match self {
            Self::Text(variant) => Ok((variant, None)),
            Self::Object(mut members) => match (members.pop(), members.is_empty()) {
                (Some((variant, content)), true) => Ok((variant, Some(content))),
                _ => Err(ReadError::Shape {
                    wanted: WANTED,
                    found: "an object",
                }),
            },
            other => Err(other.instead_of(WANTED)),
        }
    }

    pub(super) fn into_object(
        self,
        fields: &'static [&'static str],
    ) -> Result<Vec<(String, Self)>, ReadError> {
        match self {
            Self::Object(members) => {
                let unknown = |(key, _): &&(String, Self)| !fields.contains(&key.as_str());
                match members.iter().find(unknown) {
                    Some((unknown, _)) => Err(ReadError::UnknownMember(excerpt(unknown))),
                    None => Ok(members),
                }
            }
            other => Err(other.instead_of("an object")),
        }
    }
}

/// Builds a [`Value`] and leaves the reason behind where it refuses.
struct Parser<'a> {
    depth: usize,
    /// How many more values there may be.
    left: &'a mut usize,
    refusal: &'a mut Option<ReadError>,
}

impl Parser<'_> {
    fn refuse<E: serde::de::Error>(self, reason: ReadError) -> E {
        let error = E::custom(&reason);
        self.refusal.get_or_insert(reason);
        error
    }

    fn inner(&mut self) -> Parser<'_> {
        Parser {
            depth: self.depth + 1,
            left: self.left,
            refusal: self.refusal,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Parser<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.checked_sub(1) {
            Some(left) => *self.left = left,
            None => return Err(self.refuse(ReadError::TooMany)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Parser<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without floats and nulls")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_INTEGER {
            Err(self.refuse(ReadError::IntegerTooLarge))
        } else {
            Ok(Value::Integer(value as i64))
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        let exact = value.unsigned_abs() <= MAX_INTEGER;
        if exact {
            Ok(Value::Integer(value))
        } else {
            Err(self.refuse(ReadError::IntegerTooLarge))
        }
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Value, E> {
        Err(self.refuse(ReadError::Float))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Err(self.refuse(ReadError::Null))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<Value, A::Error> {
        if self.depth == DEEPEST {
            return Err(self.refuse(ReadError::TooDeep));
        }
        let mut list = Vec::new();
        while let Some(value) = sequence.next_element_seed(self.inner())? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        if self.depth == DEEPEST {
            return Err(self.refuse(ReadError::TooDeep));
        }
        let mut members = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            members.push((key, map.next_value_seed(self.inner())?));
        }
        match repeated(&members) {
            Some(key) => Err(self.refuse(ReadError::DuplicateMember(excerpt(key)))),
            None => Ok(Value::Object(members)),
        }
    }
}

/// A key that stands in an object twice.
fn repeated(members: &[(String, Value)]) -> Option<&str> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.windows(2)
        .find(|pair| pair[0] == pair[1])
        .map(|pair| pair[0])
}
