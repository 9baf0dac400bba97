//! Our data plane against wireguard-go, as either side of the handshake.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::time::{Duration, SystemTime};

use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::wireguard::{Endpoint, OtherWireGuard, OwnWireGuard, Pair, Program, Side};
use tidegate_tests::{Lab, LabError, wait_for, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

fn own_program() -> &'static std::path::Path {
    env!("CARGO_BIN_EXE_tidegate-static").as_ref()
}

fn wireguard_go() -> Program {
    Program::WireGuardGo("wireguard-go".into())
}

/// Ours is at A, wireguard-go at B; only the initiator knows where the other one is.
fn connect(pair: &Pair, initiator: Side) -> Result<(OwnWireGuard, OtherWireGuard), LabError> {
    let go = OtherWireGuard::start(
        &wireguard_go(),
        &pair.b,
        &pair.a,
        Some(&pair.psk),
        initiator == Side::B,
    )?;
    let peer = match initiator {
        Side::A => pair.peer_of(Side::A),
        Side::B => pair.silent_peer_of(Side::A),
    };
    let own = OwnWireGuard::start(own_program(), &pair.a, &[peer], &[])?;
    pair.await_ping(initiator, 0)?;
    pair.await_ping(initiator, 1)?;
    Ok((own, go))
}

fn carries_load(pair: &Pair, from: Side) -> Result<(), LabError> {
    let (end, peer) = pair.seen_from(from);
    let _server = serve(&peer.host)?;
    for target in peer.overlay {
        let tcp = Load {
            streams: 2,
            ..Load::default()
        }
        .send(&end.host, target)?;
        assert!(tcp.bytes > 1e7, "TCP to {target} stalled: {tcp:?}");
        let udp = Load {
            datagrams: Some(1200),
            rate: Some(50_000_000),
            seconds: 1,
            ..Load::default()
        };
        let udp = udp.send(&end.host, target)?;
        assert!(
            udp.bytes > 3e6 && udp.lost_percent < 50.0,
            "UDP to {target}: {udp:?}"
        );
    }
    Ok(())
}

#[test]
fn carries_ping_tcp_and_udp_of_both_families_as_initiator() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (_own, _go) = connect(&pair, Side::A)?;
    carries_load(&pair, Side::A)?;
    carries_load(&pair, Side::B)
}

#[test]
fn carries_ping_tcp_and_udp_of_both_families_as_responder() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?.over_ipv6();
    let (_own, _go) = connect(&pair, Side::B)?;
    carries_load(&pair, Side::A)?;
    carries_load(&pair, Side::B)
}

#[test]
fn a_large_file_arrives_as_it_was_sent() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (_own, _go) = connect(&pair, Side::A)?;
    copies_a_file(&pair, Side::A)?;
    copies_a_file(&pair, Side::B)
}

/// 400 MB, different on every run, made and summed while they are sent.
fn copies_a_file(pair: &Pair, from: Side) -> Result<(), LabError> {
    let (end, peer) = pair.seen_from(from);
    let target = peer.overlay[0];
    let receiver = peer
        .host
        .command("python3")
        .args(["-c", RECEIVE, &target.to_string()])
        .spawn()?;
    receiver.wait_for_output(PATIENCE, "listening")?;
    let sender = end
        .host
        .command("python3")
        .args(["-c", SEND, &target.to_string()]);
    let sent = sender.timeout(PATIENCE * 4).run()?;
    receiver.wait(PATIENCE)?;
    let received = receiver.output();
    assert!(
        received.contains(sent.trim()),
        "sent {sent}, received {received}"
    );
    Ok(())
}

const RECEIVE: &str = r#"
import hashlib, socket, sys
server = socket.create_server((sys.argv[1], 4000)); print("listening", flush=True)
connection, _ = server.accept(); digest = hashlib.sha256(); length = 0
while piece := connection.recv(1 << 20): digest.update(piece); length += len(piece)
print(length, digest.hexdigest(), flush=True)
"#;
const SEND: &str = r#"
import hashlib, os, socket, sys
connection = socket.create_connection((sys.argv[1], 4000)); digest = hashlib.sha256(); length = 0
seed = os.urandom(1 << 20)
for number in range(400):
    piece = hashlib.sha256(seed + bytes([number % 256])).digest() + seed[:-32]
    piece = piece[number:] + piece[:number]
    digest.update(piece); connection.sendall(piece); length += len(piece)
connection.close(); print(length, digest.hexdigest())
"#;

#[test]
fn follows_a_peer_that_moves_to_another_port() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (own, _go) = connect(&pair, Side::A)?;
    pair.b
        .host
        .run("wg", ["set", Endpoint::DEVICE, "listen-port", "40404"])?;
    pair.await_ping(Side::B, 0)?;
    wait_until(PATIENCE, "our side to notice the move", || {
        own.stats()
            .is_ok_and(|stats| stats["peer"][0]["endpoint"] == "10.0.0.2:40404")
    })?;
    pair.await_ping(Side::A, 0)
}

#[test]
fn is_followed_when_it_moves_to_another_address() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (own, _go) = connect(&pair, Side::A)?;
    let handshake = || Ok::<_, LabError>(own.stats()?["peer"][0]["handshake"].clone());
    let before = handshake()?;
    pair.a
        .host
        .sh("ip address del 10.0.0.1/24 dev eth0; ip address add 10.0.0.11/24 dev eth0")?;
    pair.await_ping(Side::A, 0)?;
    pair.await_ping(Side::B, 0)?;
    let endpoints = pair
        .b
        .host
        .run("wg", ["show", Endpoint::DEVICE, "endpoints"])?;
    assert!(endpoints.contains("10.0.0.11:51820"), "{endpoints}");
    assert_eq!(handshake()?, before, "the move took a new handshake");
    Ok(())
}

#[test]
fn either_side_can_restart() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (own, go) = connect(&pair, Side::A)?;
    drop(go);
    let _go = OtherWireGuard::start(&wireguard_go(), &pair.b, &pair.a, Some(&pair.psk), true)?;
    pair.await_ping(Side::B, 0)?;
    pair.await_ping(Side::A, 0)?;
    drop(own);
    let _own = OwnWireGuard::start(own_program(), &pair.a, &[pair.peer_of(Side::A)], &[])?;
    pair.await_ping(Side::A, 0)?;
    pair.await_ping(Side::B, 1)
}

#[test]
fn a_wrong_pre_shared_key_connects_nobody() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let mut pair = Pair::networked(&lab)?;
    let (own, _go) = connect(&pair, Side::A)?;
    drop(own);
    pair.psk = pair.b.keys.public.clone();
    let own = OwnWireGuard::start(own_program(), &pair.a, &[pair.peer_of(Side::A)], &[])?;
    let target = pair.b.overlay[0].to_string();
    let ping = pair
        .a
        .host
        .run("ping", ["-c", "5", "-i", "0.5", "-W", "1", &target]);
    assert!(
        ping.is_err(),
        "a ping went through with a wrong key: {ping:?}"
    );
    let stats = own.stats()?;
    assert_eq!(stats["peer"][0]["received_packets"], 0, "{stats}");
    Ok(())
}

#[test]
fn wg_show_sees_the_interface_and_no_secret() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (_own, _go) = connect(&pair, Side::A)?;
    let show = |what: &str| pair.a.host.run("wg", ["show", Endpoint::DEVICE, what]);
    assert_eq!(show("listen-port")?.trim(), "51820");
    assert_eq!(show("peers")?.trim(), pair.b.keys.public);
    assert!(show("endpoints")?.contains("10.0.0.2:51820"));
    assert!(show("allowed-ips")?.contains("10.77.0.2/32"));
    assert!(show("preshared-keys")?.contains("(none)"));
    assert_eq!(show("private-key")?.trim(), "(none)");
    let transfer = show("transfer")?;
    let counts: Vec<u64> = transfer
        .split_whitespace()
        .skip(1)
        .filter_map(|n| n.parse().ok())
        .collect();
    assert!(
        counts.len() == 2 && counts.iter().all(|count| *count > 0),
        "{transfer}"
    );
    Ok(())
}

#[test]
fn wg_show_tells_when_the_last_handshake_was() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (_own, _go) = connect(&pair, Side::A)?;
    let show = |what: &str| pair.a.host.run("wg", ["show", Endpoint::DEVICE, what]);
    let handshake = wait_for(PATIENCE, "a handshake", || {
        show("latest-handshakes")
            .ok()?
            .split_whitespace()
            .nth(1)?
            .parse::<u64>()
            .ok()
    })?;
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(
        now.abs_diff(handshake) < 60,
        "handshake at {handshake}, now {now}"
    );
    Ok(())
}

#[test]
fn wg_cannot_change_anything() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (_own, _go) = connect(&pair, Side::A)?;
    let set = pair.a.host.run(
        "wg",
        [
            "set",
            Endpoint::DEVICE,
            "peer",
            &pair.b.keys.public,
            "remove",
        ],
    );
    assert!(set.is_err(), "the status socket took an order");
    pair.await_ping(Side::A, 0)
}
