//! What takes minutes: a rekey, and rotation after rotation under load.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::path::Path;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, SystemTime};

use tidegate_tests::iperf::{Arrived, Load, serve};
use tidegate_tests::wireguard::{Endpoint, OtherWireGuard, OwnWireGuard, Pair, Program, Side};
use tidegate_tests::{Lab, LabError, Process, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
const EPOCHS: u64 = 20;
const EPOCH: u64 = 3000;
const INTERVAL: f64 = 0.1;
/// Five times the 200 ms that a flow may stand still.
const LONGEST_STALL: f64 = 1.0;

/// Tests that measure run alone; the others may run together.
static MACHINE: RwLock<()> = RwLock::new(());

fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE
        .write()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn together() -> RwLockReadGuard<'static, ()> {
    MACHINE
        .read()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn own_program() -> &'static Path {
    env!("CARGO_BIN_EXE_tidegate-static").as_ref()
}

/// Two of ours that rotate together, B later than A by some milliseconds.
fn rotating(pair: &Pair, epochs: u64, skew: u64) -> Result<[OwnWireGuard; 2], LabError> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let origin = (now + Duration::from_secs(4)).as_millis().to_string();
    let start = |side, skew: u64| {
        let (end, _) = pair.seen_from(side);
        let (epochs, skew, length) = (epochs.to_string(), skew.to_string(), EPOCH.to_string());
        let flags = [
            "--epoch-millis",
            &length,
            "--epochs",
            &epochs,
            "--epoch-origin",
            &origin,
            "--skew-millis",
            &skew,
        ];
        OwnWireGuard::start(own_program(), end, &[pair.peer_of(side)], &flags)
    };
    let both = [start(Side::A, 0)?, start(Side::B, skew)?];
    pair.await_ping(Side::A, 0)?;
    Ok(both)
}

/// Every rotation was made by both, and no peer in use was left behind in an old epoch.
fn all_rotated(both: &[OwnWireGuard; 2], epochs: u64) -> Result<(), LabError> {
    for own in both {
        let last = format!("\"rotated\":{epochs}}}");
        wait_until(PATIENCE, "the last rotation", || {
            own.process().output().contains(&last)
        })?;
        let output = own.process().output();
        let clean = output
            .lines()
            .filter(|line| line.contains("\"behind\":0,\"rotated\""))
            .count() as u64;
        assert_eq!(clean, epochs, "{output}");
    }
    Ok(())
}

/// Pings that were sent and that were lost.
fn ping_counts(ping: &Process) -> (u64, u64) {
    let output = ping.output();
    let line = output
        .lines()
        .find(|line| line.contains("packets transmitted"))
        .unwrap();
    let numbers: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[0], numbers[0] - numbers[1])
}

fn longest_stall(arrived: &Arrived) -> f64 {
    let runs = arrived.course.split(|bytes| *bytes > 0.0);
    runs.map(<[f64]>::len).max().unwrap_or(0) as f64 * INTERVAL
}

/// What was felt of load and pings at once.
struct Felt {
    pings: u64,
    lost: u64,
    /// The longest time in which no TCP went through, in seconds.
    stall: f64,
}

/// Load at half of what goes, and pings in both directions.
fn under_load(pair: &Pair, seconds: u32, rate: u64) -> Result<Felt, LabError> {
    let ping = |side| {
        let (end, peer) = pair.seen_from(side);
        let (until, target) = (seconds.to_string(), peer.overlay[0].to_string());
        end.host
            .spawn("ping", ["-q", "-i", "0.01", "-w", &until, &target])
    };
    let _server = serve(&pair.b.host)?;
    let pings = [ping(Side::A)?, ping(Side::B)?];
    let load = Load {
        seconds,
        rate: Some(rate),
        interval: INTERVAL,
        ..Load::default()
    };
    let arrived = load.send(&pair.a.host, pair.b.overlay[0])?;
    assert!(
        arrived.rate > rate as f64 * 0.5,
        "{} of {rate} bit/s arrived",
        arrived.rate
    );
    let mut felt = Felt {
        pings: 0,
        lost: 0,
        stall: longest_stall(&arrived),
    };
    for ping in &pings {
        ping.wait(PATIENCE)?;
        let (sent, lost) = ping_counts(ping);
        assert!(
            sent > u64::from(seconds) * 20,
            "only {sent} pings in {seconds} s"
        );
        felt.pings += sent;
        felt.lost += lost;
    }
    Ok(felt)
}

fn half_of_saturation(pair: &Pair) -> Result<u64, LabError> {
    let _server = serve(&pair.b.host)?;
    let saturation = Load::default().send(&pair.a.host, pair.b.overlay[0])?;
    Ok((saturation.rate / 2.0) as u64)
}

#[test]
fn twenty_rotations_are_not_felt() -> Result<(), LabError> {
    let _guard = alone();
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let still = rotating(&pair, 0, 0)?;
    let rate = half_of_saturation(&pair)?;
    let calm = under_load(&pair, 20, rate)?;
    drop(still);
    for skew in [0, 1000] {
        let both = rotating(&pair, EPOCHS, skew)?;
        let felt = under_load(&pair, 65, rate)?;
        all_rotated(&both, EPOCHS)?;
        println!(
            "{EPOCHS} rotations at {:.2} Gbit/s, skew {skew} ms: {} of {} pings lost, longest stall {:.1} s \
             (without rotation {} of {}, {:.1} s)",
            rate as f64 / 1e9,
            felt.lost,
            felt.pings,
            felt.stall,
            calm.lost,
            calm.pings,
            calm.stall
        );
        assert!(
            felt.lost <= calm.lost + 5,
            "{} pings lost, {} without rotation",
            felt.lost,
            calm.lost
        );
        assert!(
            felt.stall <= LONGEST_STALL,
            "TCP stood still for {} s",
            felt.stall
        );
    }
    Ok(())
}

#[test]
fn no_rotation_fails_when_packets_are_lost() -> Result<(), LabError> {
    let _guard = together();
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    for link in &pair.links {
        // Lost once on each way in and out of two links: about 2 % from end to end.
        link.lose(0.01)?;
    }
    let both = rotating(&pair, EPOCHS, 500)?;
    let _server = serve(&pair.b.host)?;
    let load = Load {
        seconds: 66,
        rate: Some(50_000_000),
        ..Load::default()
    };
    load.send(&pair.a.host, pair.b.overlay[0])?;
    all_rotated(&both, EPOCHS)
}

/// Longer than a session lives before it is renewed (120 s), as initiator and as responder.
#[test]
fn sessions_are_renewed_with_wireguard_go() -> Result<(), LabError> {
    let _guard = together();
    std::thread::scope(|scope| {
        let sides = [Side::A, Side::B].map(|side| scope.spawn(move || renews(side)));
        sides.into_iter().try_for_each(|side| side.join().unwrap())
    })
}

fn renews(initiator: Side) -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::networked(&lab)?;
    let program = Program::WireGuardGo("wireguard-go".into());
    let _go = OtherWireGuard::start(
        &program,
        &pair.b,
        &pair.a,
        Some(&pair.psk),
        initiator == Side::B,
    )?;
    let peer = if initiator == Side::A {
        pair.peer_of(Side::A)
    } else {
        pair.silent_peer_of(Side::A)
    };
    let _own = OwnWireGuard::start(own_program(), &pair.a, &[peer], &[])?;
    pair.await_ping(initiator, 0)?;
    let handshake = || {
        pair.b
            .host
            .run("wg", ["show", Endpoint::DEVICE, "latest-handshakes"])
    };
    let first = handshake()?;
    let (end, target) = pair.seen_from(initiator);
    let ping = end.host.spawn(
        "ping",
        [
            "-q",
            "-i",
            "0.05",
            "-w",
            "130",
            &target.overlay[0].to_string(),
        ],
    )?;
    ping.wait(Duration::from_secs(150))?;
    let (sent, lost) = ping_counts(&ping);
    println!("initiator {initiator:?}: {sent} pings over 130 s and a rekey, {lost} lost");
    assert_ne!(handshake()?, first, "no new handshake in 130 s");
    assert!(lost <= 5, "{lost} of {sent} pings lost across the rekey");
    Ok(())
}
