//! What goes on all the time below the traffic is not felt by it: epochs that pass, and certificates that are renewed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use tidegate_tests::iperf::{self, Arrived, Load};
use tidegate_tests::overlay::{Node, Overlay, PATIENCE, Passing, Pings, Tally, Timing, Underlay};
use tidegate_tests::wait_until;

const SOON: Duration = Duration::from_secs(15);
/// Five times the second by which a node may stop before it has to.
const EARLY_MS: u64 = 5_000;
/// What clocks may drift apart in such a time, and one batch.
const ALLOWANCE_MS: u64 = 200;

/// Two nodes of one network.
struct Two {
    overlay: Overlay,
    a: Node,
    b: Node,
    address: String,
}

/// What became of pings and of a TCP stream between the two.
struct Flood {
    pings: Tally,
    stream: Arrived,
}

impl Two {
    fn new(timing: &Timing) -> Self {
        let mut overlay = Overlay::timed(Underlay::V4, timing).unwrap();
        let [a, b] = ["a", "b"].map(|name| overlay.node(name).unwrap());
        b.await_ping(&a).unwrap();
        let address = a.address(0).unwrap();
        Self {
            overlay,
            a,
            b,
            address,
        }
    }

    /// A hundred pings a second and a steady TCP stream, for so many seconds.
    fn flood(&self, seconds: u32) -> Flood {
        let server = iperf::serve(self.a.host()).unwrap();
        let load = Load {
            seconds,
            rate: Some(20_000_000),
            ..Load::default()
        };
        let to: IpAddr = self.address.parse().unwrap();
        let pings = Pings::count(self.b.host(), &self.address, "0.01", seconds * 100).unwrap();
        let stream = load.send(self.b.host(), to).unwrap();
        drop(server);
        let pings = pings.finish(PATIENCE + Duration::from_secs(seconds.into()));
        Flood {
            pings: pings.unwrap(),
            stream,
        }
    }
}

impl Flood {
    fn print(&self, what: &str) {
        println!(
            "{what}: {} pings, lost {:?}; TCP {:.1} Mbit/s, slowest second {:.1} Mbit, {} segments sent again",
            self.pings.sent,
            self.pings.lost,
            self.stream.rate / 1e6,
            self.slowest() * 8.0 / 1e6,
            self.stream.retransmits
        );
    }

    /// Bytes of the slowest second of the stream.
    fn slowest(&self) -> f64 {
        let whole = &self.stream.course[..self.stream.course.len().saturating_sub(1)];
        whole.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// The epoch that a node sends in.
fn sending_in(node: &Node) -> u64 {
    let status = node.status().unwrap();
    status["plane"]["epoch"].as_u64().unwrap()
}

fn serial(node: &Node) -> u64 {
    let status = node.status().unwrap();
    status["certificate"]["serial"].as_u64().unwrap()
}

const STILL: Timing = Timing {
    epoch: "15m",
    overlap: "30s",
    lead: "3m",
    offline_tolerance: "1h",
    certificate: "24h",
};

/// The shortest epochs that there are.
const BRIEF: Timing = Timing {
    epoch: "2s",
    overlap: "1s",
    lead: "1s",
    offline_tolerance: "1m",
    certificate: "1h",
};

#[test]
fn no_ping_is_lost_in_twenty_epochs_that_is_not_also_lost_without() {
    let (brief, still) = (Two::new(&BRIEF), Two::new(&STILL));
    let before = [sending_in(&brief.a), sending_in(&brief.b)];
    let quiet = sending_in(&still.a);
    // At the same time, so that what the machine does to one it does to the other.
    let (with, without) = thread::scope(|scope| {
        let without = scope.spawn(|| still.flood(44));
        (brief.flood(44), without.join().unwrap())
    });
    with.print("with rotation");
    without.print("without rotation");
    for (node, before) in [&brief.a, &brief.b].into_iter().zip(before) {
        let passed = sending_in(node) - before;
        println!("{passed} epochs passed at {}", node.host().name());
        assert!(passed >= 20, "{passed}");
    }
    assert_eq!(sending_in(&still.a), quiet, "nothing rotates there");
    assert_eq!(with.pings.sent, 4400);
    let (lost, also) = (with.pings.lost.len(), without.pings.lost.len());
    assert!(lost <= also, "lost {lost} with, {also} without rotation");
    assert!(with.slowest() > 0.0, "the stream stood still");
}

/// Certificates that are renewed every few seconds, and outlast neither epochs nor leases.
const RENEWING: Timing = Timing {
    epoch: "4s",
    overlap: "1s",
    lead: "2s",
    offline_tolerance: "5m",
    certificate: "12s",
};

#[test]
fn certificates_are_renewed_under_load_without_loss() {
    let two = Two::new(&RENEWING);
    let before = [serial(&two.a), serial(&two.b)];
    let flood = two.flood(36);
    flood.print("with renewals");
    let status = two.b.status().unwrap();
    assert_eq!(status["certificate"]["renewals_failed"], 0, "{status}");
    let log = |node: &Node| node.daemon().unwrap().output();
    for (node, before) in [&two.a, &two.b].into_iter().zip(before) {
        let renewed = log(node).matches("counts until").count();
        println!("{} was certified {renewed} times", node.host().name());
        assert!(serial(node) > before && renewed >= 4, "{}", log(node));
    }
    assert_eq!(flood.pings.lost, [0; 0], "of {}", flood.pings.sent);
    assert!(flood.slowest() > 0.0, "the stream stood still");
}

/// Certificates that end long before any lease does.
const ENDING: Timing = Timing {
    certificate: "20s",
    ..STILL
};
/// Longer than a certificate.
const VALIDITY: Duration = Duration::from_secs(40);
/// An expired node asks again every half minute at the least.
const RETRY: Duration = Duration::from_secs(90);

/// Traffic to `a` that ends with a certificate: what reached it, and what it answered.
struct Ending {
    pings: Pings,
    arrived: Passing,
}

impl Ending {
    fn watch(two: &Two) -> Self {
        let own = two.b.address(0).unwrap();
        let arrived = Passing::start(two.a.host(), "tidegate", &format!("src {own}")).unwrap();
        let pings = Pings::start(two.b.host(), &two.address, "0.02").unwrap();
        wait_until(SOON, "answers", || pings.answered() > 10).unwrap();
        Self { pings, arrived }
    }

    fn judge(&self, end_ms: u64) {
        let last = self.pings.last_ms().max(self.arrived.last_ms()).unwrap();
        let left = i64::try_from(end_ms).unwrap() - i64::try_from(last).unwrap();
        println!("last packet {left} ms before the certificate ended");
        assert!(last <= end_ms + ALLOWANCE_MS, "it went on after it");
        assert!(last + EARLY_MS >= end_ms, "it stopped early");
    }
}

fn end_ms(node: &Node) -> u64 {
    let status = node.status().unwrap();
    status["certificate"]["not_after_ms"].as_u64().unwrap()
}

/// The node says that its certificate has ended, by state and exit code, and nothing passes.
fn assert_expired(two: &Two) {
    let said = two.b.try_cli(["status"]).unwrap();
    assert_eq!(said.code, Some(14), "{said:?}");
    assert!(said.out.contains("certificate ended"), "{said:?}");
    assert!(!two.b.pings(&two.address));
    let routes = two.b.host().sh("ip route").unwrap();
    assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
}

#[test]
fn a_node_whose_renewal_cannot_reach_the_authority_stops_when_its_certificate_ends() {
    let two = Two::new(&ENDING);
    two.overlay.cut_off(&two.b).unwrap();
    let end = end_ms(&two.b);
    let ending = Ending::watch(&two);
    two.b.await_state("expired", VALIDITY).unwrap();
    ending.judge(end);
    assert_expired(&two);
    let peers = || two.a.status().unwrap()["peers"].as_array().unwrap().len();
    wait_until(SOON, "the peer to be gone", || peers() == 0).unwrap();
    two.overlay.reconnect(&two.b).unwrap();
    let start = Instant::now();
    wait_until(RETRY, "traffic again", || two.b.pings(&two.address)).unwrap();
    println!("back {:?} after the partition ended", start.elapsed());
}

/// An authority that was restored from a backup refuses every renewal until it knows what happened since.
fn restore(overlay: &mut Overlay) {
    // Somebody who never reports what it knows keeps the recovery from ending.
    overlay.node("silent").unwrap().kill();
    let file = |name: &str| overlay.folder().join(name);
    let (backup, passphrase) = (file("backup"), file("passphrase"));
    fs::write(&passphrase, "correct horse battery staple\n").unwrap();
    fs::set_permissions(&passphrase, Permissions::from_mode(0o600)).unwrap();
    overlay.back_up_authority(&backup, &passphrase).unwrap();
    overlay.kill_authority();
    overlay.restore_authority(&backup, &passphrase).unwrap();
    overlay.start_unready_authority().unwrap();
}

#[test]
fn a_node_whose_renewal_is_refused_stops_when_its_certificate_ends() {
    let mut two = Two::new(&ENDING);
    restore(&mut two.overlay);
    let end = end_ms(&two.b);
    let ending = Ending::watch(&two);
    two.b.await_state("expired", VALIDITY).unwrap();
    ending.judge(end);
    assert_expired(&two);
    let status = two.b.status().unwrap();
    let refused = status["certificate"]["renewal_refused"].as_str();
    println!("the refusal: {}", refused.unwrap());

    let override_it = ["recovery", "override", "--reason", "tested"];
    two.overlay.admin(override_it).unwrap();
    let start = Instant::now();
    wait_until(RETRY, "traffic again", || two.b.pings(&two.address)).unwrap();
    println!("back {:?} after the refusals ended", start.elapsed());
}
