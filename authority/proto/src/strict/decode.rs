//! From a value to a type: serde, without what it forgives.

use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};

use super::parse::Value;
use super::{LONGEST_MESSAGE, ReadError, excerpt};
use crate::bytes::printable;

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Value(printable(&message.to_string(), LONGEST_MESSAGE))
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
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let (variant, content) = self.into_variant()?;
        if variants.contains(&variant.as_str()) {
            visitor.visit_enum(Variant { variant, content })
        } else {
            Err(ReadError::UnknownVariant(excerpt(&variant)))
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
        let name = seed.deserialize(Value::Text(self.variant))?;
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
