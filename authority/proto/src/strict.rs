//! The one reader of JSON that comes from outside.
//!
//! Serde alone accepts an object whose keys repeat (where it becomes a map), members that no field has (where
//! newtypes or tags stand between) and an array in place of a struct. Two readers could then see two
//! documents in one signature. Here all of it is refused before serde sees a value, with floats, nulls,
//! integers that JSON cannot hold exactly, and nesting without end.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use crate::time::MAX_INTEGER;

/// How deep a value may nest.
const DEEPEST: usize = 12;

/// Why JSON is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReadError {
    /// More bytes than the kind of thing may have.
    #[error("{got} bytes, and at most {limit} are read")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What came.
        got: usize,
    },
    /// Not JSON.
    #[error("not JSON (line {line}, column {column})")]
    Syntax {
        /// Where, counted from one.
        line: usize,
        /// Where, counted from one.
        column: usize,
    },
    /// A key that an object has twice.
    #[error("the member '{0}' stands twice in one object")]
    DuplicateMember(String),
    /// A key that the type does not know.
    #[error("the member '{0}' is unknown")]
    UnknownMember(String),
    /// A key that is needed and not there.
    #[error("the member '{0}' is missing")]
    MissingMember(&'static str),
    /// A number with a fraction or exponent.
    #[error("a number that is no integer")]
    Float,
    /// An integer beyond 2^53 - 1.
    #[error("an integer beyond 2^53 - 1")]
    IntegerTooLarge,
    /// `null`, for which absence is the only form.
    #[error("a null; leave the member out instead")]
    Null,
    /// Nesting without end.
    #[error("nested deeper than {DEEPEST} levels")]
    TooDeep,
    /// A value of the wrong shape.
    #[error("{found} where {wanted} is needed")]
    Shape {
        /// What the type needs.
        wanted: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// A value that its type refuses; the text says why.
    #[error("{0}")]
    Value(String),
}

/// Reads a `T` out of `bytes`, of which there may be at most `limit`.
pub fn read<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<T, ReadError> {
    if bytes.len() > limit {
        return Err(ReadError::TooLarge {
            limit,
            got: bytes.len(),
        });
    }
    T::deserialize(parse(bytes)?)
}

fn parse(bytes: &[u8]) -> Result<Value, ReadError> {
    let mut refusal = None;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let outcome = Parser {
        depth: 0,
        refusal: &mut refusal,
    }
    .deserialize(&mut json);
    match outcome.and_then(|value| json.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(error) => Err(refusal.unwrap_or(ReadError::Syntax {
            line: error.line(),
            column: error.column(),
        })),
    }
}

/// A JSON value that has passed every rule of this module.
enum Value {
    Bool(bool),
    Integer(i64),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    fn shape(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Text(_) => "a text",
            Self::List(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    fn instead_of(&self, wanted: &'static str) -> ReadError {
        ReadError::Shape {
            wanted,
            found: self.shape(),
        }
    }

    fn into_object(
        self,
        fields: &'static [&'static str],
    ) -> Result<BTreeMap<String, Self>, ReadError> {
        match self {
            Self::Object(members) => {
                match members.keys().find(|key| !fields.contains(&key.as_str())) {
                    Some(unknown) => Err(ReadError::UnknownMember(excerpt(unknown))),
                    None => Ok(members),
                }
            }
            other => Err(other.instead_of("an object")),
        }
    }
}

/// What of a stranger's text an error may repeat.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Builds a [`Value`] and leaves the reason behind where it refuses.
struct Parser<'a> {
    depth: usize,
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
            refusal: self.refusal,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Parser<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
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
        let mut members = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            if members.contains_key(&key) {
                return Err(self.refuse(ReadError::DuplicateMember(excerpt(&key))));
            }
            let value = map.next_value_seed(self.inner())?;
            members.insert(key, value);
        }
        Ok(Value::Object(members))
    }
}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingMember(field)
    }
}

impl IntoDeserializer<'_, ReadError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self {
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Integer(value) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_i64(value),
            },
            Self::Text(text) => visitor.visit_string(text),
            Self::List(list) => {
                let mut sequence = SeqDeserializer::new(list.into_iter());
                let value = visitor.visit_seq(&mut sequence)?;
                sequence.end().map(|()| value)
            }
            Self::Object(members) => {
                let mut map = MapDeserializer::new(members.into_iter());
                let value = visitor.visit_map(&mut map)?;
                map.end().map(|()| value)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        Self::Object(self.into_object(fields)?).deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self {
            Self::Object(_) => self.deserialize_any(visitor),
            other => Err(other.instead_of("an object")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        const WANTED: &str = "a text or an object of one member";
        match self {
            Self::Text(variant) => visitor.visit_enum(Variant {
                variant,
                content: None,
            }),
            Self::Object(members) if members.len() == 1 => match members.into_iter().next() {
                Some((variant, content)) => visitor.visit_enum(Variant {
                    variant,
                    content: Some(content),
                }),
                None => Err(ReadError::Shape {
                    wanted: WANTED,
                    found: "an object",
                }),
            },
            other => Err(other.instead_of(WANTED)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, ReadError> {
        Err(self.instead_of("nothing")) // nothing that was signed is ignored
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct identifier
    }
}

/// One variant of an enum: a bare name, or a name with content.
struct Variant {
    variant: String,
    content: Option<Value>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = ReadError;
    type Variant = Content;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content), ReadError> {
        let name = seed.deserialize(Value::Text(excerpt(&self.variant)))?;
        Ok((name, Content(self.content)))
    }
}

struct Content(Option<Value>);

impl Content {
    const NOTHING: &'static str = "a bare name";

    fn required(self, wanted: &'static str) -> Result<Value, ReadError> {
        self.0.ok_or(ReadError::Shape {
            wanted,
            found: Self::NOTHING,
        })
    }
}

impl<'de> VariantAccess<'de> for Content {
    type Error = ReadError;

    fn unit_variant(self) -> Result<(), ReadError> {
        self.0
            .map_or(Ok(()), |content| Err(content.instead_of(Self::NOTHING)))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        seed.deserialize(self.required("a value")?)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        self.required("an array")?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let members = self.required("an object")?.into_object(fields)?;
        Value::Object(members).deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Outer {
        name: String,
        count: Option<u32>,
        inner: Vec<Inner>,
        choice: Choice,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Inner {
        id: Wrapped,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wrapped(u8);

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Choice {
        Plain,
        With { size: u8 },
    }

    fn refusal(json: &str) -> ReadError {
        read::<Outer>(json.as_bytes(), 1000).unwrap_err()
    }

    #[test]
    fn a_sound_value_is_read() {
        let json = br#" {"name":"a", "inner":[{"id":7}], "choice":{"with":{"size":3}}} "#;
        let expected = Outer {
            name: "a".into(),
            count: None,
            inner: vec![Inner { id: Wrapped(7) }],
            choice: Choice::With { size: 3 },
        };
        assert_eq!(read::<Outer>(json, 1000), Ok(expected));
        assert_eq!(read::<Choice>(br#""plain""#, 1000), Ok(Choice::Plain));
    }

    #[test]
    fn each_ambiguity_has_its_own_refusal() {
        let duplicate = r#"{"name":"a","name":"b","inner":[],"choice":"plain"}"#;
        assert_eq!(
            refusal(duplicate),
            ReadError::DuplicateMember("name".into())
        );
        let nested = r#"{"name":"a","inner":[{"id":1,"\u0069d":2}],"choice":"plain"}"#;
        assert_eq!(refusal(nested), ReadError::DuplicateMember("id".into()));
        let unknown = r#"{"name":"a","inner":[{"id":1,"x":2}],"choice":"plain"}"#;
        assert_eq!(refusal(unknown), ReadError::UnknownMember("x".into()));
        let unknown = r#"{"name":"a","inner":[],"choice":{"with":{"size":1,"x":2}}}"#;
        assert_eq!(refusal(unknown), ReadError::UnknownMember("x".into()));
        let array = r#"["a",1,[],"plain"]"#;
        assert_eq!(
            refusal(array),
            ReadError::Shape {
                wanted: "an object",
                found: "an array"
            }
        );
        let array = r#"{"name":"a","inner":[],"choice":{"with":[1]}}"#;
        assert_eq!(
            refusal(array),
            ReadError::Shape {
                wanted: "an object",
                found: "an array"
            }
        );
        let null = r#"{"name":"a","count":null,"inner":[],"choice":"plain"}"#;
        assert_eq!(refusal(null), ReadError::Null);
        let content = r#"{"name":"a","inner":[],"choice":{"plain":{}}}"#;
        assert_eq!(
            refusal(content),
            ReadError::Shape {
                wanted: "a bare name",
                found: "an object"
            }
        );
        assert_eq!(
            refusal(r#"{"inner":[],"choice":"plain"}"#),
            ReadError::MissingMember("name")
        );
    }

    #[test]
    fn only_exact_integers_are_numbers() {
        for float in ["1.0", "1e3", "-0", "0.5", "18446744073709551616"] {
            assert_eq!(
                read::<u64>(float.as_bytes(), 100),
                Err(ReadError::Float),
                "{float}"
            );
        }
        assert_eq!(read::<u64>(b"9007199254740991", 100), Ok(MAX_INTEGER));
        assert_eq!(
            read::<u64>(b"9007199254740992", 100),
            Err(ReadError::IntegerTooLarge)
        );
        assert_eq!(
            read::<i64>(b"-9007199254740992", 100),
            Err(ReadError::IntegerTooLarge)
        );
        assert!(matches!(read::<u8>(b"256", 100), Err(ReadError::Value(_))));
    }

    #[test]
    fn size_depth_and_tails_are_bounded() {
        assert_eq!(
            read::<u64>(b"12345", 4),
            Err(ReadError::TooLarge { limit: 4, got: 5 })
        );
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(parse(deep.as_bytes()).err(), Some(ReadError::TooDeep));
        for text in [
            "",
            "1 2",
            "{",
            "[1,]",
            "{\"a\":}",
            "nul",
            "\"\\ud800\"",
            "\u{feff}1",
        ] {
            assert!(
                matches!(parse(text.as_bytes()).err(), Some(ReadError::Syntax { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            parse(b"\"\xff\"").err(),
            Some(ReadError::Syntax { .. })
        ));
    }
}
