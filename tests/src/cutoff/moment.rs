//! Points in time that come from many places.

use std::fmt;
use std::time::SystemTime;

/// A point in time, in microseconds since 1970 by this machine's clock.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(i64);

const SECOND: i64 = 1_000_000;

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self(since.map_or(0, |since| {
            i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
        }))
    }

    /// From nanoseconds since 1970, as a [`Recording`](crate::Recording) has them.
    pub fn from_nanos(nanos: u64) -> Self {
        Self((nanos / 1000).cast_signed())
    }

    /// From milliseconds since 1970, as documents have them.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis.cast_signed().saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads the form that logs have: `2026-11-21T12:30:02.123456Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = numbers(date, '-')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
        let [hours, minutes, seconds] = numbers(time, ':')?;
        let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
        let days = days_to(year, month, day);
        let seconds = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
        Some(Self(seconds * SECOND + micros))
    }

    /// How many milliseconds later than `earlier` this is; negative if it is not.
    pub fn millis_after(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1000.0
    }
}

/// The time of day, in UTC.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.as_millis();
        let (seconds, rest) = (millis / 1000, millis % 1000);
        let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{rest:03}", seconds % 60)
    }
}

fn numbers(text: &str, separator: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text
        .split(separator)
        .map(|part| part.parse().ok())
        .collect();
    numbers?.try_into().ok()
}

/// Days from 1970-01-01, counting in years that begin in March.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leaps + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_logs_write_is_read() {
        let at = |text| Moment::parse(text).map(|moment| moment.0);
        assert_eq!(at("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(at("1970-01-02T00:00:01.5Z"), Some(86_401_500_000));
        // What `date -ud 2024-02-29T12:34:56.789012 +%s%6N` says.
        assert_eq!(
            at("2024-02-29T12:34:56.789012Z"),
            Some(1_709_210_096_789_012)
        );
        assert_eq!(at("2026-11-21T12:30:02"), None);
        assert_eq!(at("yesterday"), None);
    }

    #[test]
    fn all_units_mean_the_same() {
        let moment = Moment::from_millis(1_709_210_096_789);
        assert_eq!(moment, Moment::from_nanos(1_709_210_096_789_000_999));
        assert_eq!(moment.as_millis(), 1_709_210_096_789);
        assert_eq!(moment.to_string(), "12:34:56.789");
        assert_eq!(Moment(1500).millis_after(Moment(2000)), -0.5);
    }
}
