//! Ten thousand peers that nobody speaks with cost next to nothing.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_tests::wireguard::{OwnWireGuard, Pair, Side};
use tidegate_tests::{Lab, LabError, Process, wait_until};

const PEERS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);
const TICKS: f64 = 100.0;

fn memory_megabytes(process: &Process) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<f64>()
        .unwrap()
        / 1024.0
}

fn cpu_seconds(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|n| n.parse().unwrap())
        .collect();
    fields.iter().sum::<f64>() / TICKS
}

/// Microseconds that each of these commands took, in order of length.
fn durations(
    own: &OwnWireGuard,
    commands: impl Iterator<Item = String>,
) -> Result<Vec<u64>, LabError> {
    let mut took = Vec::new();
    for command in commands {
        took.push(own.ask(&command)?["took_us"].as_u64().unwrap());
    }
    took.sort_unstable();
    Ok(took)
}

#[test]
fn ten_thousand_idle_peers_cost_little_and_come_and_go_quickly() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate-static"));
    let start =
        |side| OwnWireGuard::start(program, pair.seen_from(side).0, &[pair.peer_of(side)], &[]);
    let (own, _other) = (start(Side::A)?, start(Side::B)?);
    pair.await_ping(Side::A, 0)?;
    own.ask(&format!("add-idle {PEERS}"))?;
    assert_eq!(own.stats()?["peers"].as_u64(), Some(PEERS + 1));

    // Idle: five seconds of a clock that counts in hundredths.
    let (cpu, began) = (cpu_seconds(own.process()), Instant::now());
    wait_until(PATIENCE, "five seconds", || {
        began.elapsed() > Duration::from_secs(5)
    })?;
    let share = (cpu_seconds(own.process()) - cpu) / began.elapsed().as_secs_f64();
    let memory = memory_megabytes(own.process());

    // Peers come and go while others are spoken with.
    let ping = pair
        .a
        .host
        .spawn("ping", ["-q", "-i", "0.01", "-w", "4", "10.77.0.2"])?;
    let keys = (0..100).map(|number| format!("add-bare {number}"));
    let added = durations(&own, keys)?;
    let removed = durations(&own, (0..100).map(|number| format!("remove-bare {number}")))?;
    ping.wait(PATIENCE)?;
    let median = |took: &[u64]| took[took.len() / 2];
    println!(
        "{PEERS} idle peers: {:.2} % of a core, {memory:.1} MB; adding one takes {} us (p99 {}), removing {} us (p99 {})",
        share * 100.0,
        median(&added),
        added[98],
        median(&removed),
        removed[98]
    );
    println!(
        "{}",
        ping.output()
            .lines()
            .filter(|l| l.contains("rtt") || l.contains("loss"))
            .collect::<Vec<_>>()
            .join("; ")
    );
    // Five times the promise, for machines that do other things meanwhile.
    assert!(share < 0.05, "{share}");
    assert!(memory < 120.0, "{memory} MB");
    assert!(
        median(&added) < 5_000 && median(&removed) < 5_000,
        "{added:?} {removed:?}"
    );
    assert!(
        ping.output().contains(" 0% packet loss"),
        "{}",
        ping.output()
    );
    Ok(())
}
