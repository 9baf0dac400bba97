//! Whatever strangers and peers send: it is counted by reason, costs no memory, and others do not suffer.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_tests::iperf::{Load, serve};
use tidegate_tests::wireguard::{Endpoint, KeyPair, OwnWireGuard, Pair, Side};
use tidegate_tests::{Host, Lab, LabError, Process, Stranger, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);
/// What the victim's memory may grow by, in kilobytes: caches are bounded, and filled only once.
const GROWTH: u64 = 8 * 1024;

/// A and B talk; C is on the same network.
struct Scene {
    pair: Pair,
    a: OwnWireGuard,
    _b: OwnWireGuard,
    c: Host,
    _lab: Lab,
}

impl Scene {
    fn new() -> Result<Self, LabError> {
        Self::with(&[])
    }

    /// A also knows these peers.
    fn with(others: &[String]) -> Result<Self, LabError> {
        let lab = Lab::new()?;
        let pair = Pair::networked(&lab)?;
        let c = lab.host("c")?;
        let lan = pair
            .network
            .as_ref()
            .expect("the pair is joined by a network");
        lan.attach(&c, &["10.0.0.3/24"])?;
        let mut peers = vec![pair.peer_of(Side::A)];
        peers.extend_from_slice(others);
        let a = OwnWireGuard::start(own_program(), &pair.a, &peers, &[])?;
        let b = OwnWireGuard::start(own_program(), &pair.b, &[pair.peer_of(Side::B)], &[])?;
        pair.await_ping(Side::B, 0)?;
        Ok(Self {
            pair,
            a,
            _b: b,
            c,
            _lab: lab,
        })
    }

    /// Sends TCP from B to A, which must arrive whole; says how fast.
    fn transfer(&self) -> Result<f64, LabError> {
        let _server = serve(&self.pair.a.host)?;
        let load = Load {
            streams: 2,
            seconds: 2,
            ..Load::default()
        };
        let arrived = load.send(&self.pair.b.host, self.pair.a.overlay[0])?;
        assert!(arrived.bytes > 1e6, "{arrived:?}");
        Ok(arrived.rate / 1e9)
    }

    /// What arrives while an attack goes on, before and during, and what the attack costs in memory.
    fn endures(
        &self,
        what: &str,
        attack: impl FnOnce() -> Result<Process, LabError>,
    ) -> Result<(), LabError> {
        let before = self.transfer()?;
        let memory = resident(self.a.process());
        let attacker = attack()?;
        let during = self.transfer()?;
        assert!(attacker.is_running() && self.a.process().is_running());
        let grown = resident(self.a.process()).saturating_sub(memory);
        println!("{what}: {before:.2} Gbit/s before, {during:.2} during, {grown} kB more");
        assert!(grown < GROWTH, "memory grew by {grown} kB");
        drop(attacker);
        self.pair.await_ping(Side::B, 1)
    }

    fn is_counted(&self, reason: &str) -> Result<(), LabError> {
        wait_until(PATIENCE, reason, || {
            self.a.discarded(reason).is_ok_and(|count| count > 0)
        })
        .inspect_err(|_| {
            println!("{}", self.a.stats().unwrap_or_default());
        })
    }

    fn still_speaks_with_b(&self) -> Result<(), LabError> {
        let stats = self.a.stats()?;
        assert_eq!(stats["peer"][0]["endpoint"], "10.0.0.2:51820", "{stats}");
        self.pair.await_ping(Side::A, 0)
    }
}

fn own_program() -> &'static Path {
    env!("CARGO_BIN_EXE_tidegate-static").as_ref()
}

fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn garbage_at_line_rate_is_counted_and_costs_no_memory() -> Result<(), LabError> {
    let scene = Scene::new()?;
    scene.endures("garbage", || Stranger(&scene.c).garbage(&scene.pair.a))?;
    for reason in ["garbage", "bad_mac", "unknown_index"] {
        scene.is_counted(reason)?;
    }
    scene.still_speaks_with_b()
}

#[test]
fn a_flood_of_spoofed_handshakes_is_met_with_cookies() -> Result<(), LabError> {
    let scene = Scene::new()?;
    scene.endures("handshakes", || {
        Stranger(&scene.c).initiations(&scene.pair.a, 20_000)
    })?;
    let stats = scene.a.stats()?;
    let count = |reason: &str| stats["discards"][reason].as_u64().unwrap_or(0);
    assert!(
        count("cookie_sent") + count("handshake_flood") > 1000,
        "{stats}"
    );
    scene.still_speaks_with_b()
}

#[test]
fn replayed_handshakes_and_data_are_refused_and_move_nobody() -> Result<(), LabError> {
    let scene = Scene::new()?;
    let files = TempDir::new().unwrap();
    let path = files.path().join("recording");
    let recorder = Stranger(&scene.pair.a.host).record(&path, 3.0)?;
    // A restart makes a handshake that is recorded, and pings make data.
    scene.a.ask("remove-peer 1")?;
    scene
        .a
        .ask(&format!("add-peer {}", scene.pair.peer_of(Side::A)))?;
    scene.a.ask("connect 1")?;
    scene.pair.await_ping(Side::B, 0)?;
    scene
        .pair
        .b
        .host
        .run("ping", ["-c", "20", "-i", "0.01", "10.77.0.1"])?;
    recorder.wait_for_output(PATIENCE, "recorded")?;
    let before = scene.a.stats()?["peer"][0]["received_packets"].clone();
    assert!(Stranger(&scene.c).replay(&path, &scene.pair.a, None)? > 20);
    assert!(Stranger(&scene.c).replay(&path, &scene.pair.a, Some("10.0.0.2"))? > 20);
    scene.is_counted("replayed")?;
    assert_eq!(
        scene.a.stats()?["peer"][0]["received_packets"],
        before,
        "a replay was taken for new"
    );
    scene.still_speaks_with_b()
}

/// A third host that is a peer of A.
fn rogue() -> Result<(KeyPair, String), LabError> {
    let keys = KeyPair::generate()?;
    let spec = format!("{},id=2,allowed=10.77.0.3/32", keys.public);
    Ok((keys, spec))
}

fn start_rogue(scene: &Scene, keys: KeyPair) -> Result<OwnWireGuard, LabError> {
    let end = Endpoint {
        host: scene.c.clone(),
        keys,
        underlay: [10, 0, 0, 3].into(),
        port: 51820,
        overlay: [[10, 77, 0, 3].into(), [0xfd77, 0, 0, 0, 0, 0, 0, 3].into()],
        mtu: 1420,
    };
    let a = &scene.pair.a;
    let peer = format!("{}@{},id=1,allowed=10.77.0.0/24", a.keys.public, a.socket());
    let rogue = OwnWireGuard::start(own_program(), &end, &[peer], &[])?;
    wait_until(PATIENCE, "the third peer to be let in", || {
        scene
            .c
            .run("ping", ["-c", "1", "-W", "1", "10.77.0.1"])
            .is_ok()
    })?;
    Ok(rogue)
}

#[test]
fn a_peer_cannot_speak_in_the_name_of_another() -> Result<(), LabError> {
    let (keys, spec) = rogue()?;
    let scene = Scene::with(&[spec])?;
    let _rogue = start_rogue(&scene, keys)?;
    scene.c.run(
        "ip",
        ["address", "add", "10.77.0.2/32", "dev", Endpoint::DEVICE],
    )?;
    let ping = scene.c.run(
        "ping",
        [
            "-c",
            "5",
            "-i",
            "0.1",
            "-W",
            "1",
            "-I",
            "10.77.0.2",
            "10.77.0.1",
        ],
    );
    assert!(ping.is_err(), "{ping:?}");
    assert!(scene.a.discarded("wrong_source")? >= 5);
    scene.still_speaks_with_b()
}

#[test]
fn a_peer_that_floods_does_not_silence_others() -> Result<(), LabError> {
    let (keys, spec) = rogue()?;
    let scene = Scene::with(&[spec])?;
    let _rogue = start_rogue(&scene, keys)?;
    let flood = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                 s.setsockopt(17, 103, 1392)\nprint('sending', flush=True)\n\
                 while True:\n try: s.sendto(bytes(1392 * 40), ('10.77.0.1', 9))\n except OSError: pass\n";
    scene.endures("flooding peer", || {
        let process = scene.c.spawn("python3", ["-c", flood])?;
        process.wait_for_output(PATIENCE, "sending")?;
        Ok(process)
    })?;
    scene.still_speaks_with_b()
}
