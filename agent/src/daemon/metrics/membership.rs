//! What the node is, what is in force, and until when.

use tidegate_core::ClockSource;

use super::page::Page;
use crate::daemon::observer::Snapshot;
use crate::daemon::{health, view};
use crate::local::{Level, NodeState};

/// Version, state and checks.
pub(super) fn node(page: &mut Page, snapshot: &Snapshot) {
    let version = format!("{{version=\"{}\"}}", view::VERSION);
    page.family(
        "build_info",
        "gauge",
        "The program's version.",
        &[(version, 1.0)],
    );
    state(page, snapshot);
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

fn state(page: &mut Page, snapshot: &Snapshot) {
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
}

fn severity(level: Level) -> f64 {
    match level {
        Level::Healthy => 0.0,
        Level::Unknown => 1.0,
        Level::Degraded => 2.0,
        Level::Unhealthy => 3.0,
    }
}

/// What is in force, and until when.
pub(super) fn membership(page: &mut Page, snapshot: &Snapshot) {
    documents(page, snapshot);
    list(page, snapshot);
    epochs(page, snapshot);
    certificate(page, snapshot);
    clock(page, snapshot);
}

fn documents(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
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
}

fn list(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
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
}

fn epochs(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
    let active = core.epochs.iter().find(|epoch| epoch.active);
    let lease = core.epochs.iter().map(|epoch| epoch.left.as_millis()).max();
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
}

fn certificate(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
    let certificate = core.certificate.as_ref();
    let left = |end: u64| seconds(end.saturating_sub(core.clock.time.as_millis()));
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
}

fn clock(page: &mut Page, snapshot: &Snapshot) {
    let core = &snapshot.core;
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

fn number(value: Option<u64>) -> f64 {
    value.unwrap_or_default() as f64
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
