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

/// The share of a core that the process takes while nothing happens.
fn idle_share(process: &Process) -> Result<f64, LabError> {
    let (before, began) = (cpu_seconds(process), Instant::now());
    // Long enough for a clock that counts in hundredths.
    wait_until(PATIENCE, "five seconds", || {
        began.elapsed() > Duration::from_secs(5)
    })?;
    Ok((cpu_seconds(process) - before) / began.elapsed().as_secs_f64())
}

fn start(pair: &Pair) -> Result<[OwnWireGuard; 2], LabError> {
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate-static"));
    let start =
        |side| OwnWireGuard::start(program, pair.seen_from(side).0, &[pair.peer_of(side)], &[]);
    let both = [start(Side::A)?, start(Side::B)?];
    pair.await_ping(Side::A, 0)?;
    both[0].ask(&format!("add-idle {PEERS}"))?;
    assert_eq!(both[0].stats()?["peers"].as_u64(), Some(PEERS + 1));
    Ok(both)
}

#[test]
fn ten_thousand_idle_peers_cost_little() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let [own, _other] = start(&pair)?;
    let share = idle_share(own.process())?;
    let memory = memory_megabytes(own.process());
    println!(
        "{PEERS} idle peers: {:.2} % of a core, {memory:.1} MB",
        share * 100.0
    );
    assert!(
        share < 0.05,
        "{share} of a core, five times what is promised"
    );
    assert!(memory < 120.0, "{memory} MB");
    Ok(())
}

#[test]
fn one_of_ten_thousand_comes_and_goes_without_disturbing_others() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let pair = Pair::cabled(&lab)?;
    let [own, _other] = start(&pair)?;
    let ping = pair
        .a
        .host
        .spawn("ping", ["-q", "-i", "0.01", "-w", "4", "10.77.0.2"])?;
    let added = durations(&own, (0..100).map(|number| format!("add-bare {number}")))?;
    let removed = durations(&own, (0..100).map(|number| format!("remove-bare {number}")))?;
    ping.wait(PATIENCE)?;
    let median = |took: &[u64]| took[took.len() / 2];
    println!(
        "adding one takes {} us (p99 {}), removing {} us (p99 {})",
        median(&added),
        added[98],
        median(&removed),
        removed[98]
    );
    // Five times the promise, for machines that do other things meanwhile.
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
