//! What stands in a target: at most one value in the path, and known names in the query.

use std::fmt::Display;
use std::str::FromStr;

use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};
use tidegate_proto::api::NodeStatus;
use tidegate_proto::{InviteId, NodeId, NodeName, OperatorId, OperatorName, Sequence, TokenId};

use super::problem::Refusal;
use super::schema::{Described, Schemas};
use crate::service::{NodeRef, OperatorRef, PolicyChangeError, ReadError};

/// The value in a path, if it has one.
pub(super) trait PathValue: Sized + Send + 'static {
    /// Its name in the route.
    const NAME: Option<&'static str>;

    /// Reads it.
    fn read(text: &str) -> Result<Self, Refusal>;

    /// Its schema.
    fn describe(schemas: &mut Schemas) -> Value;
}

impl PathValue for () {
    const NAME: Option<&'static str> = None;

    fn read(_text: &str) -> Result<Self, Refusal> {
        Ok(())
    }

    fn describe(_schemas: &mut Schemas) -> Value {
        Value::Null
    }
}

macro_rules! path_values {
    ($($type:ty as $name:literal, $code:literal, $refusal:literal;)*) => {
        $(impl PathValue for $type {
            const NAME: Option<&'static str> = Some($name);

            fn read(text: &str) -> Result<Self, Refusal> {
                text.parse().map_err(|_| Refusal::new(StatusCode::NOT_FOUND, $code, $refusal))
            }

            fn describe(schemas: &mut Schemas) -> Value {
                schemas.of::<$type>()
            }
        })*
    };
}

path_values! {
    InviteId as "id", "invite-unknown", "this is no invite's id; 'tidegate admin invite list' shows them";
    TokenId as "id", "no-such-token", "this is no token's id; 'tidegate admin tokens list' shows them";
}

impl PathValue for Sequence {
    const NAME: Option<&'static str> = Some("sequence");

    fn read(text: &str) -> Result<Self, Refusal> {
        Readable::read(text).map_err(|_| ReadError::NoRevocation.into())
    }

    fn describe(schemas: &mut Schemas) -> Value {
        schemas.of::<Self>()
    }
}

impl PathValue for OperatorRef {
    const NAME: Option<&'static str> = Some("operator");

    fn read(text: &str) -> Result<Self, Refusal> {
        text.parse()
            .map_err(|_| PolicyChangeError::NoOperator.into())
    }

    fn describe(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [schemas.of::<OperatorId>(), schemas.of::<OperatorName>()] })
    }
}

impl PathValue for NodeRef {
    const NAME: Option<&'static str> = Some("node");

    fn read(text: &str) -> Result<Self, Refusal> {
        let by_name = || text.parse::<NodeName>().map(Self::Name);
        let read = text.parse::<NodeId>().map(Self::Id).or_else(|_| by_name());
        read.map_err(|_| ReadError::NoNode.into())
    }

    fn describe(schemas: &mut Schemas) -> Value {
        json!({ "anyOf": [schemas.of::<NodeId>(), schemas.of::<NodeName>()] })
    }
}

/// The query of a target.
pub(super) trait Query: Default + Send + 'static {
    /// Takes one of its parameters; false if it has none of this name.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, Refusal>;

    /// Names and schemas of its parameters.
    fn describe(schemas: &mut Schemas) -> Vec<(&'static str, Value)>;
}

impl Query for () {
    fn set(&mut self, _name: &str, _value: &str) -> Result<bool, Refusal> {
        Ok(false)
    }

    fn describe(_schemas: &mut Schemas) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

macro_rules! queries {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub(super) struct $name {
            $(pub(super) $field: Option<$type>,)*
        }

        impl Query for $name {
            fn set(&mut self, name: &str, value: &str) -> Result<bool, Refusal> {
                match name {
                    $(stringify!($field) => once(&mut self.$field, name, value)?,)*
                    _ => return Ok(false),
                }
                Ok(true)
            }

            fn describe(schemas: &mut Schemas) -> Vec<(&'static str, Value)> {
                vec![$((stringify!($field), schemas.of::<$type>())),*]
            }
        })*
    };
}

queries! {
    /// Which nodes.
    NodeQuery { status: NodeStatus, after: NodeId, limit: Limit, }
    /// Which part of a log.
    LogQuery { after: Sequence, limit: Limit, last: Limit, }
    /// What is known already.
    SinceQuery { since: Sequence, }
}

/// How much is wanted at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(pub(super) u32);

impl Limit {
    /// The most.
    pub(super) const MOST: u32 = 1000;
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|&n| text == u32::to_string(&n));
        number
            .filter(|n| (1..=Self::MOST).contains(n))
            .map(Self)
            .ok_or_else(|| format!("a limit is a number from 1 to {}", Self::MOST))
    }
}

impl Described for Limit {
    fn schema(_schemas: &mut Schemas) -> Value {
        json!({ "type": "integer", "minimum": 1, "maximum": Self::MOST })
    }
}

/// A value of a query.
trait Readable: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

macro_rules! readable {
    ($($type:ty),*) => {
        $(impl Readable for $type {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: <$type as FromStr>::Err| error.to_string())
            }
        })*
    };
}

readable!(NodeStatus, NodeId, Limit);

impl Readable for Sequence {
    fn read(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|&n| text == u64::to_string(&n));
        number
            .and_then(Self::new)
            .ok_or_else(|| "a sequence is a number below 2^53".to_owned())
    }
}

fn once<T: Readable>(slot: &mut Option<T>, name: &str, value: &str) -> Result<(), Refusal> {
    if slot.is_some() {
        return Err(refused(format!("'{name}' stands twice in the query")));
    }
    let read = T::read(value).map_err(|error| refused(format!("'{name}': {error}")))?;
    *slot = Some(read);
    Ok(())
}

fn refused(detail: impl Display) -> Refusal {
    Refusal::malformed("query-refused", detail)
}

/// Reads the query of `uri`. Nothing in it is percent-encoded: no value needs it.
pub(super) fn query<Q: Query>(uri: &Uri) -> Result<Q, Refusal> {
    let mut query = Q::default();
    for pair in uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !query.set(name, value)? {
            let name: String = name.chars().take(40).collect();
            return Err(refused(format!("the query parameter '{name}' is unknown")));
        }
    }
    Ok(query)
}
