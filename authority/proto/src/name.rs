//! Names that people give, each with its length and alphabet.

use std::fmt;
use std::str::FromStr;

use crate::bytes::text_serde;

/// Why a text is no name of its kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// Not of the length or alphabet.
    #[error(
        "{what} has 1 to {longest} of the characters {alphabet}, and begins and ends with a letter or digit"
    )]
    Form {
        /// What is being named.
        what: &'static str,
        /// The greatest length.
        longest: usize,
        /// The characters it may have.
        alphabet: &'static str,
    },
    /// A reason with control characters, with invisible ones, or too long.
    #[error("a reason has at most {longest} bytes of one line of visible text")]
    Reason {
        /// The greatest length in bytes.
        longest: usize,
    },
}

/// Implements a name over `a-z 0-9` and the given extra characters, which may only stand inside.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:literal, $inside:literal, $alphabet:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Box<str>);

        impl $name {
            /// The greatest length in bytes.
            pub const LONGEST: usize = $longest;

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text, $longest, $inside) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError::Form { what: $what, longest: $longest, alphabet: $alphabet })
                }
            }
        }

        text_serde!($name);
    };
}

fn is_name(text: &str, longest: usize, inside: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges = text.starts_with(plain) && text.ends_with(plain);
    edges && text.len() <= longest && text.chars().all(|c| plain(c) || inside.contains(c))
}

name! {
    /// A network's name; with `.internal` the domain of its nodes.
    NetworkName, "a network name", 32, "-", "a-z 0-9 -"
}
name! {
    /// A node's name, unique in its network and a DNS label.
    NodeName, "a node name", 63, "-", "a-z 0-9 -"
}
name! {
    /// What a node is for, as the authority certified it.
    Role, "a role", 32, "-", "a-z 0-9 -"
}
name! {
    /// A mark that the authority certified.
    Tag, "a tag", 32, "-", "a-z 0-9 -"
}
name! {
    /// A set of nodes that a policy names.
    GroupName, "a group name", 32, "-", "a-z 0-9 -"
}
name! {
    /// An operator's name: a person, a mail address or an automation.
    OperatorName, "an operator name", 64, "-._@", "a-z 0-9 - . _ @"
}
name! {
    /// A short name that no other kind fits: of a service, a capability, a score, an alert.
    Label, "a label", 32, "-._", "a-z 0-9 - . _"
}

/// Why something was decided: one line of text, safe to print on a terminal.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reason(Box<str>);

impl Reason {
    /// The greatest length in bytes.
    pub const LONGEST: usize = 200;

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What of `text` a reason can hold: its visible characters, as many as there is room for.
    pub fn shortened(text: &str) -> Self {
        let mut short = String::new();
        for c in text.chars().filter(|&c| !is_unprintable(c)) {
            if short.len() + c.len_utf8() > Self::LONGEST {
                break;
            }
            short.push(c);
        }
        Self(short.into())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Reason {
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

text_serde!(Reason);

/// Control characters and the invisible ones that reorder or hide text around them.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_is_a_dns_label() {
        for good in ["a", "web-1", &"x".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_operator_may_be_a_mail_address() {
        assert!("jane.doe@example.org".parse::<OperatorName>().is_ok());
        assert!("jane doe".parse::<OperatorName>().is_err());
    }

    #[test]
    fn a_reason_cannot_play_tricks_with_a_terminal() {
        assert!(
            "laptop stolen, see ticket 4711 – ask Zoë"
                .parse::<Reason>()
                .is_ok()
        );
        for bad in [
            "a\u{1b}[2J",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}b",
            &"x".repeat(201),
        ] {
            assert!(bad.parse::<Reason>().is_err(), "{bad:?}");
            let short = Reason::shortened(bad);
            assert_eq!(short.as_str().parse(), Ok(short), "{bad:?}");
        }
    }
}
