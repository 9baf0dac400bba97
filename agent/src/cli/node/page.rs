//! Pages for people.

use tidegate::admin::{length, list, moment, or_dash, table};
use tidegate::local::{NodeState, PeerView, StatusView};
use tidegate_proto::UnixTime;

/// The page that people look at most.
pub(super) fn status(status: &StatusView) -> String {
    let now = time(status);
    let mut page = headline(status);
    for line in [
        epoch_line(status, now),
        authority_line(status),
        clock_line(status),
    ] {
        page.push_str(&line);
    }
    for complaint in &status.host.complaints {
        page.push_str(&format!("host       {complaint}\n"));
    }
    if let Some(refused) = &status.refused {
        let at = moment(UnixTime::from_millis(refused.at_ms), now);
        page.push_str(&format!(
            "refused    {}; {at}, {} since the start\n",
            refused.last, refused.count
        ));
    }
    if let Some(dns) = &status.dns {
        page.push_str(&format!("names      {dns}\n"));
    }
    if status.state == NodeState::Up || !status.peers.is_empty() {
        page.push('\n');
        page.push_str(&peers(status));
    }
    page
}

/// The authority's time, as the daemon knows it.
pub(super) fn time(status: &StatusView) -> UnixTime {
    UnixTime::from_millis(status.clock.time_ms)
}

fn headline(status: &StatusView) -> String {
    let who = match &status.certificate {
        Some(own) => format!(
            "{} in {} ({})",
            own.name,
            status.network,
            list(&own.addresses)
        ),
        None => status.network.clone(),
    };
    match status.state {
        NodeState::Up => format!("up: {who}\n"),
        _ => format!("{}\n{who}\n", status.explanation),
    }
}

fn epoch_line(status: &StatusView, now: UnixTime) -> String {
    let Some(epoch) = status.epochs.iter().find(|epoch| epoch.active) else {
        return "epoch      none\n".to_owned();
    };
    let ends = moment(UnixTime::from_millis(epoch.ends_ms), now);
    let last = status.epochs.iter().map(|epoch| epoch.left_ms).max();
    format!(
        "epoch      {}, next {ends}; lease ends in {}\n",
        epoch.number,
        length(last.unwrap_or(0))
    )
}

fn authority_line(status: &StatusView) -> String {
    let authority = &status.authority;
    match (&authority.trouble, authority.stream) {
        (_, true) => format!("authority  {}, connected\n", authority.url),
        (Some(trouble), false) => format!("authority  {trouble}\n"),
        (None, false) => format!("authority  {}, not connected yet\n", authority.url),
    }
}

fn clock_line(status: &StatusView) -> String {
    match status.clock.source.as_str() {
        "none" => "clock      the authority's time is not known yet\n".to_owned(),
        _ => format!(
            "clock      {:+} ms to the authority's\n",
            status.clock.wall_ahead_ms
        ),
    }
}

/// The table of peers.
pub(super) fn peers(status: &StatusView) -> String {
    table(
        [
            "NAME",
            "ADDRESS",
            "ENDPOINT",
            "HANDSHAKE",
            "LATENCY",
            "SENT",
            "RECEIVED",
            "EPOCH",
        ],
        status.peers.iter().map(row),
        &no_peers(status),
    )
}

fn no_peers(status: &StatusView) -> String {
    match status.state {
        NodeState::Up => {
            "No peers: the policy lets this node talk to nobody, or nobody else has joined."
                .to_owned()
        }
        _ => format!("No peers now: {}", status.explanation),
    }
}

fn row(peer: &PeerView) -> [String; 8] {
    let latency = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
    [
        peer.name.clone(),
        or_dash(peer.addresses.first()),
        or_dash(peer.endpoint),
        or_dash(
            peer.handshake_age_ms
                .map(|age| format!("{} ago", length(age))),
        ),
        or_dash(peer.latency_us.map(latency)),
        bytes(peer.sent_bytes),
        bytes(peer.received_bytes),
        or_dash(peer.epoch),
    ]
}

/// Bytes in the unit that people would choose.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_unit_that_people_would_choose() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
    }
}
