//! Two hosts join a network and talk; one is put out while they do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Overlay, Underlay};
use tidegate_tests::wait_until;

/// Five times what is promised, for a machine that does something else as well.
const JOIN_TO_PING: Duration = Duration::from_secs(10);
/// The same for the last packet to a node that is out.
const CUT_OFF: Duration = Duration::from_millis(1500);

fn two(underlay: Underlay) {
    let mut overlay = Overlay::new(underlay).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    b.configure("").unwrap();
    b.join(&overlay.invite().unwrap()).unwrap();
    let admitted = Instant::now();
    b.start().unwrap();
    let address = a.address(0).unwrap();
    wait_until(JOIN_TO_PING, "the first ping", || b.pings(&address)).unwrap();
    println!("join to first ping: {:?}", admitted.elapsed());
    assert!(admitted.elapsed() <= JOIN_TO_PING);
    a.await_ping(&b).unwrap();
    b.await_ping(&a).unwrap();
    let status = a.status().unwrap();
    assert_eq!(status["state"], "up");
    assert_eq!(status["peers"][0]["name"], "b");
    a.cli(["ping", "b", "-c", "1"]).unwrap();

    cut_off(&overlay, &a, &b);
}

/// Pings run; the revocation is made; from then on nothing arrives, and what was in flight dies.
fn cut_off(
    overlay: &Overlay,
    a: &tidegate_tests::overlay::Node,
    b: &tidegate_tests::overlay::Node,
) {
    let address = a.address(0).unwrap();
    let own = b.address(0).unwrap();
    let server = a
        .host()
        .spawn("iperf3", ["-s", "-B", &address, "--forceflush"])
        .unwrap();
    server
        .wait_for_output(Duration::from_secs(10), "Server listening")
        .unwrap();
    // A capture that begins amid traffic never settles what passed before its filter was in place.
    let arrived = a.host().capture("tidegate", &format!("src {own}")).unwrap();
    let arguments = ["-c", &address, "-t", "60", "-b", "20M"];
    let flow = b.host().spawn("iperf3", arguments).unwrap();
    let sockets = || a.host().sh(&format!("ss -Htn dst {own}")).unwrap();
    wait_until(Duration::from_secs(10), "the flow", || {
        !sockets().is_empty()
    })
    .unwrap();

    let arguments = ["revoke", "b", "--reason", "lost"];
    overlay.admin(arguments).unwrap();
    let returned = Instant::now();
    wait_until(CUT_OFF, "the peer to be gone at a", || {
        let status = a.status().unwrap();
        status["peers"].as_array().unwrap().is_empty()
    })
    .unwrap();
    wait_until(CUT_OFF, "the flow's sockets to be dead", || {
        sockets().is_empty()
    })
    .unwrap();
    println!(
        "cut off and sockets dead {:?} after the call",
        returned.elapsed()
    );
    let before = arrived.count().unwrap();
    assert!(!b.pings(&address), "a node that is out is answered");
    assert_eq!(
        arrived.count().unwrap(),
        before,
        "packets of a node that is out arrived"
    );
    assert!(before > 0, "the capture saw nothing at all");
    drop(flow);

    b.await_state("revoked", Duration::from_secs(10)).unwrap();
    let said = b.try_cli(["status"]).unwrap();
    assert_eq!(said.code, Some(11), "{said:?}");
    assert!(said.out.contains("revoked"), "{said:?}");
    let routes = b.host().sh("ip route").unwrap();
    assert!(routes.contains("unreachable 10.211.0.0/16"), "{routes}");
    wait_until(Duration::from_secs(10), "the receipt", || {
        a.status().unwrap()["list"]["confirmed"] == true
    })
    .unwrap();
}

#[test]
fn two_hosts_join_and_ping_and_one_is_cut_off() {
    two(Underlay::V4);
}

#[test]
fn the_same_over_an_ipv6_underlay() {
    two(Underlay::V6);
}
