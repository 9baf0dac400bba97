//! What the program tells, as JSON.

use serde_json::{Map, Value, json};
use tidegate_wg::{Discards, PeerStatus, Status};
use tidegate_wg_io::{IoStatus, Notice};

pub(crate) fn stats(status: &Status, io_status: &IoStatus) -> Value {
    json!({
        "active": status.active.map(|epoch| epoch.0),
        "epochs": status.epochs.iter().map(|(epoch, _)| epoch.0).collect::<Vec<_>>(),
        "flows": status.flows,
        "tunnels": status.tunnels,
        "peers": status.peers.len(),
        "discards": discards(&status.discards),
        "peer": status.peers.iter().take(16).map(peer).collect::<Vec<_>>(),
        "io": io(io_status),
    })
}

pub(crate) fn io(io: &IoStatus) -> Value {
    json!({
        "port": io.port,
        "offloads": {
            "tun_tcp": io.offloads.tun_tcp,
            "tun_udp": io.offloads.tun_udp,
            "udp_send": io.offloads.udp_send,
            "udp_receive": io.offloads.udp_receive,
        },
        "tun": {
            "frames_read": io.tun.frames_read,
            "bytes_read": io.tun.bytes_read,
            "frames_written": io.tun.frames_written,
            "bytes_written": io.tun.bytes_written,
            "down": io.tun.down,
            "queue_full": io.tun.queue_full,
            "refused": io.tun.refused,
            "stale": io.tun.stale,
        },
        "udp": {
            "sends": io.udp.sends,
            "datagrams_sent": io.udp.datagrams_sent,
            "receives": io.udp.receives,
            "bytes_received": io.udp.bytes_received,
            "queue_full": io.udp.queue_full,
            "unsendable": io.udp.unsendable,
            "path_too_small": io.udp.path_too_small,
            "stale": io.udp.stale,
        },
    })
}

pub(crate) fn notice(notice: &Notice) -> Value {
    json!({ "notice": format!("{notice:?}") })
}

fn peer(peer: &PeerStatus) -> Value {
    json!({
        "id": peer.id.0,
        "endpoint": peer.endpoint.map(|endpoint| endpoint.to_string()),
        "epoch": peer.epoch.map(|epoch| epoch.0),
        "handshake": peer.last_handshake.map(|at| at.as_secs_f64()),
        "sent_packets": peer.traffic.sent_packets,
        "sent_bytes": peer.traffic.sent_bytes,
        "received_packets": peer.traffic.received_packets,
        "received_bytes": peer.traffic.received_bytes,
        "discards": discards(&peer.discards),
    })
}

fn discards(discards: &Discards) -> Value {
    let named = discards
        .iter()
        .map(|(reason, count)| (reason.name().to_owned(), json!(count)));
    Value::Object(named.collect::<Map<_, _>>())
}
