//! What can go wrong, each by itself, and how bad it is.

use tidegate_core::{ClockSource, State, Stopped, Waiting};
use tidegate_proto::Span;

use super::observer::Snapshot;
use super::resolver::NamesView;
use crate::local::{CheckView, HealthView, Level};

/// A wall clock that is further off than this is reported.
const CLOCK_OFF: u64 = 5_000;

/// A refused document is reported for so long.
const REFUSED_LATELY: Span = Span::from_minutes(10);

/// Every check and the worst of them.
pub(super) fn of(snapshot: &Snapshot) -> HealthView {
    let checks = vec![
        named("membership", membership(snapshot)),
        named("data-plane", data_plane(snapshot)),
        named("host-network", host_network(snapshot)),
        named("authority", authority(snapshot)),
        named("epoch", epoch(snapshot)),
        named("certificate", certificate(snapshot)),
        named("revocation-list", revocation_list(snapshot)),
        named("clock", clock(snapshot)),
        named("documents", documents(snapshot)),
        named("storage", storage(snapshot)),
        named("names", names(snapshot)),
    ];
    let level = checks.iter().map(|check| check.level).max();
    HealthView {
        level: level.unwrap_or(Level::Unknown),
        checks,
    }
}

type Finding = (Level, String);

fn named(name: &str, (level, detail): Finding) -> CheckView {
    CheckView {
        name: name.to_owned(),
        level,
        detail,
    }
}

fn membership(snapshot: &Snapshot) -> Finding {
    let state = &snapshot.core.state;
    let level = match state {
        State::Up => Level::Healthy,
        State::Down => Level::Degraded,
        State::Waiting(_) => Level::Unknown,
        State::Stopped(_) => Level::Unhealthy,
    };
    (level, state.to_string())
}

fn data_plane(snapshot: &Snapshot) -> Finding {
    match (&snapshot.plane, &snapshot.core.state) {
        (Some(plane), _) if plane.starts > 1 => (
            Level::Degraded,
            format!(
                "it answers, and was started {} times; see the log",
                plane.starts
            ),
        ),
        (Some(_), _) => (Level::Healthy, "it answers".to_owned()),
        (None, State::Up) => (
            Level::Unhealthy,
            "it does not run, or does not answer; see the log".to_owned(),
        ),
        (None, state @ State::Waiting(Waiting::Plane(Some(_)))) => {
            (Level::Unhealthy, state.to_string())
        }
        (None, _) => (Level::Unknown, "it is not needed now".to_owned()),
    }
}

fn host_network(snapshot: &Snapshot) -> Finding {
    let view = &snapshot.network;
    match (&view.trouble, view.complaints.first()) {
        (Some(trouble), _) => (Level::Unhealthy, trouble.clone()),
        (None, Some(complaint)) => (Level::Degraded, complaint.clone()),
        (None, None) if view.settled => (Level::Healthy, "everything is in place".to_owned()),
        (None, None) => (Level::Unknown, "nothing was wanted yet".to_owned()),
    }
}

fn authority(snapshot: &Snapshot) -> Finding {
    let seen = &snapshot.authority;
    if seen.stream {
        return (
            Level::Healthy,
            format!("the stream from {} is open", seen.url),
        );
    }
    match &seen.trouble {
        Some(trouble) => (Level::Degraded, trouble.clone()),
        None => (Level::Unknown, "it was not asked yet".to_owned()),
    }
}

fn epoch(snapshot: &Snapshot) -> Finding {
    if snapshot.core.state == State::Down {
        return (
            Level::Unknown,
            "none is used while the network is down".to_owned(),
        );
    }
    let Some(active) = snapshot.core.epochs.iter().find(|epoch| epoch.active) else {
        return (Level::Unhealthy, "there is no epoch to send in".to_owned());
    };
    let over = snapshot.core.clock.time > active.ends;
    let detail = format!(
        "epoch {} may be used for {} more",
        active.epoch, active.left
    );
    if over {
        (
            Level::Degraded,
            format!("{detail}; its successor is overdue, see whether the authority can be reached"),
        )
    } else {
        (Level::Healthy, detail)
    }
}

fn certificate(snapshot: &Snapshot) -> Finding {
    let core = &snapshot.core;
    let Some(own) = &core.certificate else {
        return (Level::Unhealthy, "there is none".to_owned());
    };
    if matches!(core.state, State::Stopped(Stopped::CertificateEnded(_))) {
        return (Level::Unhealthy, core.state.to_string());
    }
    let detail = format!("it counts until {}", own.not_after);
    match (&core.renewal_refused, core.renewals_failed) {
        (_, 0) => (Level::Healthy, detail),
        (Some(refused), _) => (Level::Degraded, format!("{detail}; not renewed: {refused}")),
        (None, failed) => (
            Level::Degraded,
            format!("{detail}; {failed} attempts to renew it have failed"),
        ),
    }
}

fn revocation_list(snapshot: &Snapshot) -> Finding {
    let core = &snapshot.core;
    let Some(list) = &core.list else {
        return (
            Level::Unhealthy,
            "there is none, so nothing is trusted".to_owned(),
        );
    };
    let place = format!("{}.{}", list.place.revision, list.place.sequence);
    if core.clock.time > list.next_update {
        let detail = format!(
            "list {place} is old; its successor was due at {}",
            list.next_update
        );
        return (Level::Degraded, detail);
    }
    if !list.stored {
        return (
            Level::Degraded,
            format!("list {place} is not on the disk yet"),
        );
    }
    (Level::Healthy, format!("list {place} is in force"))
}

fn clock(snapshot: &Snapshot) -> Finding {
    let clock = &snapshot.core.clock;
    let off = clock.wall_ahead.unsigned_abs();
    match clock.source {
        ClockSource::None => (
            Level::Unknown,
            "the authority's time is not known yet".to_owned(),
        ),
        _ if off > CLOCK_OFF => (
            Level::Degraded,
            format!(
                "this host's clock is {} ms off; the authority's time counts, but correct it",
                clock.wall_ahead
            ),
        ),
        ClockSource::RealTimeClock => (
            Level::Degraded,
            "the time is this host's own until the authority is heard".to_owned(),
        ),
        ClockSource::Statement => (Level::Healthy, format!("{off} ms off the authority's")),
    }
}

fn documents(snapshot: &Snapshot) -> Finding {
    let time = snapshot.core.clock.time;
    match snapshot.counters.last_refused() {
        Some(last) if time.since(last.at) < REFUSED_LATELY => (
            Level::Degraded,
            format!(
                "{}; if it goes on, the disk is failing, or what answers is not the authority",
                last.what
            ),
        ),
        _ => (Level::Healthy, "none was refused lately".to_owned()),
    }
}

fn storage(snapshot: &Snapshot) -> Finding {
    match (snapshot.disk_refuses, snapshot.unwritten) {
        (true, failed) => (
            Level::Unhealthy,
            format!("{failed} files could not be written; see whether the disk is full"),
        ),
        (false, 0) => (Level::Healthy, "everything was written".to_owned()),
        (false, failed) => (
            Level::Healthy,
            format!("everything is written by now, after {failed} failures"),
        ),
    }
}

fn names(snapshot: &Snapshot) -> Finding {
    let level = match &snapshot.names {
        NamesView::Off | NamesView::Asked => Level::Healthy,
        NamesView::Waiting(_) | NamesView::Unasked(_) => Level::Degraded,
    };
    let detail = snapshot.names.line();
    (level, detail.unwrap_or_else(|| "not wanted".to_owned()))
}
