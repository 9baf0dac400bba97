//! Points in time and spans between them, in whole milliseconds.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::NotExact;

use crate::bytes::printable;

/// The largest integer that every JSON reader keeps exact; times, sequences and serials stay at or below it.
pub(crate) const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A text that is no time or span.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TimeError {
    /// Not a number with one of the units.
    #[error(
        "'{0}' is no length of time; write a whole number with a unit: 500ms, 30s, 15m, 24h or 30d"
    )]
    Span(String),
}

/// Wall-clock time of the authority: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct UnixTime(u64);

impl UnixTime {
    /// The latest time that a document can name.
    pub const MAX: Self = Self(MAX_INTEGER);

    /// From milliseconds since the epoch of Unix; later than [`Self::MAX`] counts as that.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MAX_INTEGER {
            MAX_INTEGER
        } else {
            millis
        })
    }

    /// Milliseconds since the epoch of Unix.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The span from `earlier` to here, zero if it is not earlier.
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// Implements what serde needs to refuse what a JSON reader may not keep exact.
macro_rules! exact_millis {
    ($($name:ident),*) => {
        $(impl TryFrom<u64> for $name {
            type Error = NotExact;

            fn try_from(millis: u64) -> Result<Self, NotExact> {
                if millis > MAX_INTEGER { Err(NotExact) } else { Ok(Self(millis)) }
            }
        }

        impl From<$name> for u64 {
            fn from(value: $name) -> Self {
                value.0
            }
        })*
    };
}

exact_millis!(UnixTime, Span);

impl Add<Span> for UnixTime {
    type Output = Self;

    fn add(self, span: Span) -> Self {
        Self::from_millis(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for UnixTime {
    type Output = Self;

    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for UnixTime {
    /// RFC 3339 in UTC, with milliseconds only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = civil_date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if millis > 0 {
            write!(f, ".{millis:03}")?;
        }
        f.write_str("Z")
    }
}

/// Year, month and day of a day count since 1970-01-01, by counting in years that begin in March.
fn civil_date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_1970: u64 = 719_468; // from 0000-03-01
    let days = days + DAYS_TO_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A length of time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Span(u64);

impl Span {
    const UNITS: [(&'static str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];

    /// From milliseconds; more than fits an exact JSON integer counts as the longest span.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MAX_INTEGER {
            MAX_INTEGER
        } else {
            millis
        })
    }

    /// From seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// From minutes.
    pub const fn from_minutes(minutes: u64) -> Self {
        Self::from_secs(minutes.saturating_mul(60))
    }

    /// From hours.
    pub const fn from_hours(hours: u64) -> Self {
        Self::from_minutes(hours.saturating_mul(60))
    }

    /// The whole span in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The fraction `self / parts`, rounded down.
    pub const fn divided_by(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }
}

impl Add for Span {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_millis(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Span {
    /// In the largest unit that holds it as a whole number; [`Span::from_str`] reads it back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(_, millis): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(millis);
        let (unit, millis) = Self::UNITS.iter().find(fits).unwrap_or(&("s", 1000));
        write!(f, "{}{unit}", self.0 / millis)
    }
}

impl FromStr for Span {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError::Span(printable(text, 32));
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, scale) = Self::UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(refused)?;
        let millis = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*scale))
            .ok_or_else(refused)?;
        if millis > MAX_INTEGER {
            Err(refused())
        } else {
            Ok(Self(millis))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_rfc_3339() {
        assert_eq!(UnixTime::from_millis(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(
            UnixTime::from_millis(951_782_400_000).to_string(),
            "2000-02-29T00:00:00Z"
        );
        assert_eq!(
            UnixTime::from_millis(1_795_219_199_999).to_string(),
            "2026-11-20T23:59:59.999Z"
        );
        assert_eq!(
            UnixTime::from_millis(4_107_542_400_000).to_string(),
            "2100-03-01T00:00:00Z"
        );
    }

    #[test]
    fn spans_print_in_the_unit_that_people_would_choose() {
        for text in [
            "500ms",
            "30s",
            "15m",
            "24h".replace("24h", "1d").as_str(),
            "36h",
            "0s",
            "1500ms",
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_span_needs_a_whole_number_and_a_unit() {
        for text in [
            "",
            "15",
            "m",
            "-1s",
            "1.5h",
            "1 h",
            "99999999999999999999d",
            "104249991375d",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_saturates_at_both_ends() {
        assert_eq!(UnixTime::MAX + Span::from_secs(1), UnixTime::MAX);
        assert_eq!(
            UnixTime::from_millis(5) - Span::from_secs(1),
            UnixTime::from_millis(0)
        );
        assert_eq!(
            UnixTime::from_millis(5).since(UnixTime::from_millis(9)),
            Span::default()
        );
    }
}
