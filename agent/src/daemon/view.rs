//! How everything stands, in the words of the local API.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_core::{ClockSource, Status, Stopped};
use tidegate_proto::RevocationKind;
use tidegate_wg::Prefix;

use super::observer::{PlaneSnapshot, Snapshot};
use crate::local::{
    AuthorityView, CertificateView, ClockView, EpochView, ListView, NetworkView, NodeState,
    PeerView, PlaneView, RefusedView, RouteView, StatusView,
};

/// The program's version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The page that everything is made of.
pub(super) fn status(snapshot: &Snapshot) -> StatusView {
    let core = &snapshot.core;
    StatusView {
        version: VERSION.to_owned(),
        state: state(&core.state),
        explanation: core.state.to_string(),
        network: core.network.clone(),
        revision: core.revision.value(),
        node: core.node.to_string(),
        certificate: own_certificate(core),
        epochs: core.epochs.iter().map(epoch).collect(),
        authority: authority(snapshot),
        clock: clock(&core.clock),
        list: core.list.as_ref().map(list),
        policy: core.policy.map(|version| version.value()),
        roster: core.roster.map(|version| version.value()),
        plane: snapshot.plane.as_ref().map(|seen| plane(seen, snapshot)),
        host: host(snapshot),
        peers: core.peers.iter().map(|one| peer(one, snapshot)).collect(),
        dns: snapshot.names.line(),
        refused: refused(snapshot),
    }
}

fn refused(snapshot: &Snapshot) -> Option<RefusedView> {
    let last = snapshot.counters.last_refused()?;
    Some(RefusedView {
        count: snapshot.counters.refused.load(Ordering::Relaxed),
        last: last.what,
        at_ms: last.at.as_millis(),
    })
}

/// What the node is doing, in one word.
pub(super) fn state(state: &tidegate_core::State) -> NodeState {
    use tidegate_core::State;
    match state {
        State::Down => NodeState::Down,
        State::Waiting(_) => NodeState::Waiting,
        State::Up => NodeState::Up,
        State::Stopped(Stopped::Out { kind, .. }) => match kind {
            RevocationKind::Revoked => NodeState::Revoked,
            RevocationKind::Suspended => NodeState::Suspended,
        },
        State::Stopped(Stopped::LeaseEnded(_)) => NodeState::LeaseEnded,
        State::Stopped(Stopped::CertificateEnded(_) | Stopped::NoCertificate) => NodeState::Expired,
        State::Stopped(Stopped::Untrusted | Stopped::Siblings(_)) => NodeState::Untrusted,
    }
}

/// Whole microseconds.
pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The prefixes that lead to a peer.
pub(super) fn allowed(peer: &tidegate_core::PeerView) -> Vec<Prefix> {
    let own = peer.certificate.addresses.map(Prefix::host);
    let behind = peer
        .routes
        .iter()
        .filter_map(|route| Prefix::new(route.address(), route.length()));
    own.into_iter().chain(behind).collect()
}

fn own_certificate(core: &Status) -> Option<CertificateView> {
    let own = core.certificate.as_ref()?;
    Some(CertificateView {
        name: own.name.to_string(),
        addresses: own.addresses.to_vec(),
        serial: own.serial.value(),
        roles: texts(&own.roles),
        tags: texts(&own.tags),
        routes: texts(&own.routes),
        not_before_ms: own.not_before.as_millis(),
        not_after_ms: own.not_after.as_millis(),
        renew_at_ms: own.renew_at.as_millis(),
        renewals_failed: core.renewals_failed,
        renewal_refused: core.renewal_refused.clone(),
    })
}

fn epoch(epoch: &tidegate_core::EpochView) -> EpochView {
    EpochView {
        number: epoch.epoch.value(),
        redraw: epoch.redraw,
        starts_ms: epoch.starts.as_millis(),
        ends_ms: epoch.ends.as_millis(),
        lease_until_ms: epoch.lease_until.as_millis(),
        left_ms: epoch.left.as_millis(),
        active: epoch.active,
        held: epoch.held,
    }
}

fn authority(snapshot: &Snapshot) -> AuthorityView {
    let seen = &snapshot.authority;
    AuthorityView {
        url: seen.url.clone(),
        reachable: seen.stream || (seen.trouble.is_none() && seen.heard.is_some()),
        stream: seen.stream,
        heard_ms: seen.heard,
        trouble: seen.trouble.clone(),
    }
}

fn clock(clock: &tidegate_core::ClockView) -> ClockView {
    ClockView {
        source: match clock.source {
            ClockSource::None => "none",
            ClockSource::RealTimeClock => "real-time-clock",
            ClockSource::Statement => "statement",
        }
        .to_owned(),
        time_ms: clock.time.as_millis(),
        wall_ahead_ms: clock.wall_ahead,
        age_ms: clock.age.map(|age| age.as_millis()),
    }
}

fn list(list: &tidegate_core::ListView) -> ListView {
    ListView {
        revision: list.place.revision.value(),
        sequence: list.place.sequence.value(),
        entries: list.entries,
        issued_ms: list.issued_at.as_millis(),
        next_update_ms: list.next_update.as_millis(),
        stored: list.stored,
        confirmed: list.confirmed,
    }
}

fn plane(seen: &PlaneSnapshot, snapshot: &Snapshot) -> PlaneView {
    let peers = &seen.status.peers;
    let offloads = seen.io.offloads;
    let named = [
        ("tun-tcp", offloads.tun_tcp),
        ("tun-udp", offloads.tun_udp),
        ("udp-send", offloads.udp_send),
        ("udp-receive", offloads.udp_receive),
    ];
    let discards = seen.status.discards.iter().filter(|(_, count)| *count > 0);
    PlaneView {
        interface: snapshot.config.interface.to_string(),
        port: seen.io.port,
        epoch: seen.status.active.map(|epoch| epoch.0),
        sent_bytes: peers.iter().map(|peer| peer.traffic.sent_bytes).sum(),
        received_bytes: peers.iter().map(|peer| peer.traffic.received_bytes).sum(),
        flows: seen.status.flows,
        tunnels: seen.status.tunnels,
        discards: discards
            .map(|(reason, count)| (reason.name().to_owned(), count))
            .collect(),
        offloads: named
            .iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        starts: seen.starts,
    }
}

fn host(snapshot: &Snapshot) -> NetworkView {
    let view = &snapshot.network;
    let core = &snapshot.core;
    let name_of = |node| {
        let found = core.peers.iter().find(|peer| peer.node == node);
        found.map(|peer| peer.certificate.name.to_string())
    };
    let taken = core.peers.iter().flat_map(|peer| {
        peer.routes.iter().map(|route| RouteView {
            prefix: route.to_string(),
            via: Some(peer.certificate.name.to_string()),
            refused: None,
        })
    });
    let loops = core.loops.iter().map(|(prefix, node)| RouteView {
        prefix: prefix.to_string(),
        via: name_of(*node),
        refused: Some("it holds the way to the node that leads there".to_owned()),
    });
    NetworkView {
        settled: view.settled,
        complaints: view
            .complaints
            .iter()
            .chain(&view.trouble)
            .cloned()
            .collect(),
        repairs: view.repairs,
        routes: taken.chain(loops).collect(),
    }
}

fn peer(peer: &tidegate_core::PeerView, snapshot: &Snapshot) -> PeerView {
    let seen = snapshot
        .plane
        .as_ref()
        .and_then(|plane| plane.status.peers.iter().find(|one| one.id == peer.id));
    let now = tidegate_wg_io::now().unix;
    let age = |at: Duration| u64::try_from(now.saturating_sub(at).as_millis()).unwrap_or(u64::MAX);
    let certificate = &peer.certificate;
    PeerView {
        name: certificate.name.to_string(),
        node: peer.node.to_string(),
        key: peer.key.to_string(),
        addresses: certificate.addresses.to_vec(),
        routes: texts(&peer.routes),
        tags: texts(&certificate.tags),
        endpoint: seen.and_then(|seen| seen.endpoint),
        candidates: peer.candidates.clone(),
        handshake_age_ms: seen.and_then(|seen| seen.last_handshake).map(age),
        latency_us: snapshot.latencies.get(&peer.id).copied().map(micros),
        sent_bytes: seen.map_or(0, |seen| seen.traffic.sent_bytes),
        received_bytes: seen.map_or(0, |seen| seen.traffic.received_bytes),
        epoch: seen.and_then(|seen| seen.epoch).map(|epoch| epoch.0),
        not_after_ms: certificate.not_after.as_millis(),
    }
}

fn texts<'a, T: ToString + 'a>(values: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    values.into_iter().map(ToString::to_string).collect()
}
