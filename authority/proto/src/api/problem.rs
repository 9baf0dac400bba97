//! Refusals, as they travel.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bytes::text_serde;
use crate::document::TimeStatement;
use crate::envelope::Signed;
use crate::name::{Label, NameError, is_unprintable};

/// Why a request was refused: problem details (RFC 9457) with a stable code.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Problem {
    /// What went wrong, for programs; a code never changes its meaning.
    pub code: Label,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, why, and what to do next, for people.
    pub detail: Explanation,
    /// Under which id the authority's log tells more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Label>,
    /// The authority's time, where the request's clock was off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<Signed<TimeStatement>>,
}

impl Problem {
    /// The media type.
    pub const MEDIA_TYPE: &'static str = "application/problem+json";
}

/// A few sentences for a person: one line of visible text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Explanation(Box<str>);

impl Explanation {
    /// The greatest length in bytes.
    pub const LONGEST: usize = 1000;

    /// `text` without what does not print, and cut where it is too long.
    pub fn of(text: &str) -> Self {
        let mut fitting = String::with_capacity(text.len().min(Self::LONGEST));
        for c in text.chars() {
            let c = if is_unprintable(c) { ' ' } else { c };
            if fitting.len() + c.len_utf8() > Self::LONGEST {
                break;
            }
            fitting.push(c);
        }
        Self(fitting.into())
    }

    /// The explanation as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Explanation {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= Self::LONGEST && !text.chars().any(is_unprintable) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Reason {
                longest: Self::LONGEST,
            })
        }
    }
}

text_serde!(Explanation);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_becomes_an_explanation_that_can_be_read_again() {
        for text in [
            "plain".to_owned(),
            "a\nb\u{202e}c\u{1b}[2J".to_owned(),
            "ü".repeat(700),
        ] {
            let explanation = Explanation::of(&text);
            assert_eq!(explanation.to_string().parse(), Ok(explanation.clone()));
            assert!(explanation.as_str().len() <= Explanation::LONGEST);
        }
    }
}
