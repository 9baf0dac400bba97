//! The counters and gauges, in Prometheus' text form. `METRICS.md` describes them; a test compares.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_core::ClockSource;

use super::observer::Snapshot;
use super::{health, view};
use crate::local::{Level, NodeState};

/// All series of one moment.
pub(super) fn text(snapshot: &Snapshot) -> String {
    let mut page = Page::default();
    node(&mut page, snapshot);
    membership(&mut page, snapshot);
    authority(&mut page, snapshot);
    happened(&mut page, snapshot);
    data_plane(&mut page, snapshot);
    host(&mut page, snapshot);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: impl Into<f64>) {
        self.family(name, "gauge", help, &[(String::new(), value.into())]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help, &[(String::new(), value as f64)]);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, series: &[(String, f64)]) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP tidegate_{name} {help}");
        let _ = writeln!(self.0, "# TYPE tidegate_{name} {kind}");
        for (labels, value) in series {
            let _ = writeln!(self.0, "tidegate_{name}{labels} {value}");
        }
    }
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

fn node(page: &mut Page, snapshot: &Snapshot) {
    let version = format!("{{version=\"{}\"}}", view::VERSION);
    page.family(
        "build_info",
        "gauge",
        "The program's version.",
        &[(version, 1.0)],
    );
    let state = view::state(&snapshot.core.state);
    let states = [
        (NodeState::Waiting, "waiting"),
        (NodeState::Up, "up"),
        (NodeState::Down, "down"),
        (NodeState::Revoked, "revoked"),
        (NodeState::Suspended, "suspended"),
        (NodeState::LeaseEnded, "lease-ended"),
        (NodeState::Expired, "expired"),
        (NodeState::Untrusted, "untrusted"),
    ];
    let series: Vec<_> = states
        .iter()
        .map(|(one, name)| {
            (
                format!("{{state=\"{name}\"}}"),
                f64::from(u8::from(*one == state)),
            )
        })
        .collect();
    page.family(
        "state",
        "gauge",
        "1 for the state that the node is in.",
        &series,
    );
    let series: Vec<_> = health::of(snapshot)
        .checks
        .iter()
        .map(|check| {
            (
                format!("{{check=\"{}\"}}", check.name),
                severity(check.level),
            )
        })
        .collect();
    let help = "0 healthy, 1 unknown, 2 degraded, 3 unhealthy.";
    page.family("health", "gauge", help, &series);
}

fn severity(level: Level) -> f64 {
    match level {
        Level::Healthy => 0.0,
        Level::Unknown => 1.0,
        Level::Degraded => 2.0,
        Level::Unhealthy => 3.0,
    }
}

fn membership(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
    let active = core.epochs.iter().find(|epoch| epoch.active);
    let lease = core.epochs.iter().map(|epoch| epoch.left.as_millis()).max();
    let certificate = core.certificate.as_ref();
    let left = |end: u64| seconds(end.saturating_sub(core.clock.time.as_millis()));
    let number = |value: Option<u64>| value.unwrap_or_default() as f64;
    page.gauge(
        "genesis_revision",
        "Genesis revision in force.",
        core.revision.value() as f64,
    );
    page.gauge(
        "policy_version",
        "Policy in force.",
        number(core.policy.map(|one| one.value())),
    );
    page.gauge(
        "roster_version",
        "Roster in force.",
        number(core.roster.map(|one| one.value())),
    );
    let sequence = core.list.map(|list| list.place.sequence.value());
    page.gauge(
        "revocation_list_sequence",
        "Revocation list in force.",
        number(sequence),
    );
    let entries = core.list.map_or(0, |list| list.entries);
    page.gauge(
        "revocation_list_entries",
        "Identities on that list.",
        entries as f64,
    );
    let confirmed = core.list.is_some_and(|list| list.confirmed);
    page.gauge(
        "revocation_list_confirmed",
        "1 if the authority has our receipt for it.",
        u8::from(confirmed),
    );
    page.gauge(
        "epoch",
        "Epoch that is sent in.",
        number(active.map(|epoch| epoch.epoch.value())),
    );
    page.gauge(
        "epochs",
        "Epochs with a usable key.",
        core.epochs.len() as f64,
    );
    page.gauge(
        "lease_left_seconds",
        "Until data stops without news.",
        seconds(lease.unwrap_or(0)),
    );
    let end = certificate.map_or(0.0, |own| left(own.not_after.as_millis()));
    page.gauge(
        "certificate_left_seconds",
        "Until the certificate ends.",
        end,
    );
    page.gauge(
        "renewals_failed",
        "Renewals that failed since the last that did not.",
        core.renewals_failed,
    );
    page.gauge(
        "peers",
        "Peers that the policy gives us.",
        core.peers.len() as f64,
    );
    page.gauge(
        "route_loops",
        "Networks not routed because they hold their own node's address.",
        core.loops.len() as f64,
    );
    page.gauge(
        "clock_wall_ahead_seconds",
        "How far this host's clock is ahead of the authority's.",
        core.clock.wall_ahead as f64 / 1000.0,
    );
    let age = core.clock.age.map_or(-1.0, |age| seconds(age.as_millis()));
    page.gauge(
        "clock_statement_age_seconds",
        "Age of the authority's last word on time; -1 if there is none.",
        age,
    );
    let known = core.clock.source != ClockSource::None;
    page.gauge(
        "clock_known",
        "1 if the authority's time is known.",
        u8::from(known),
    );
}

fn authority(page: &mut Page, snapshot: &Snapshot) {
    let seen = &snapshot.authority;
    page.gauge(
        "authority_stream",
        "1 while the authority's stream is open.",
        u8::from(seen.stream),
    );
    page.counter(
        "authority_answers_total",
        "Requests that the authority answered.",
        seen.answers,
    );
    page.counter(
        "authority_failures_total",
        "Requests that failed or were refused.",
        seen.failures,
    );
    page.counter(
        "authority_breaks_total",
        "Streams that broke or did not open.",
        seen.breaks,
    );
}

fn happened(page: &mut Page, snapshot: &Snapshot) {
    let counters = &snapshot.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for (name, help, counter) in [
        (
            "documents_refused_total",
            "Documents that were not accepted.",
            &counters.refused,
        ),
        (
            "lists_applied_total",
            "Revocation lists that came into force.",
            &counters.lists,
        ),
        (
            "receipts_signed_total",
            "Receipts that were signed.",
            &counters.receipts,
        ),
        (
            "policies_applied_total",
            "Policies that came into force.",
            &counters.policies,
        ),
        ("peers_joined_total", "Peers that came.", &counters.joined),
        ("peers_left_total", "Peers that went.", &counters.left),
        (
            "peers_put_out_total",
            "Peers that went because they are on the list.",
            &counters.put_out,
        ),
        (
            "grants_total",
            "Keys to epochs that became usable.",
            &counters.grants,
        ),
        (
            "epoch_switches_total",
            "Epochs that sending has passed to.",
            &counters.switches,
        ),
        (
            "certificates_total",
            "Certificates of this node that came into force.",
            &counters.certificates,
        ),
        (
            "state_changes_total",
            "Changes of the node's state.",
            &counters.states,
        ),
        (
            "clock_off_total",
            "Times that this host's clock was found wrong.",
            &counters.clock_off,
        ),
    ] {
        page.counter(name, help, read(counter));
    }
    page.counter(
        "files_unwritten_total",
        "Files that could not be written.",
        snapshot.unwritten,
    );
    page.counter(
        "names_answered_total",
        "Questions for names that were answered.",
        snapshot.questions,
    );
}

fn data_plane(page: &mut Page, snapshot: &Snapshot) {
    let plane = snapshot.plane.as_ref();
    let status = plane.map(|plane| &plane.status);
    let io = plane.map(|plane| plane.io).unwrap_or_default();
    let traffic = |of: fn(&tidegate_wg::Traffic) -> u64| {
        status.map_or(0, |status| {
            status.peers.iter().map(|peer| of(&peer.traffic)).sum()
        })
    };
    page.gauge(
        "data_plane_up",
        "1 while the data plane answers.",
        u8::from(plane.is_some()),
    );
    page.counter(
        "data_plane_starts_total",
        "How often it was started.",
        plane.map_or(0, |plane| plane.starts),
    );
    page.counter(
        "sent_packets_total",
        "Inner packets sealed.",
        traffic(|one| one.sent_packets),
    );
    page.counter(
        "sent_bytes_total",
        "Inner bytes sealed.",
        traffic(|one| one.sent_bytes),
    );
    page.counter(
        "received_packets_total",
        "Inner packets opened.",
        traffic(|one| one.received_packets),
    );
    page.counter(
        "received_bytes_total",
        "Inner bytes opened.",
        traffic(|one| one.received_bytes),
    );
    page.gauge(
        "flows",
        "Flows that the filter remembers.",
        status.map_or(0, |status| status.flows) as f64,
    );
    page.gauge(
        "tunnels",
        "Tunnels that exist.",
        status.map_or(0, |status| status.tunnels) as f64,
    );
    let discards: Vec<_> = status
        .into_iter()
        .flat_map(|status| status.discards.iter())
        .map(|(reason, count)| (format!("{{reason=\"{}\"}}", reason.name()), count as f64))
        .collect();
    page.family(
        "discards_total",
        "counter",
        "Packets dropped, by reason.",
        &discards,
    );
    page.counter(
        "tun_frames_read_total",
        "Frames read from the interface.",
        io.tun.frames_read,
    );
    page.counter(
        "tun_frames_written_total",
        "Frames written to the interface.",
        io.tun.frames_written,
    );
    page.counter(
        "tun_queue_full_total",
        "Frames dropped because the kernel's queue was full.",
        io.tun.queue_full,
    );
    page.counter(
        "tun_stale_total",
        "Frames dropped because the process was stopped meanwhile.",
        io.tun.stale,
    );
}

fn host(page: &mut Page, snapshot: &Snapshot) {
    let view = &snapshot.network;
    page.gauge(
        "host_settled",
        "1 if the host's network is as wanted.",
        u8::from(view.settled),
    );
    page.gauge(
        "host_complaints",
        "Things that could not be done or are left out.",
        view.complaints.len() as f64,
    );
    page.counter(
        "host_repairs_total",
        "Changes by others that were put right.",
        view.repairs,
    );
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::sync::Arc;

    use tidegate_core::{ClockView, State, Status, Waiting};
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
            unwritten: 0,
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
