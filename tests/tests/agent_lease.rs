//! Without the authority: until the lease ends and no longer, whatever the wall clock says, and nothing in clear.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Node, Overlay, Passing, Pings, Timing, Underlay, unix_ms};
use tidegate_tests::{Capture, wait_until};

const TIMING: Timing = Timing {
    epoch: "4s",
    overlap: "1s",
    lead: "2s",
    offline_tolerance: "16s",
    certificate: "1h",
};
const SOON: Duration = Duration::from_secs(15);
/// Longer than any lease here.
const LEASE: Duration = Duration::from_secs(40);
/// Five times the five seconds within which nodes are back after the authority's return.
const BACK: Duration = Duration::from_secs(25);
/// Five times the second by which a node may stop before it has to.
const EARLY_MS: u64 = 5_000;
/// What clocks may drift apart in such a lease, and one batch.
const ALLOWANCE_MS: u64 = 200;
/// Five times what a state may be late to be seen, on a busy machine.
const SEEN_MS: u64 = 5_000;

/// Ten minutes, in milliseconds.
const TEN_MINUTES: i64 = 600_000;

/// A way by which packets for the overlay could leave in clear, if nothing stood in it.
fn add_default_routes(node: &Node) {
    node.host().route(["default", "via", "10.0.0.250"]).unwrap();
    let words = "ip -6 route replace default via fd00:5::fa";
    node.host().sh(words).unwrap();
}

/// Whatever leaves for these overlay addresses in clear; there is such a way, as a host that is no node shows.
fn watch_for_clear(overlay: &mut Overlay, addresses: [&str; 2]) -> (Node, Capture) {
    let node = overlay.host("b").unwrap();
    add_default_routes(&node);
    let filter = format!("host {} or host {}", addresses[0], addresses[1]);
    let clear = node.host().capture(node.link().device(), &filter).unwrap();
    for address in addresses {
        assert!(!node.pings(address));
    }
    let seen = clear.count().unwrap();
    assert!(seen >= 2, "before it is a node, its packets leave in clear");
    drop(clear);
    let clear = node.host().capture(node.link().device(), &filter);
    (node, clear.unwrap())
}

fn assert_stopped(node: &Node, address: &str) {
    let said = node.try_cli(["status"]).unwrap();
    assert_eq!(said.code, Some(13), "{said:?}");
    assert!(said.out.contains("lease ended"), "{said:?}");
    assert!(said.err.contains("authority"), "it says why: {said:?}");
    assert!(!node.pings(address));
    let routes = node.host().sh("ip route").unwrap();
    assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
}

/// The last answer came not after the first of the leases, and not much before.
fn judge(what: &str, pings: &Pings, lease_ms: u64) {
    let last = pings.last_ms().unwrap();
    let left = i64::try_from(lease_ms).unwrap() - i64::try_from(last).unwrap();
    println!("{what}: last answer {left} ms before the lease ended");
    assert!(last <= lease_ms + ALLOWANCE_MS, "{what} went on after it");
    assert!(last + EARLY_MS >= lease_ms, "{what} stopped early");
}

/// The earliest end of the leases of two nodes, once no grant can come any more.
fn first_lease(nodes: [&Node; 2]) -> u64 {
    let leases = nodes.map(|node| node.lease_ms().unwrap());
    leases[0].min(leases[1])
}

fn await_lost(nodes: [&Node; 2]) {
    for node in nodes {
        wait_until(SOON, "the stream's end to be seen", || {
            let status = node.status().unwrap();
            status["authority"]["stream"] == false
        })
        .unwrap();
    }
}

/// A restart after the end brings nothing back.
fn restart_stopped(node: &mut Node, address: &str) {
    node.kill();
    node.start().unwrap();
    let state = || node.status().unwrap()["state"].clone();
    wait_until(SOON, "a state", || state() != "waiting").unwrap();
    assert_stopped(node, address);
}

fn await_return(overlay: &mut Overlay, node: &Node, address: &str) {
    overlay.start_authority().unwrap();
    let start = Instant::now();
    wait_until(BACK, "traffic after the return", || node.pings(address)).unwrap();
    println!("back {:?} after the authority's return", start.elapsed());
    assert_eq!(node.status().unwrap()["state"], "up");
}

#[test]
fn nodes_work_until_the_lease_ends_then_stop_and_nothing_leaves_in_clear() {
    let mut overlay = Overlay::timed(Underlay::V4, &TIMING).unwrap();
    let a = overlay.node("a").unwrap();
    let [v4, v6] = [0, 1].map(|family| a.address(family).unwrap());
    let (mut b, clear) = watch_for_clear(&mut overlay, [&v4, &v6]);
    b.join(&overlay.invite().unwrap()).unwrap();
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    assert_eq!(clear.count().unwrap(), 0, "a node sends nothing in clear");

    overlay.kill_authority();
    await_lost([&a, &b]);
    b.kill();
    let restart = Instant::now();
    b.start().unwrap();
    wait_until(SOON, "traffic after a restart", || b.pings(&v4)).unwrap();
    println!("resumed without the authority in {:?}", restart.elapsed());
    let lease = first_lease([&a, &b]);
    let pings = [&v4, &v6].map(|address| Pings::start(b.host(), address, "0.05").unwrap());
    let arrived = Passing::start(a.host(), "tidegate", "icmp or icmp6").unwrap();
    wait_until(SOON, "answers", || {
        pings.iter().all(|pings| pings.answered() > 10)
    })
    .unwrap();

    b.await_state("lease-ended", LEASE).unwrap();
    a.await_state("lease-ended", SOON).unwrap();
    judge("IPv4", &pings[0], lease);
    judge("IPv6", &pings[1], lease);
    assert!(arrived.last_ms().unwrap() <= lease + ALLOWANCE_MS);
    assert_stopped(&b, &v4);
    restart_stopped(&mut b, &v4);
    assert!(!b.pings(&v6));
    assert_eq!(clear.count().unwrap(), 0, "packets left in clear");

    await_return(&mut overlay, &b, &v4);
    a.await_ping(&b).unwrap();
    assert_eq!(clear.count().unwrap(), 0, "packets left in clear");
}

/// How far ahead of the authority's time a node says that its wall clock is.
fn ahead_ms(node: &Node) -> i64 {
    let status = node.status().unwrap();
    status["clock"]["wall_ahead_ms"].as_i64().unwrap()
}

/// Status, doctor and log say what is wrong with the clock.
fn assert_reported(node: &Node, expected: i64) {
    let ahead = ahead_ms(node);
    assert!(ahead.abs_diff(expected) < 5_000, "{ahead}");
    let page = node.cli(["status"]).unwrap();
    let shown = page.lines().find(|line| line.starts_with("clock"));
    let sign = if expected < 0 { "-" } else { "+" };
    assert!(shown.unwrap().contains(sign), "{page}");
    let doctor = node.try_cli(["doctor", "--config", node.config().to_str().unwrap()]);
    let doctor = doctor.unwrap().out;
    let finding = doctor.lines().find(|line| line.contains(" clock "));
    assert!(finding.unwrap().starts_with("degraded"), "{doctor}");
    let log = node.daemon().unwrap().output();
    assert!(log.contains("the wall clock is"), "{log}");
}

/// The moment at which a node says that its lease is over.
fn seen_ended_ms(node: &Node) -> u64 {
    node.await_state("lease-ended", LEASE).unwrap();
    unix_ms()
}

#[test]
fn a_wall_clock_that_is_ten_minutes_wrong_changes_nothing_but_what_is_reported() {
    let mut overlay = Overlay::timed(Underlay::V4, &TIMING).unwrap();
    let mut nodes = [("fast", "+10m"), ("slow", "-10m")].map(|(name, offset)| {
        let mut node = overlay.host(name).unwrap();
        node.set_wall_clock(offset).unwrap();
        node.join(&overlay.invite().unwrap()).unwrap();
        node.start().unwrap();
        node
    });
    let [fast, slow] = &nodes;
    slow.await_ping(fast).unwrap();
    assert_reported(fast, TEN_MINUTES);
    assert_reported(slow, -TEN_MINUTES);

    overlay.kill_authority();
    await_lost([fast, slow]);
    let lease = first_lease([fast, slow]);
    let address = fast.address(0).unwrap();
    let pings = Pings::start(slow.host(), &address, "0.05").unwrap();
    wait_until(SOON, "answers", || pings.answered() > 10).unwrap();
    for node in [fast, slow] {
        let (own, seen) = (node.lease_ms().unwrap_or(lease), seen_ended_ms(node));
        assert!(seen + EARLY_MS >= own, "stopped {} ms early", own - seen);
        assert!(seen <= own + SEEN_MS, "stopped {} ms late", seen - own);
    }
    judge("clocks ten minutes off", &pings, lease);
    let [fast, slow] = &mut nodes;
    restart_stopped(fast, &slow.address(0).unwrap());
    await_return(&mut overlay, slow, &address);
}

#[test]
fn a_wall_clock_stepped_back_an_hour_prolongs_no_lease() {
    let mut overlay = Overlay::timed(Underlay::V4, &TIMING).unwrap();
    let mut nodes = ["a", "b"].map(|name| {
        let mut node = overlay.host(name).unwrap();
        node.set_wall_clock("+0").unwrap();
        node.join(&overlay.invite().unwrap()).unwrap();
        node.start().unwrap();
        node
    });
    let address = nodes[0].address(0).unwrap();
    nodes[1].await_ping(&nodes[0]).unwrap();
    assert!(ahead_ms(&nodes[1]).abs() < 2_000);
    overlay.kill_authority();
    await_lost([&nodes[0], &nodes[1]]);
    let lease = first_lease([&nodes[0], &nodes[1]]);
    let pings = Pings::start(nodes[1].host(), &address, "0.05").unwrap();
    wait_until(SOON, "answers", || pings.answered() > 10).unwrap();

    for node in &mut nodes {
        node.set_wall_clock("-1h").unwrap();
    }
    let [a, b] = &mut nodes;
    wait_until(SOON, "the step to be seen", || ahead_ms(b) < -3_500_000).unwrap();
    wait_until(SOON, "the step to be reported", || {
        let log = b.daemon().unwrap().output();
        log.contains("behind the authority's time")
    })
    .unwrap();
    // Whoever restarts now has only the stepped clock and what it kept.
    a.kill();
    a.start().unwrap();
    let now = unix_ms();
    wait_until(SOON, "traffic after a restart", || {
        pings.last_ms().is_some_and(|last| last > now)
    })
    .unwrap();
    assert!(unix_ms() < lease, "the machine was too slow to try this");
    a.await_state("lease-ended", LEASE).unwrap();
    b.await_state("lease-ended", SOON).unwrap();
    judge("clocks stepped back", &pings, lease);
    restart_stopped(b, &address);
    await_return(&mut overlay, b, &address);
    assert_reported(b, -3_600_000);
}
