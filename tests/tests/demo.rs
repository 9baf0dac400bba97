//! The demo: what it measures is true, and nothing of it stays, however it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_tests::{Host, Lab, Signal, binary, wait_for, wait_until};

/// Five times what is promised of a cut-off.
const CUT_OFF: f64 = 1500.0;
/// Five times the second by which a lease may be left unused.
const NOT_EARLIER: f64 = -5000.0;
/// What a person would wait for.
const WHOLE: Duration = Duration::from_secs(90);
/// How long cleaning up may take.
const SOON: Duration = Duration::from_secs(20);
/// Its descendants carry this in their environments.
const MARK: &str = "TIDEGATE_DEMO_TEST";

/// A demo that runs, in a folder of its own.
struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    folder: TempDir,
    mark: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        binary("tidegate").unwrap();
        binary("tidegate-authority").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("{MARK}={}", folder.path().display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(arguments)
            .env("TMPDIR", folder.path())
            .env(MARK, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            out,
            folder,
            mark,
        }
    }

    fn signal(&self, signal: Signal) {
        // It is a child that nobody has waited for, so the id is still its own.
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn code(&mut self) -> i32 {
        let ended = wait_for(SOON, "the demo to end", || self.child.try_wait().unwrap());
        ended.unwrap().code().unwrap()
    }

    /// One process of each network namespace that the demo has made.
    fn inhabited(&self) -> BTreeMap<PathBuf, u32> {
        let network = |id: u32| fs::read_link(format!("/proc/{id}/ns/net")).ok();
        let own = network(std::process::id());
        let networks = processes(&self.mark).into_iter().filter_map(|id| {
            let network = network(id)?;
            (Some(&network) != own.as_ref()).then_some((network, id))
        });
        networks.collect()
    }

    fn assert_nothing_is_left(&self) {
        wait_until(SOON, "all processes to end", || {
            processes(&self.mark).is_empty()
        })
        .unwrap();
        let left: Vec<_> = fs::read_dir(self.folder.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal(Signal::SIGTERM);
            let _ = self.child.wait();
        }
    }
}

/// The ids of all processes with this in their environments.
fn processes(mark: &str) -> Vec<u32> {
    let marked = |id: &u32| {
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|one| one == mark.as_bytes())
    };
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(marked).collect()
}

/// Devices whose other ends are in the demo's namespaces, and which vanish when those really end.
struct Witness {
    _lab: Lab,
    host: Host,
    planted: usize,
}

impl Witness {
    fn of(demo: &Demo) -> Self {
        let lab = Lab::new().unwrap();
        let host = lab.host("witness").unwrap();
        let mut planted = 0;
        for id in demo.inhabited().values() {
            let (device, id) = (format!("w{id}"), id.to_string());
            let status = Command::new("nsenter")
                .args(["-n", "-t", &host.id().to_string(), "ip", "link", "add"])
                .args([&device, "type", "veth", "peer", "w", "netns", &id])
                .stderr(Stdio::null()) // the process may just have ended
                .status()
                .unwrap();
            planted += usize::from(status.success());
        }
        Self {
            _lab: lab,
            host,
            planted,
        }
    }

    fn sees(&self) -> usize {
        let devices = self.host.sh("ls /sys/class/net").unwrap();
        devices.lines().filter(|name| name.starts_with('w')).count()
    }
}

#[test]
fn the_demo_cuts_off_has_every_receipt_and_stops_at_the_leases_end() {
    let began = Instant::now();
    let mut demo = Demo::start(&["--json"]);
    let mut text = String::new();
    demo.out.read_to_string(&mut text).unwrap();
    assert_eq!(demo.code(), 0);
    assert!(began.elapsed() < WHOLE, "{:?}", began.elapsed());
    demo.assert_nothing_is_left();
    let timeline: Value = serde_json::from_str(&text).unwrap();
    println!("{timeline:#}");
    assert_transfer(&timeline["traffic"]);
    assert_cut_off(&timeline["revocation"]);
    assert_lease(&timeline["lease"]);
}

fn assert_transfer(traffic: &Value) {
    assert_eq!(traffic["download_bytes"], 64 * 1024 * 1024);
    assert!(traffic["iperf3_bits_per_second"].as_f64() > Some(1e6));
}

fn assert_cut_off(revocation: &Value) {
    let cut_off = revocation["cut_off_ms"].as_f64().unwrap();
    assert!(cut_off <= CUT_OFF, "cut off after {cut_off} ms");
    assert!(revocation["packets"].as_u64() > Some(1000), "no transfer");
    assert_eq!(revocation["outstanding"], 0);
    for (what, moment) in [("pushed", "after_ms"), ("receipts", "accepted_after_ms")] {
        let rows = revocation[what].as_array().unwrap();
        let names: Vec<_> = rows
            .iter()
            .map(|row| row["node"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["server", "backup"], "{what}");
        for row in rows {
            assert!(row[moment].as_f64().unwrap() <= CUT_OFF * 2.0, "{row}");
        }
    }
    // Whoever had heard nothing would have had until then.
    assert!(revocation["bound_after_ms"].as_f64().unwrap() > cut_off);
}

fn assert_lease(lease: &Value) {
    let after = lease["last_packet_after_lease_ms"].as_f64().unwrap();
    let allowance = lease["allowance_ms"].as_f64().unwrap();
    assert!(after <= allowance, "a packet {after} ms after the lease");
    assert!(
        after >= NOT_EARLIER,
        "stopped {after} ms before its lease ended"
    );
    assert!(lease["lease_left_ms"].as_f64() > Some(0.0));
    assert!(lease["packets"].as_u64() > Some(50), "no pings");
}

fn interrupt(signal: Signal, number: i32) {
    let mut drawn = [0];
    getrandom::fill(&mut drawn).unwrap();
    let lines = 1 + usize::from(drawn[0] % 30);
    let mut demo = Demo::start(&[]);
    let mut said = String::new();
    for _ in 0..lines {
        assert_ne!(
            demo.out.read_line(&mut said).unwrap(),
            0,
            "it ended: {said}"
        );
    }
    println!("{signal} after {lines} lines:\n{said}");
    let witness = Witness::of(&demo);
    assert_eq!(witness.sees(), witness.planted);
    demo.signal(signal);
    assert_eq!(demo.code(), 128 + number);
    demo.assert_nothing_is_left();
    wait_until(SOON, "all namespaces to end", || witness.sees() == 0).unwrap();
}

#[test]
fn a_demo_that_is_interrupted_anywhere_leaves_nothing() {
    for _ in 0..3 {
        interrupt(Signal::SIGINT, 2);
        interrupt(Signal::SIGTERM, 15);
    }
}

#[test]
fn a_demo_whose_worker_crashes_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    let mut said = String::new();
    while !said.contains("joins") {
        assert_ne!(
            demo.out.read_line(&mut said).unwrap(),
            0,
            "it ended: {said}"
        );
    }
    let witness = Witness::of(&demo);
    assert!(witness.planted > 2, "{} namespaces", witness.planted);
    let worker = worker(&demo.child);
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    assert_eq!(demo.code(), 1);
    demo.assert_nothing_is_left();
    wait_until(SOON, "all namespaces to end", || witness.sees() == 0).unwrap();
}

/// The demo's process that works; the other one watches it.
fn worker(demo: &Child) -> i32 {
    let own = demo.id();
    let path = PathBuf::from(format!("/proc/{own}/task/{own}/children"));
    let children = fs::read_to_string(Path::new(&path)).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}
