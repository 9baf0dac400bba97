//! What happened, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::page::Page;
use crate::daemon::counters::Counters;
use crate::daemon::observer::Snapshot;

/// Name, help, and where it is counted.
type Counted = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

const EVENTS: &[Counted] = &[
    (
        "documents_refused_total",
        "Documents that were not accepted.",
        |of| &of.refused,
    ),
    (
        "lists_applied_total",
        "Revocation lists that came into force.",
        |of| &of.lists,
    ),
    (
        "receipts_signed_total",
        "Receipts that were signed.",
        |of| &of.receipts,
    ),
    (
        "policies_applied_total",
        "Policies that came into force.",
        |of| &of.policies,
    ),
    ("peers_joined_total", "Peers that came.", |of| &of.joined),
    ("peers_left_total", "Peers that went.", |of| &of.left),
    (
        "peers_put_out_total",
        "Peers that went because they are on the list.",
        |of| &of.put_out,
    ),
    ("grants_total", "Keys to epochs that became usable.", |of| {
        &of.grants
    }),
    (
        "epoch_switches_total",
        "Epochs that sending has passed to.",
        |of| &of.switches,
    ),
    (
        "certificates_total",
        "Certificates of this node that came into force.",
        |of| &of.certificates,
    ),
    (
        "state_changes_total",
        "Changes of the node's state.",
        |of| &of.states,
    ),
    (
        "clock_off_total",
        "Times that this host's clock was found wrong.",
        |of| &of.clock_off,
    ),
];

/// What has happened since the daemon began.
pub(super) fn happened(page: &mut Page, snapshot: &Snapshot) {
    for (name, help, counter) in EVENTS {
        let count = counter(&snapshot.counters).load(Ordering::Relaxed);
        page.counter(name, help, count);
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

/// How the authority was seen.
pub(super) fn authority(page: &mut Page, snapshot: &Snapshot) {
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
    page.counter(
        "authority_unknown_events_total",
        "Events of a kind that only a later version knows.",
        snapshot.unknown_events,
    );
}
