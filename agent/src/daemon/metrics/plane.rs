//! The data plane and the host's network.

use super::page::Page;
use crate::daemon::observer::{PlaneSnapshot, Snapshot};

/// The data plane.
pub(super) fn data_plane(page: &mut Page, snapshot: &Snapshot) {
    let plane = snapshot.plane.as_ref();
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
    traffic(page, plane);
    tunnels(page, plane);
    device(page, plane);
}

fn traffic(page: &mut Page, plane: Option<&PlaneSnapshot>) {
    let status = plane.map(|plane| &plane.status);
    let sum = |of: fn(&tidegate_wg::Traffic) -> u64| {
        status.map_or(0, |status| {
            status.peers.iter().map(|peer| of(&peer.traffic)).sum()
        })
    };
    page.counter(
        "sent_packets_total",
        "Inner packets sealed.",
        sum(|one| one.sent_packets),
    );
    page.counter(
        "sent_bytes_total",
        "Inner bytes sealed.",
        sum(|one| one.sent_bytes),
    );
    page.counter(
        "received_packets_total",
        "Inner packets opened.",
        sum(|one| one.received_packets),
    );
    page.counter(
        "received_bytes_total",
        "Inner bytes opened.",
        sum(|one| one.received_bytes),
    );
}

fn tunnels(page: &mut Page, plane: Option<&PlaneSnapshot>) {
    let status = plane.map(|plane| &plane.status);
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
}

fn device(page: &mut Page, plane: Option<&PlaneSnapshot>) {
    let io = plane.map(|plane| plane.io).unwrap_or_default();
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

/// The host's network.
pub(super) fn host(page: &mut Page, snapshot: &Snapshot) {
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
