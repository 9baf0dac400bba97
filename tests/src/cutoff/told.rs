//! What agents say in their logs.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tidegate_proto::Sequence;

use super::Moment;
use crate::overlay::Node;
use crate::wait_for;

/// Waits until the agent says that this revocation list, or a newer one, is in force, and returns when that was.
pub fn in_force(node: &Node, list: Sequence, within: Duration) -> Result<Moment> {
    let what = format!("list {list} to be in force at {}", node.host().name());
    Ok(wait_for(within, &what, || {
        let log = node.daemon()?.output();
        log.lines().find_map(|line| applied(line, list))
    })?)
}

/// When a list as new as this came into force, if that is what the line says.
fn applied(line: &str, list: Sequence) -> Option<Moment> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let said = entry["message"].as_str()?;
    let place = said.strip_prefix("revocation list ")?.split(' ').next()?;
    let (_, sequence) = place.split_once('.')?;
    let sequence = Sequence::new(sequence.parse().ok()?)?;
    if sequence < list {
        return None;
    }
    Moment::parse(entry["timestamp"].as_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_about_lists_as_new_count() {
        let line = r#"{"timestamp":"1970-01-01T00:00:00.002Z","level":"INFO","message":"revocation list 1.8 is in force; 1 peers went"}"#;
        let at = |sequence| applied(line, Sequence::new(sequence).unwrap());
        assert_eq!(at(8), Some(Moment::from_millis(2)));
        assert_eq!(at(7), Some(Moment::from_millis(2)));
        assert_eq!(at(9), None);
        assert_eq!(applied("no JSON", Sequence::default()), None);
    }
}
