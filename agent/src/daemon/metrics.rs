//! The counters and gauges, in Prometheus' text form. `METRICS.md` describes them; a test compares.

mod happened;
mod membership;
mod page;
mod plane;

use super::observer::Snapshot;
use page::Page;

/// All series of one moment.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    membership::node(&mut page, snapshot);
    membership::membership(&mut page, snapshot);
    happened::authority(&mut page, snapshot);
    happened::happened(&mut page, snapshot);
    plane::data_plane(&mut page, snapshot);
    plane::host(&mut page, snapshot);
    page.0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::sync::Arc;

    use tidegate_core::{ClockSource, ClockView, State, Status, Waiting};
    use tidegate_proto::{NodeId, Revision, SigningKey, UnixTime};

    use super::super::network::NetworkView;
    use super::super::resolver::NamesView;
    use super::*;

    const DOCUMENTED: &str = include_str!("../../METRICS.md");

    fn snapshot() -> Snapshot {
        let key = SigningKey::from_seed(&[7; 32]);
        Snapshot {
            core: Status {
                state: State::Waiting(Waiting::Time),
                network: "demo".to_owned(),
                revision: Revision::default(),
                node: NodeId::of(&key.public_key()),
                certificate: None,
                epochs: Vec::new(),
                clock: ClockView {
                    source: ClockSource::None,
                    time: UnixTime::default(),
                    wall_ahead: 0,
                    age: None,
                },
                list: None,
                policy: None,
                roster: None,
                stream: false,
                peers: Vec::new(),
                loops: Vec::new(),
                renewals_failed: 0,
                renewal_refused: None,
            },
            config: Arc::default(),
            plane: None,
            network: NetworkView::default(),
            authority: Default::default(),
            names: NamesView::Off,
            questions: 0,
            unknown_events: 0,
            unwritten: 0,
            disk_refuses: false,
            counters: Arc::default(),
            latencies: HashMap::new(),
        }
    }

    /// Name and kind of every family.
    fn families(text: &str) -> BTreeMap<String, String> {
        text.lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect()
    }

    #[test]
    fn every_series_is_documented_and_every_documented_one_is_there() {
        let documented: BTreeMap<String, String> = DOCUMENTED
            .lines()
            .filter_map(|line| line.strip_prefix("| `"))
            .filter_map(|line| line.split_once("` | "))
            .map(|(name, rest)| {
                let kind = rest.split(' ').next().unwrap();
                (name.to_owned(), kind.to_owned())
            })
            .collect();
        let served = families(&text(&snapshot()));
        assert_eq!(served, documented);
        assert!(served.len() >= 30, "{}", served.len());
    }

    #[test]
    fn a_node_that_waits_is_in_exactly_one_state_and_has_eleven_checks() {
        let text = text(&snapshot());
        let states = text
            .lines()
            .filter(|line| line.starts_with("tidegate_state{"));
        let set: Vec<_> = states.filter(|line| line.ends_with(" 1")).collect();
        assert_eq!(set, ["tidegate_state{state=\"waiting\"} 1"]);
        let checks = text
            .lines()
            .filter(|line| line.starts_with("tidegate_health{"));
        assert_eq!(checks.count(), 11);
    }
}
