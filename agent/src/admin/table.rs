//! Tables as people like to read them: no lines, aligned columns, a header in capitals.

use comfy_table::{ContentArrangement, Table, presets};
use tidegate_proto::UnixTime;

/// A table under `header`, or what is said in place of an empty one.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    empty: &str,
) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    if table.is_empty() {
        return format!("{empty}\n");
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

/// Facts about one thing, one a line.
pub fn facts(facts: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let facts: Vec<_> = facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = facts
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    facts
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// A moment, relative to `now`: people think so.
pub fn moment(at: UnixTime, now: UnixTime) -> String {
    if at > now {
        format!("in {}", length(at.since(now).as_millis()))
    } else {
        format!("{} ago", length(now.since(at).as_millis()))
    }
}

/// A length of time in its two largest units.
pub fn length(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{}.{}s", seconds, millis / 100 % 10),
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m{rest:02}s"),
        (0, _, _) => format!("{hours}h{minutes:02}m"),
        _ => format!("{days}d{hours:02}h"),
    }
}

/// Things with commas between, or a dash if there are none.
pub fn list(things: impl IntoIterator<Item = impl ToString>) -> String {
    let things: Vec<_> = things.into_iter().map(|thing| thing.to_string()).collect();
    if things.is_empty() {
        "-".to_owned()
    } else {
        things.join(",")
    }
}

/// A thing, or a dash.
pub fn or_dash(thing: Option<impl ToString>) -> String {
    thing.map_or_else(|| "-".to_owned(), |thing| thing.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_lines() {
        let rows = [
            ["a".into(), "long value".into()],
            ["longer".into(), "b".into()],
        ];
        let text = table(["name", "value"], rows, "none");
        assert_eq!(text, "NAME    VALUE\na       long value\nlonger  b\n");
        assert_eq!(table(["name"], [], "There is none."), "There is none.\n");
    }

    #[test]
    fn a_length_has_two_units() {
        for (millis, text) in [
            (0, "0.0s"),
            (1_540, "1.5s"),
            (59_000, "59s"),
            (61_000, "1m01s"),
            (3_660_000, "1h01m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(length(millis), text);
        }
    }

    #[test]
    fn a_moment_is_before_or_after_now() {
        let now = UnixTime::from_millis(1_000_000);
        assert_eq!(moment(UnixTime::from_millis(940_000), now), "1m00s ago");
        assert_eq!(moment(UnixTime::from_millis(1_060_000), now), "in 1m00s");
    }
}
