//! A peer that cannot be reached by the news of a revocation stops at the published bound, and not much before.
//!
//! The revoked node obeys nothing: its agent is gone, and whoever copied its keys goes on talking with them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidegate_tests::overlay::{
    Held, Loot, Mark, Node, Overlay, Passing, Pings, Thief, Timing, Underlay, unix_ms,
};
use tidegate_tests::{wait_for, wait_until};

const TIMING: Timing = Timing {
    epoch: "16s",
    overlap: "1s",
    lead: "3s",
    offline_tolerance: "8s",
    certificate: "1h",
};
/// Speaks WireGuard with whatever keys it is given.
const STATIC: &str = env!("CARGO_BIN_EXE_tidegate-static");
/// Longer than two epochs.
const SEVERAL_EPOCHS: Duration = Duration::from_secs(40);
/// A node starts asking a lost authority again within this, and hears of what happened.
const RETURN: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(15);
/// Five times the second by which a node may stop before it has to.
const EARLY_MS: u64 = 5_000;
/// For how long it is watched that nothing comes any more.
const AFTER_MS: u64 = 3_000;

/// Two hosts, or three, that talk, and one of them to be revoked.
struct Scene {
    overlay: Overlay,
    peers: Vec<Node>,
    out: Node,
    own: String,
    marks: Vec<Mark>,
}

/// A revocation as it was first told.
struct Revocation {
    list: String,
    bound_ms: u64,
}

/// The stolen keys in use against one peer.
struct Talk {
    _thief: Thief,
    pings: Pings,
    arrived: Passing,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        let mut overlay = Overlay::timed(Underlay::V4, &TIMING).unwrap();
        let node = |name: &&str| overlay.node(name).unwrap();
        let peers: Vec<Node> = names.iter().map(node).collect();
        let out = overlay.node("out").unwrap();
        peers.iter().for_each(|peer| out.await_ping(peer).unwrap());
        let mark = |name: &&str| Mark::of(&out, name).unwrap();
        let marks = names.iter().map(mark).collect();
        let own = out.address(0).unwrap();
        Self {
            overlay,
            peers,
            out,
            own,
            marks,
        }
    }

    /// Waits until everybody holds the same single epoch, with time left before the next is handed out.
    fn await_quiet(&self) -> Held {
        let everybody = || self.peers.iter().chain([&self.out]);
        let quiet = || {
            let first = self.out.epochs().ok()?.first().copied()?;
            let only = |node: &Node| node.epochs().is_ok_and(|held| held == [first]);
            let time_left = first.ends_ms > unix_ms() + 8_500;
            (time_left && everybody().all(only)).then_some(first)
        };
        wait_for(SEVERAL_EPOCHS, "a quiet moment", quiet).unwrap()
    }

    /// The node's keys, to the epochs that it holds now, get into other hands and its agent is gone; then it is revoked.
    fn revoke(&mut self) -> (Loot, Revocation) {
        let copied = || {
            let held = self.out.epochs().ok()?.into_iter();
            let held: Vec<u64> = held.map(|epoch| epoch.number).collect();
            // The disk follows: one epoch's key may not be on it yet, and another's may still be.
            let loot = Loot::of(&self.overlay, &self.out, &self.own).ok()?;
            (loot.epochs() == held).then_some(loot)
        };
        let loot = wait_for(SOON, "the disk to hold the keys in use", copied).unwrap();
        self.out.kill();
        let report = self
            .overlay
            .ask(["revoke", "out", "--reason", "stolen"])
            .unwrap();
        let bound_ms = report["status"]["bound"].as_u64().unwrap();
        let list = report["revocation"]["list"].as_u64().unwrap().to_string();
        (loot, Revocation { list, bound_ms })
    }

    /// Talks to a peer with stolen keys, and sees that it answers.
    fn talk(&self, peer: usize, device: &str, loot: &Loot, epoch: u64) -> Talk {
        let (own, node) = (&self.own, &self.peers[peer]);
        let arrived = Passing::start(node.host(), "tidegate", &format!("src {own}")).unwrap();
        let host = self.out.host();
        let mark = &self.marks[peer];
        let thief = Thief::start(STATIC, host, device, loot, epoch, mark).unwrap();
        let address = node.address(0).unwrap();
        let pings = Pings::start(host, &address, "0.02").unwrap();
        let answered = wait_until(SOON, "the thief to be answered", || pings.answered() > 10);
        answered.unwrap_or_else(|error| panic!("{error}: {:#}", node.status().unwrap()));
        Talk {
            _thief: thief,
            pings,
            arrived,
        }
    }

    /// Asks for the bound again and again until all is over; it never rises.
    fn watch_bound(&self, revocation: &Revocation, done: &AtomicBool) -> usize {
        let (mut last, mut asked) = (revocation.bound_ms, 0);
        while !done.load(Ordering::Relaxed) {
            let list = &revocation.list;
            let report = self.overlay.ask(["revocations", list]).unwrap();
            let bound = report["status"]["bound"].as_u64().unwrap_or(0);
            assert!(bound <= last, "the bound rose from {last} to {bound}");
            (last, asked) = (bound, asked + 1);
            // As often as the authority lets one address ask.
            await_time(unix_ms() + 500);
        }
        asked
    }
}

impl Talk {
    /// Both ways: what reached the peer, and what it answered.
    fn last_ms(&self) -> u64 {
        let (arrived, answered) = (self.arrived.last_ms(), self.pings.last_ms());
        arrived.max(answered).unwrap()
    }

    /// The last packet passed not after the bound, and not much before this node had to stop.
    fn judge(&self, who: &str, lease_ms: u64, bound_ms: u64) {
        let last = self.last_ms();
        println!(
            "{who}: last packet {} ms before its lease ended, {} ms before the bound",
            signed(lease_ms, last),
            signed(bound_ms, last)
        );
        assert!(last <= bound_ms, "{who} talked after the bound");
        assert!(
            last + EARLY_MS >= lease_ms,
            "{who} stopped needlessly early"
        );
    }
}

fn signed(later: u64, earlier: u64) -> i64 {
    i64::try_from(later).unwrap() - i64::try_from(earlier).unwrap()
}

/// Waits until some time after `at_ms`.
fn await_time(at_ms: u64) {
    let far = Duration::from_millis(at_ms.saturating_sub(unix_ms())) + SOON;
    wait_until(far, "time to pass", || unix_ms() >= at_ms).unwrap();
}

/// Watches the bound until it has passed by some time.
fn await_bound(scene: &Scene, revocation: &Revocation) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| scene.watch_bound(revocation, &done));
        await_time(revocation.bound_ms + AFTER_MS);
        done.store(true, Ordering::Relaxed);
        let asked = watch.join().unwrap();
        println!("the bound was asked for {asked} times and never rose");
        assert!(asked > 5);
    });
}

/// A peer that hears of the authority again comes back, and the thief still reaches nothing.
fn comes_back_without_the_revoked(scene: &Scene, peer: usize, talk: &Talk) {
    let (node, before) = (&scene.peers[peer], talk.arrived.times_ms().len());
    let start = Instant::now();
    scene.overlay.reconnect(node).unwrap();
    node.await_state("up", RETURN).unwrap();
    println!("back {:?} after the partition ended", start.elapsed());
    let status = node.status().unwrap();
    let names: Vec<_> = status["peers"].as_array().unwrap().iter().collect();
    assert!(names.iter().all(|peer| peer["name"] != "out"), "{names:?}");
    let host = scene.out.host();
    let address = node.address(0).unwrap();
    let refused = host.run("ping", ["-c", "20", "-i", "0.1", "-W", "1", &address]);
    assert!(refused.is_err(), "a thief is answered again");
    assert_eq!(talk.arrived.times_ms().len(), before);
}

#[test]
fn a_partitioned_peer_talks_to_a_revoked_node_until_the_bound_and_no_longer() {
    let mut scene = Scene::new(&["peer"]);
    let epoch = scene.await_quiet();
    scene.overlay.cut_off(&scene.peers[0]).unwrap();
    let (loot, revocation) = scene.revoke();
    assert_eq!(loot.epochs(), [epoch.number]);
    let talk = scene.talk(0, "stolen0", &loot, epoch.number);
    let left = signed(revocation.bound_ms, epoch.lease_until_ms);
    println!("the bound is {left} ms after the end of the lease");
    assert!((0..1_000).contains(&left), "the bound is that of the lease");

    await_bound(&scene, &revocation);
    talk.judge("the peer", epoch.lease_until_ms, revocation.bound_ms);
    let ended = scene.peers[0].try_cli(["status"]).unwrap();
    assert_eq!(ended.code, Some(13), "{ended:?}");
    comes_back_without_the_revoked(&scene, 0, &talk);
}

#[test]
fn with_one_peer_ahead_and_one_behind_both_stop_in_time_and_the_bound_never_rises() {
    let mut scene = Scene::new(&["ahead", "behind"]);
    let epoch = scene.await_quiet();
    scene.overlay.cut_off(&scene.peers[1]).unwrap();
    let ahead = || {
        let last = |node: &Node| node.epochs().ok()?.last().copied();
        let [peer, own] = [last(&scene.peers[0])?, last(&scene.out)?];
        (peer == own && peer.number > epoch.number).then_some(peer)
    };
    let next = wait_for(SEVERAL_EPOCHS, "the next epoch's grant", ahead).unwrap();
    scene.overlay.cut_off(&scene.peers[0]).unwrap();
    let (loot, revocation) = scene.revoke();
    assert_eq!(scene.peers[1].epochs().unwrap(), [epoch]);
    assert!(revocation.bound_ms >= next.lease_until_ms);

    let behind = scene.talk(1, "stolen1", &loot, epoch.number);
    let ahead = scene.talk(0, "stolen0", &loot, next.number);
    await_bound(&scene, &revocation);
    ahead.judge("ahead", next.lease_until_ms, revocation.bound_ms);
    behind.judge("behind", epoch.lease_until_ms, revocation.bound_ms);
    let late = signed(behind.last_ms(), epoch.lease_until_ms);
    assert!(
        late < 1_000,
        "'behind' went on {late} ms after its own lease"
    );
}
