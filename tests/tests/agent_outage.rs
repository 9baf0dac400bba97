//! Without the authority, after its return, with another address below, and before an admission.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Overlay, Underlay};
use tidegate_tests::wait_until;

/// Five times what is promised.
const RESUME: Duration = Duration::from_secs(15);
const BACK: Duration = Duration::from_secs(25);

#[test]
fn nodes_go_on_without_the_authority_through_restarts_and_find_it_again() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.node("b").unwrap();
    b.await_ping(&a).unwrap();
    let address = a.address(0).unwrap();
    overlay.kill_authority();
    assert!(b.pings(&address));
    wait_until(RESUME, "the stream's end to be seen", || {
        b.status().unwrap()["authority"]["stream"] == false
    })
    .unwrap();

    b.kill();
    let start = Instant::now();
    b.start().unwrap();
    wait_until(RESUME, "traffic after a restart", || b.pings(&address)).unwrap();
    println!("resumed without the authority after {:?}", start.elapsed());
    assert_eq!(b.status().unwrap()["state"], "up");

    overlay.start_authority().unwrap();
    let start = Instant::now();
    wait_until(BACK, "the stream to be back", || {
        b.status().unwrap()["authority"]["stream"] == true
    })
    .unwrap();
    println!("found the authority again after {:?}", start.elapsed());
}

#[test]
fn a_host_that_gets_another_address_is_found_again() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let b = overlay.node("b").unwrap();
    b.await_ping(&a).unwrap();
    let address = a.address(0).unwrap();
    b.host()
        .sh("ip addr flush dev eth0 scope global; ip addr add 10.0.0.77/24 dev eth0")
        .unwrap();
    let start = Instant::now();
    wait_until(RESUME, "traffic from the new address", || b.pings(&address)).unwrap();
    println!("roamed in {:?}", start.elapsed());
    wait_until(RESUME, "the peer to know the new address", || {
        let status = a.status().unwrap();
        status["peers"][0]["endpoint"] == "10.0.0.77:51820"
    })
    .unwrap();
}

#[test]
fn a_node_without_an_invite_waits_for_an_operator() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    let (genesis, state) = (overlay.dir().join("genesis/genesis-1.json"), b.state());
    let asked = b
        .try_run([
            "join",
            "--genesis",
            genesis.to_str().unwrap(),
            "--name",
            "b",
            "--no-start",
            "--state-dir",
            state.to_str().unwrap(),
        ])
        .unwrap();
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.out.contains("has to admit"), "{asked:?}");
    b.spawn_pending().unwrap();
    let waiting = b.try_cli(["status"]).unwrap();
    assert_eq!(waiting.code, Some(15), "{waiting:?}");
    assert!(waiting.err.contains("approve"), "{waiting:?}");

    overlay.admin(["approve", "b"]).unwrap();
    let admitted = Instant::now();
    b.await_ping(&a).unwrap();
    println!("admission to first ping: {:?}", admitted.elapsed());
}

#[test]
fn a_suspended_node_stops_and_returns_by_itself() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let b = overlay.node("b").unwrap();
    b.await_ping(&a).unwrap();
    let address = a.address(0).unwrap();
    overlay
        .admin(["suspend", "b", "--reason", "looked-at"])
        .unwrap();
    b.await_state("suspended", RESUME).unwrap();
    assert_eq!(b.try_cli(["status"]).unwrap().code, Some(12));
    assert!(!b.pings(&address));
    let routes = b.host().sh("ip route").unwrap();
    assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
    overlay.admin(["reinstate", "b"]).unwrap();
    let start = Instant::now();
    wait_until(BACK, "traffic after the reinstatement", || {
        b.pings(&address)
    })
    .unwrap();
    println!("back {:?} after the reinstatement", start.elapsed());
}
