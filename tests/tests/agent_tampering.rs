//! A state directory that somebody, or a failing disk, has changed: refused, reported, and nobody who is out comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate_tests::liar::deafen;
use tidegate_tests::overlay::{Node, Overlay, Underlay};
use tidegate_tests::{Process, wait_until};

const SOON: Duration = Duration::from_secs(30);
/// What is asked for again when it was refused.
const REPLACEABLE: [&str; 8] = [
    "certificate",
    "list",
    "policy",
    "roster",
    "grants",
    "clock",
    "floors",
    "recent",
];
/// What makes the node the one that it is.
const OWN: [&str; 3] = ["identity.key", "genesis", "keys"];

/// A network in which `out` is revoked, does not know it, and pings `a` all the time.
struct Scene {
    overlay: Overlay,
    a: Node,
    b: Node,
    out: Node,
    /// The state of `a` from before the revocation.
    yesterday: PathBuf,
    knocking: Process,
}

impl Scene {
    fn new() -> Self {
        let mut overlay = Overlay::new(Underlay::V4).unwrap();
        let mut a = overlay
            .node_with("a", "log = \"debug\"\nmetrics = \"127.0.0.1:9477\"\n")
            .unwrap();
        let (b, out) = (overlay.node("b").unwrap(), overlay.node("out").unwrap());
        a.await_ping(&b).unwrap();
        a.await_ping(&out).unwrap();
        let log = a.daemon().unwrap().output();
        assert!(log.contains("out is a peer now"), "it is logged: {log}");
        wait_until(SOON, "the receipt", || {
            a.status().unwrap()["list"]["confirmed"] == true
        })
        .unwrap();
        assert!(
            a.status().unwrap()["refused"].is_null(),
            "nothing was refused so far"
        );
        a.kill();
        let yesterday = overlay.folder().join("yesterday");
        copy(&a.state(), &yesterday);
        a.start().unwrap();
        a.await_ping(&out).unwrap();

        deafen(&out).unwrap();
        let scene = Self {
            knocking: knock(&out, &a.address(0).unwrap()),
            overlay,
            a,
            b,
            out,
            yesterday,
        };
        let why = ["revoke", "out", "--reason", "lost"];
        scene.overlay.admin(why).unwrap();
        wait_until(SOON, "the revocation", || !scene.knows("out")).unwrap();
        wait_until(SOON, "pings without an answer", || scene.knocks().1 > 10).unwrap();
        scene
    }

    /// Whether `a` has this peer.
    fn knows(&self, name: &str) -> bool {
        let status = self.a.status().unwrap();
        let peers = status["peers"].as_array().unwrap();
        peers.iter().any(|peer| peer["name"] == name)
    }

    /// Pings of the one who is out that were answered, and that were not.
    fn knocks(&self) -> (usize, usize) {
        let output = self.knocking.output();
        (
            output.matches(" bytes from ").count(),
            output.matches("no answer yet").count(),
        )
    }

    /// It is as before, and who is out has stayed out, though it has knocked since.
    fn whole(&mut self, what: &str) {
        self.a.await_state("up", SOON).unwrap();
        self.a.await_ping(&self.b).unwrap();
        self.still_out(what);
    }

    fn still_out(&self, what: &str) {
        let (answered, missed) = self.knocks();
        wait_until(SOON, "more knocking", || self.knocks().1 > missed + 5).unwrap();
        assert_eq!(self.knocks().0, answered, "{what}: who is out was answered");
        assert!(!self.knows("out"), "{what}");
        let log = self.a.daemon().unwrap().output();
        assert!(!log.contains("out is a peer now"), "{what}: {log}");
    }

    /// The refusal of this file is in status, doctor, log and metrics.
    fn reported(&self, file: &str) {
        let words = format!("the file '{file}'");
        let status = self.a.status().unwrap();
        assert!(
            status["refused"]["count"].as_u64().unwrap() >= 1,
            "{status}"
        );
        let page = self.a.try_cli(["status"]).unwrap().out;
        assert!(page.contains("refused    "), "{page}");
        let doctor = self.a.try_cli(["doctor"]).unwrap().out;
        assert!(doctor.contains("was refused"), "{file}: {doctor}");
        let log = self.a.daemon().unwrap().output();
        assert!(log.contains(&words), "{words} in {log}");
        let page = ["-sf", "http://127.0.0.1:9477/metrics"];
        let metrics = self.a.host().run("curl", page).unwrap();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("tidegate_documents_refused_total "));
        assert!(line.unwrap().parse::<f64>().unwrap() >= 1.0, "{metrics}");
    }

    /// Has the state directory be a copy of another, while the daemon does not run.
    fn put_back(&mut self, from: &Path) {
        self.a.kill();
        fs::remove_dir_all(self.a.state()).unwrap();
        copy(from, &self.a.state());
    }

    /// A copy of the state as it is now.
    fn saved(&mut self) -> PathBuf {
        self.a.kill();
        let path = self.overlay.folder().join("saved");
        let _ = fs::remove_dir_all(&path); // there is none the first time
        copy(&self.a.state(), &path);
        path
    }
}

/// Pings from the one who is out, for ever.
fn knock(from: &Node, address: &str) -> Process {
    let arguments = ["-O", "-i", "0.05", address];
    let process = from.host().spawn("ping", arguments).unwrap();
    process.wait_for_output(SOON, "bytes from").unwrap();
    process
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status();
    assert!(copied.unwrap().success());
}

/// A way to spoil a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Harm {
    Flipped,
    Cut,
    Swapped,
    Empty,
}

impl Harm {
    fn all() -> [Self; 4] {
        [Self::Flipped, Self::Cut, Self::Swapped, Self::Empty]
    }

    fn to(self, path: &Path, other: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::Flipped => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            Self::Cut => bytes.truncate(bytes.len() / 2),
            Self::Swapped => bytes = fs::read(other).unwrap(),
            Self::Empty => bytes.clear(),
        }
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn what_is_asked_for_again_heals_and_who_is_out_stays_out() {
    let mut scene = Scene::new();
    for file in REPLACEABLE {
        for harm in Harm::all() {
            let what = format!("{file} {harm:?}");
            scene.a.kill();
            harm.to(&scene.a.state().join(file), &scene.b.state().join(file));
            scene.a.start().unwrap();
            scene.whole(&what);
            // Lists and policies are the same everywhere; times and the peers used lately do no harm.
            let harmless = matches!(harm, Harm::Swapped)
                && !["certificate", "roster", "grants"].contains(&file);
            if !harmless {
                scene.reported(file);
            }
            println!("{what}: healed");
        }
    }
}

#[test]
fn what_makes_the_node_what_it_is_has_to_be_right() {
    let mut scene = Scene::new();
    let foreign = scene.overlay.folder().join("foreign");
    stranger(&foreign, |overlay, node| {
        node.join(&overlay.invite().unwrap()).unwrap();
    });
    for file in OWN {
        for harm in Harm::all() {
            let saved = scene.saved();
            let path = scene.a.state().join(file);
            harm.to(&path, &foreign.join(file));
            let what = format!("{file} {harm:?}");
            if (file, harm) == ("keys", Harm::Swapped) {
                // Keys that nobody else has are as good as others: they are certified, and those before count no more.
                scene.a.start().unwrap();
                scene.whole(&what);
                scene.reported("certificate");
                continue;
            }
            spoiled(&mut scene, file, &what);
            scene.put_back(&saved);
            scene.a.start().unwrap();
            scene.whole(&what);
        }
    }
}

#[test]
fn how_to_undo_what_was_done_to_the_host_can_be_lost() {
    let mut scene = Scene::new();
    let journal = "network.journal";
    let ours = "(ip route; ip -6 route) | grep -c 'proto 116'";
    for harm in Harm::all() {
        let what = format!("{journal} {harm:?}");
        scene.a.kill();
        let (path, other) = (scene.a.state(), scene.b.state());
        harm.to(&path.join(journal), &other.join(journal));
        scene.a.start().unwrap();
        scene.whole(&what);
        if harm == Harm::Flipped {
            let log = scene.a.daemon().unwrap().output();
            assert!(log.contains("lines of network.journal"), "{log}");
        }
        assert!(scene.a.host().sh(ours).is_ok(), "{what}: routes are there");
        scene.a.cli(["down"]).unwrap();
        wait_until(SOON, "the host as it was", || {
            scene.a.host().sh(ours).is_err()
        })
        .unwrap();
        scene.a.cli(["up"]).unwrap();
        scene.whole(&what);
        println!("{what}: healed");
    }
}

#[test]
fn a_join_is_gone_on_with_as_it_was_asked_for_or_not_at_all() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let mut node = overlay.host("node").unwrap();
    let foreign = overlay.folder().join("foreign");
    stranger(&foreign, |overlay, node| {
        node.ask(&overlay.genesis(), &[]).unwrap();
    });
    node.ask(&overlay.genesis(), &[]).unwrap();
    let path = node.state().join("pending");
    let asked = fs::read(&path).unwrap();
    for harm in [Harm::Flipped, Harm::Cut, Harm::Empty] {
        harm.to(&path, &foreign.join("pending"));
        let refused = node.spawn_pending().unwrap_err().to_string();
        let why = refused.contains("pending") || refused.contains("genesis");
        assert!(why, "pending {harm:?}: {refused}");
        fs::write(&path, &asked).unwrap();
    }
    let role = ["approve", "node", "--role", "member"];
    overlay.admin(role).unwrap();
    // Another network's authority is asked for, and this one is not believed to be it.
    Harm::Swapped.to(&path, &foreign.join("pending"));
    node.spawn_pending().unwrap();
    wait_until(SOON, "the trouble to be told", || {
        !node.status().unwrap()["authority"]["trouble"].is_null()
    })
    .unwrap();
    node.kill();
    fs::write(&path, &asked).unwrap();
    node.start().unwrap();
    node.await_state("up", SOON).unwrap();
}

/// The state of a node in another network, or on its way there.
fn stranger(to: &Path, join: impl Fn(&Overlay, &Node)) {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let node = overlay.host("stranger").unwrap();
    join(&overlay, &node);
    copy(&node.state(), to);
}

/// Either the daemon does not start and names the file, or nothing flows and it says why.
fn spoiled(scene: &mut Scene, file: &str, what: &str) {
    let (state, socket) = (scene.a.state(), scene.a.socket());
    match scene.a.start() {
        Err(_) => {
            let ended = scene
                .a
                .try_run([
                    "run".as_ref(),
                    "--state-dir".as_ref(),
                    state.as_os_str(),
                    "--socket".as_ref(),
                    socket.as_os_str(),
                ])
                .unwrap();
            assert_eq!(ended.code, Some(10), "{what}: {ended:?}");
            assert!(ended.err.contains(file), "{what}: {ended:?}");
            println!("{what}: {}", ended.err.trim());
        }
        Ok(()) => {
            let status = scene.a.try_cli(["status"]).unwrap();
            assert!(!matches!(status.code, Some(0)), "{what}: {status:?}");
            assert!(status.out.contains("refused    "), "{what}: {status:?}");
            scene.still_out(what);
            println!("{what}: {}", status.err.trim());
        }
    }
}

#[test]
fn a_list_from_yesterday_lets_nobody_back_in() {
    let mut scene = Scene::new();
    old_list(&mut scene, true);
    old_list(&mut scene, false);
    no_floors(&mut scene);
    everything(&mut scene);
}

/// The old list alone is behind its floor. Without the authority nobody is a peer then, and with it the right one comes.
fn old_list(scene: &mut Scene, authority: bool) {
    if !authority {
        scene.overlay.kill_authority();
    }
    scene.a.kill();
    fs::copy(scene.yesterday.join("list"), scene.a.state().join("list")).unwrap();
    scene.a.start().unwrap();
    if !authority {
        scene.still_out("an old list, nobody to ask");
        assert!(!scene.knows("b"), "without a list nobody is trusted");
        scene.reported("list");
        scene.overlay.start_authority().unwrap();
    }
    scene.whole("an old list");
    scene.reported("list");
}

/// Without the floors, nothing older than today can be told from what is of today: all of it is asked for.
fn no_floors(scene: &mut Scene) {
    scene.a.kill();
    for file in ["list", "roster", "grants", "policy"] {
        fs::copy(scene.yesterday.join(file), scene.a.state().join(file)).unwrap();
    }
    fs::remove_file(scene.a.state().join("floors")).unwrap();
    scene.a.start().unwrap();
    scene.whole("an old list without floors");
    scene.reported("floors");
}

/// A copy of the whole directory agrees with itself. The newest list is asked for before anybody is spoken to.
fn everything(scene: &mut Scene) {
    let yesterday = scene.yesterday.clone();
    let underlay = scene.a.host().capture("eth0", "udp port 51820").unwrap();
    scene.put_back(&yesterday);
    let before = underlay.count().unwrap();
    scene.a.start().unwrap();
    scene.whole("all of yesterday's state");
    let packets = underlay.packets().unwrap();
    let to_out: Vec<_> = packets[before..]
        .iter()
        .filter(|packet| sent_to(&packet.data, &scene.out))
        .collect();
    assert!(
        to_out.is_empty(),
        "{} packets to one who is out",
        to_out.len()
    );
    let from_b = packets[before..].len();
    assert!(from_b > 0, "the capture saw nothing at all");
}

/// Whether an Ethernet frame with IPv4 in it is for this node's host.
fn sent_to(frame: &[u8], node: &Node) -> bool {
    let text = node.host().sh("ip -4 -o addr show dev eth0").unwrap();
    let address = text.split_whitespace().nth(3).unwrap();
    let address: std::net::Ipv4Addr = address.split('/').next().unwrap().parse().unwrap();
    frame.get(12..14) == Some(&[8, 0]) && frame.get(30..34) == Some(&address.octets())
}
