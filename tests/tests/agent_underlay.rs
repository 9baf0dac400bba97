//! The network below changes while nodes talk, over IPv6 alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use tidegate_tests::overlay::{Overlay, Underlay};
use tidegate_tests::wait_until;

/// Five times the three seconds within which traffic has to resume.
const RESUME: Duration = Duration::from_secs(15);

#[test]
fn a_host_that_gets_another_ipv6_address_is_found_again() {
    let mut overlay = Overlay::new(Underlay::V6).unwrap();
    let (a, b) = (overlay.node("a").unwrap(), overlay.node("b").unwrap());
    b.await_ping(&a).unwrap();
    let (there, here) = (a.address(0).unwrap(), b.address(1).unwrap());
    b.host()
        .sh("ip -6 addr flush dev eth0 scope global; ip addr add fd00:5::77/64 dev eth0 nodad")
        .unwrap();
    let start = Instant::now();
    wait_until(RESUME, "traffic from the new address", || b.pings(&there)).unwrap();
    println!("roamed in {:?}", start.elapsed());
    wait_until(RESUME, "the peer to know the new address", || {
        a.status().unwrap()["peers"][0]["endpoint"] == "[fd00:5::77]:51820"
    })
    .unwrap();
    wait_until(RESUME, "traffic the other way", || a.pings(&here)).unwrap();
    wait_until(RESUME, "the stream from the new address", || {
        b.status().unwrap()["authority"]["stream"] == true
    })
    .unwrap();
}
