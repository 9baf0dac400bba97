//! Nothing leaves for a peer, and nothing of it comes in, once it is removed or its deadline has passed.
//!
//! The near side is captured where the system call that sends hands packets to the device, so order is exact there;
//! the far side shows what another host sees, and its figures are printed.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::path::Path;
use std::time::Duration;

use tidegate_tests::wireguard::{Endpoint, OwnWireGuard, Pair, Side};
use tidegate_tests::{Lab, LabError, Process, Recording, Signal, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
const MILLISECOND: u64 = 1_000_000;
/// What may lie between the look at a deadline and the system call: the bound that the data thread keeps itself.
const HOLD: u64 = 50 * MILLISECOND;
/// Five times the 20 ms within which the far side shall have seen the last packet.
const FAR: u64 = 100 * MILLISECOND;

/// As much UDP as goes, in trains of segments, to one address.
const BLAST: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(17, 103, 1392)
train = bytes(1392 * 40)
while True:
    try: s.sendto(train, (sys.argv[1], 9))
    except OSError: pass
"#;

struct Flood {
    pair: Pair,
    near: OwnWireGuard,
    _far: OwnWireGuard,
    _blasts: [Process; 2],
}

impl Flood {
    /// A is the side that will forget B; both send as fast as they can.
    fn start(lab: &Lab) -> Result<Self, LabError> {
        let pair = Pair::cabled(lab)?;
        let program = Path::new(env!("CARGO_BIN_EXE_tidegate-static"));
        let start = |side| {
            let (end, _) = pair.seen_from(side);
            OwnWireGuard::start(program, end, &[pair.peer_of(side)], &[])
        };
        let (near, far) = (start(Side::A)?, start(Side::B)?);
        pair.await_ping(Side::A, 0)?;
        let blast = |side| {
            let (end, peer) = pair.seen_from(side);
            end.host
                .spawn("python3", ["-c", BLAST, &peer.overlay[0].to_string()])
        };
        let blasts = [blast(Side::A)?, blast(Side::B)?];
        let flood = Self {
            pair,
            near,
            _far: far,
            _blasts: blasts,
        };
        flood.await_speed()?;
        Ok(flood)
    }

    /// Waits until packets flow in both directions.
    fn await_speed(&self) -> Result<(), LabError> {
        let counts = || {
            let io = self.near.ask("io").ok()?;
            let count = |part: &str, what: &str| io[part][what].as_u64();
            Some((
                count("udp", "datagrams_sent")?,
                count("tun", "bytes_written")?,
            ))
        };
        let (sent, written) = counts().unwrap_or_default();
        wait_until(PATIENCE, "traffic in both directions", || {
            counts().is_some_and(|now| now.0 > sent + 10_000 && now.1 > written + 10_000_000)
        })
    }

    fn captures(&self) -> Result<Captures, LabError> {
        let out = "udp and src host 10.0.0.1 and dst host 10.0.0.2";
        let (a, b) = (&self.pair.a.host, &self.pair.b.host);
        let captures = Captures {
            near: Recording::start(a, "eth0", out)?,
            far: Recording::start(b, "eth0", out)?,
            inside: Recording::start(a, Endpoint::DEVICE, "src host 10.77.0.2")?,
        };
        self.await_speed()?;
        Ok(captures)
    }
}

struct Captures {
    near: Recording,
    far: Recording,
    /// What is written to the interface.
    inside: Recording,
}

/// When the last packet was seen, in nanoseconds since 1970.
#[derive(Debug)]
struct Last {
    near: u64,
    far: u64,
    inside: u64,
}

impl Captures {
    fn stop(self) -> Result<Last, LabError> {
        let last = |times: Vec<u64>| times.last().copied().unwrap_or(0);
        let last = Last {
            near: last(self.near.stop()?),
            far: last(self.far.stop()?),
            inside: last(self.inside.stop()?),
        };
        assert!(
            last.near > 0 && last.far > 0 && last.inside > 0,
            "nothing was seen before the cut: {last:?}"
        );
        Ok(last)
    }
}

/// Waits until the interface of `host` has refused or swallowed packets for a while after the cut.
fn await_more_attempts(flood: &Flood) -> Result<(), LabError> {
    let tried = || flood.near.ask("io").ok()?["tun"]["frames_read"].as_u64();
    let before = tried().unwrap_or(0);
    wait_until(PATIENCE, "applications that go on sending", || {
        tried().is_some_and(|now| now > before + 500)
    })
}

fn late(seen: u64, allowed: u64) -> u64 {
    seen.saturating_sub(allowed)
}

/// How far after the moment that counts the far side saw the last packet; negative means before.
fn print_figures(what: &str, mut nanoseconds: Vec<i64>) {
    nanoseconds.sort_unstable();
    let at = |share: f64| {
        nanoseconds[((nanoseconds.len() - 1) as f64 * share).ceil() as usize] as f64 / 1e6
    };
    let count = nanoseconds.len();
    println!(
        "{what}: last packet at the far side p99 {:+.3} ms, max {:+.3} ms, of {count}",
        at(0.99),
        at(1.0)
    );
    assert!(
        at(1.0) <= FAR as f64 / 1e6,
        "{what}: seen {} ms late",
        at(1.0)
    );
}

#[test]
fn nothing_leaves_after_remove_peer_has_returned() -> Result<(), LabError> {
    let lab = Lab::new()?;
    let flood = Flood::start(&lab)?;
    let mut far = Vec::new();
    for _ in 0..10 {
        let captures = flood.captures()?;
        let answer = flood.near.ask("remove-peer 1")?;
        let done = answer["done_unix_ns"].as_u64().unwrap();
        await_more_attempts(&flood)?;
        let last = captures.stop()?;
        assert!(
            last.near <= done,
            "a packet left {} ns after the removal",
            last.near - done
        );
        assert!(
            last.inside <= done,
            "a packet came in {} ns after the removal",
            last.inside - done
        );
        far.push(last.far.cast_signed() - done.cast_signed());
        flood
            .near
            .ask(&format!("add-peer {}", flood.pair.peer_of(Side::A)))?;
    }
    print_figures("removal", far);
    Ok(())
}

/// Wall time of a deadline that is this many milliseconds after an answer was given.
fn deadline_after(answer: &serde_json::Value, millis: u64) -> u64 {
    answer["done_unix_ns"].as_u64().unwrap() + millis * MILLISECOND
}

fn is_past(unix: u64) -> bool {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    now.as_nanos() as u64 > unix
}

fn judge(what: &str, last: &Last, deadline: u64) {
    assert!(
        late(last.near, deadline) <= HOLD,
        "{what}: left {} ns late",
        late(last.near, deadline)
    );
    assert!(
        late(last.inside, deadline) <= HOLD,
        "{what}: came in {} ns late",
        late(last.inside, deadline)
    );
    assert!(
        late(last.far, deadline) <= FAR,
        "{what}: seen {} ns late",
        late(last.far, deadline)
    );
}

#[test]
fn nothing_leaves_after_a_deadline_though_the_control_thread_hangs() -> Result<(), LabError> {
    let mut far = Vec::new();
    for _ in 0..3 {
        let lab = Lab::new()?;
        let flood = Flood::start(&lab)?;
        let captures = flood.captures()?;
        // The order is given after it was stamped, so the true deadline is at most this late.
        let answer = flood.near.ask("end-peer 1 300")?;
        flood.near.ask("freeze")?;
        let deadline = deadline_after(&answer, 300);
        wait_until(PATIENCE, "half a second after the deadline", || {
            is_past(deadline + 500 * MILLISECOND)
        })?;
        let last = captures.stop()?;
        judge("frozen control", &last, deadline);
        far.push(last.far.cast_signed() - deadline.cast_signed());
    }
    print_figures("deadline, control frozen", far);
    Ok(())
}

#[test]
fn nothing_leaves_after_a_deadline_that_passes_while_the_process_is_stopped() -> Result<(), LabError>
{
    let mut far = Vec::new();
    for _ in 0..3 {
        let lab = Lab::new()?;
        let flood = Flood::start(&lab)?;
        let captures = flood.captures()?;
        let answer = flood.near.ask("end-peer 1 400")?;
        let deadline = deadline_after(&answer, 400);
        wait_until(PATIENCE, "most of the time", || {
            is_past(deadline - 200 * MILLISECOND)
        })?;
        flood.near.process().signal(Signal::SIGSTOP)?;
        // Both queues fill up meanwhile.
        wait_until(PATIENCE, "the deadline", || {
            is_past(deadline + 300 * MILLISECOND)
        })?;
        flood.near.process().signal(Signal::SIGCONT)?;
        wait_until(PATIENCE, "the queues to be dropped", || {
            flood
                .near
                .discarded("deadline")
                .is_ok_and(|dropped| dropped > 0)
        })?;
        await_more_attempts(&flood)?;
        let last = captures.stop()?;
        judge("stopped process", &last, deadline);
        far.push(last.far.cast_signed() - deadline.cast_signed());
    }
    print_figures("deadline, process stopped", far);
    Ok(())
}
