//! Kernels and paths that are not as good as one would wish.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::path::Path;

use serde_json::Value;
use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::wireguard::{OwnWireGuard, Pair, Side};
use tidegate_tests::{Lab, LabError};

fn start(pair: &Pair, side: Side, flags: &[&str]) -> Result<OwnWireGuard, LabError> {
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate-static"));
    OwnWireGuard::start(
        program,
        pair.seen_from(side).0,
        &[pair.peer_of(side)],
        flags,
    )
}

/// TCP in both directions and both families, and pings of every size.
fn carries_everything(pair: &Pair) -> Result<(), LabError> {
    pair.await_ping(Side::A, 0)?;
    for side in [Side::A, Side::B] {
        let (end, peer) = pair.seen_from(side);
        let _server = serve(&peer.host)?;
        for target in peer.overlay {
            let arrived = Load {
                streams: 2,
                seconds: 1,
                ..Load::default()
            }
            .send(&end.host, target)?;
            assert!(arrived.bytes > 1e6, "TCP to {target}: {arrived:?}");
            for size in ["0", "1", "512", "1372", "8000"] {
                end.host.run(
                    "ping",
                    ["-c", "3", "-i", "0.01", "-s", size, &target.to_string()],
                )?;
            }
        }
    }
    Ok(())
}

fn offloads(own: &OwnWireGuard) -> Result<Value, LabError> {
    Ok(own.ask("io")?["offloads"].clone())
}

#[test]
fn works_with_every_offload_and_says_so() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let (a, _b) = (start(&pair, Side::A, &[])?, start(&pair, Side::B, &[])?);
    carries_everything(&pair)?;
    let io = a.ask("io")?;
    assert_eq!(io["offloads"]["tun_tcp"], true, "{io}");
    assert_eq!(io["offloads"]["udp_send"], true, "{io}");
    let count = |part: &str, what: &str| io[part][what].as_f64().unwrap();
    assert!(
        count("udp", "datagrams_sent") / count("udp", "sends") > 5.0,
        "no trains were sent: {io}"
    );
    assert!(
        count("tun", "bytes_written") / count("tun", "frames_written") > 4000.0,
        "nothing was merged: {io}"
    );
    assert_eq!(
        (count("udp", "stale"), count("tun", "refused")),
        (0.0, 0.0),
        "{io}"
    );
    Ok(())
}

#[test]
fn works_without_any_offload_and_says_so() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let (a, _b) = (
        start(&pair, Side::A, &["--no-offload"])?,
        start(&pair, Side::B, &["--no-offload"])?,
    );
    carries_everything(&pair)?;
    let none = serde_json::json!({"tun_tcp": false, "tun_udp": false, "udp_send": false, "udp_receive": false});
    assert_eq!(offloads(&a)?, none);
    Ok(())
}

#[test]
fn one_side_may_lack_what_the_other_has() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?.over_ipv6();
    let (_a, _b) = (
        start(&pair, Side::A, &["--no-offload"])?,
        start(&pair, Side::B, &[])?,
    );
    carries_everything(&pair)
}

#[test]
fn a_path_too_small_for_the_tunnel_still_carries_everything() -> Result<(), LabError> {
    for over_ipv6 in [false, true] {
        let lab = Lab::new()?;
        let mut pair = Pair::cabled(&lab)?;
        if over_ipv6 {
            pair = pair.over_ipv6();
        }
        for host in [&pair.a.host, &pair.b.host] {
            host.run("ip", ["link", "set", "eth0", "mtu", "1300"])?;
        }
        let (a, _b) = (start(&pair, Side::A, &[])?, start(&pair, Side::B, &[])?);
        carries_everything(&pair)?;
        let udp = a.ask("io")?["udp"].clone();
        assert!(udp["path_too_small"].as_u64().unwrap() > 0, "{udp}");
    }
    Ok(())
}

#[test]
fn datagrams_carry_the_mark() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    pair.a.host.sh(
        "nft add table inet t; nft add chain inet t out '{ type filter hook output priority 0; }'
         nft add rule inet t out udp sport 51820 meta mark != 4711 drop",
    )?;
    let (_a, _b) = (
        start(&pair, Side::A, &["--fwmark", "4711"])?,
        start(&pair, Side::B, &[])?,
    );
    pair.await_ping(Side::A, 0)
}
