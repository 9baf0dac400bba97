//! What every decoder promises.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde_json::Value;
use tidegate_proto::strict;

/// Longer than any message that a person would read.
const LONGEST_REFUSAL: usize = 600;

/// A refusal repeats no control character and no more than a little of what a stranger sent.
pub(super) fn check_refusal(error: &impl Display) {
    let message = error.to_string();
    assert!(
        message.len() <= LONGEST_REFUSAL,
        "a refusal of {} bytes: {message:?}",
        message.len()
    );
    assert!(
        !message.contains(char::is_control),
        "a refusal that cannot be printed: {message:?}"
    );
}

/// What is read from a text prints as that text.
pub(super) fn check_text<T>(text: &str)
where
    T: FromStr<Err: Display> + Display,
{
    match text.parse::<T>() {
        Ok(value) => assert_eq!(value.to_string(), text, "a second text for one value"),
        Err(error) => check_refusal(&error),
    }
}

/// Reads `json` strictly. What is read is written with the same members and values, and reads as itself.
pub(super) fn check_json<T>(json: &[u8], limit: usize) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let value: T = match strict::read(json, limit) {
        Ok(value) => value,
        Err(error) => {
            check_refusal(&error);
            return None;
        }
    };
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(
        strict::read::<T>(&written, limit).as_ref(),
        Ok(&value),
        "it reads as something else"
    );
    let members = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(
        members(&written),
        members(json),
        "a second form of one value"
    );
    Some(value)
}
