//! The one reader of JSON that comes from outside.
//!
//! Serde alone accepts an object whose keys repeat (where it becomes a map), members that no field has (where
//! newtypes or tags stand between) and an array in place of a struct. Two readers could then see two
//! documents in one signature. Here all of it is refused before serde sees a value, with floats, nulls,
//! integers that JSON cannot hold exactly, and nesting without end.

mod decode;
mod parse;

use serde::de::DeserializeOwned;

use crate::bytes::printable;

/// How deep a value may nest.
const DEEPEST: usize = 12;

/// How many values one reading may give, so that a small text cannot become a large memory.
const MOST_VALUES: usize = 250_000;

/// Longer than any message of a type of this crate.
const LONGEST_MESSAGE: usize = 400;

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
    /// A name that no variant of the type has.
    #[error("'{0}' is not one of the names that can stand here")]
    UnknownVariant(String),
    /// `null`, for which absence is the only form.
    #[error("a null; leave the member out instead")]
    Null,
    /// Nesting without end.
    #[error("nested deeper than {DEEPEST} levels")]
    TooDeep,
    /// More values than any document or body has.
    #[error("more than {MOST_VALUES} values")]
    TooMany,
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
    T::deserialize(parse::parse(bytes)?)
}

/// What of a stranger's text an error may repeat.
fn excerpt(text: &str) -> String {
    printable(text, 40)
}

#[cfg(test)]
mod tests {
    use super::parse::parse;
    use super::*;
    use crate::time::MAX_INTEGER;
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
    fn a_variant_has_one_name() {
        for name in ["pl\\u0000ain", "plain ", "Plain", ""] {
            let json = format!(r#"{{"name":"a","inner":[],"choice":"{name}"}}"#);
            assert!(
                matches!(refusal(&json), ReadError::UnknownVariant(_)),
                "{json}"
            );
        }
        let object = r#"{"name":"a","inner":[],"choice":{"\u0007with":{"size":3}}}"#;
        assert_eq!(refusal(object), ReadError::UnknownVariant("with".into()));
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
    fn a_refusal_repeats_little_of_what_came() {
        let long = format!(r#"{{"name":"a","count":"{}","inner":[]}}"#, "x".repeat(800));
        assert!(refusal(&long).to_string().len() <= LONGEST_MESSAGE);
    }

    #[test]
    fn a_name_is_compared_as_it_came() {
        assert!(read::<Choice>(br#""plain""#, 100).is_ok());
        for hidden in [
            r#""pl\u0000ain""#,
            r#""plain\u0007""#,
            r#"{"wi\u001bth":{"size":1}}"#,
        ] {
            assert!(read::<Choice>(hidden.as_bytes(), 100).is_err(), "{hidden}");
        }
    }

    #[test]
    fn a_small_text_does_not_become_a_large_memory() {
        let many = format!("[{}0]", r#"{"":0},"#.repeat(MOST_VALUES / 2));
        assert_eq!(parse(many.as_bytes()).err(), Some(ReadError::TooMany));
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
