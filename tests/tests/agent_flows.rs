//! Connections that exist when a rule or a node goes, on both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use tidegate_tests::liar::deafen;
use tidegate_tests::overlay::{Node, Overlay, Underlay};
use tidegate_tests::{Capture, Process, wait_until};

const SOON: Duration = Duration::from_secs(30);
/// Five times the 300 ms in which a rule or a node that has gone carries nothing any more.
const CUT_OFF: Duration = Duration::from_millis(1500);

/// A TCP connection from `b` to `a`, over which data flows all the time.
fn flow(a: &Node, b: &Node) -> [Process; 2] {
    let address = a.address(0).unwrap();
    let arguments = ["-s", "-B", &address, "--forceflush"];
    let server = a.host().spawn("iperf3", arguments).unwrap();
    server.wait_for_output(SOON, "Server listening").unwrap();
    let arguments = ["-c", &address, "-t", "120", "-b", "20M"];
    let client = b.host().spawn("iperf3", arguments).unwrap();
    server.wait_for_output(SOON, "connected to").unwrap();
    [server, client]
}

/// Puts a policy in force that has this rule instead of the starter's. Gives when it was asked for and acknowledged.
fn put_rule(overlay: &Overlay, rule: &str) -> [SystemTime; 2] {
    let text = overlay.admin(["policy", "get"]).unwrap();
    let starter = "protocol = \"any\"\n";
    assert!(text.contains(starter), "{text}");
    let path = overlay.folder().join("policy.toml");
    std::fs::write(&path, text.replace(starter, rule)).unwrap();
    let asked = SystemTime::now();
    overlay
        .admin(["policy", "put", path.to_str().unwrap()])
        .unwrap();
    [asked, SystemTime::now()]
}

#[test]
fn a_policy_closes_a_port_for_connections_that_exist() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let (a, b) = (overlay.node("a").unwrap(), overlay.node("b").unwrap());
    b.await_ping(&a).unwrap();
    let own = b.address(0).unwrap();
    let filter = format!("src {own} and tcp dst port 5201");
    let arrived = a.host().capture("tidegate", &filter).unwrap();
    let flow = flow(&a, &b);
    wait_until(SOON, "the flow", || arrived.count().unwrap() > 100).unwrap();

    // The sender goes on as before, so that what ends the flow is the receiver.
    deafen(&b).unwrap();
    let [asked, acknowledged] = put_rule(&overlay, "protocol = \"icmp\"\n");
    let version = wait_until(SOON, "the policy at a", || {
        let status = a.status().unwrap();
        status["policy"].as_u64() > b.status().unwrap()["policy"].as_u64()
    });
    version.unwrap();
    assert!(
        b.pings(&a.address(0).unwrap()),
        "what is allowed still passes"
    );
    ended(&arrived, asked, acknowledged);
    assert!(flow[1].is_running(), "the sender still tries");
    let before = arrived.count().unwrap();
    wait_until(SOON, "the sender to send again", || {
        discards(&a) > 0 && b.pings(&a.address(0).unwrap())
    })
    .unwrap();
    assert_eq!(arrived.count().unwrap(), before, "it has come back");
}

fn discards(node: &Node) -> u64 {
    let status = node.status().unwrap();
    let counts = status["plane"]["discards"].as_object().unwrap();
    counts.values().filter_map(serde_json::Value::as_u64).sum()
}

/// The last packet came in time.
fn ended(arrived: &Capture, asked: SystemTime, acknowledged: SystemTime) {
    let packets = arrived.packets().unwrap();
    let last = packets.last().unwrap().at;
    let after = |from: SystemTime| last.duration_since(from).unwrap_or_default();
    println!(
        "last packet {:?} after the change was asked for, {:?} after it was acknowledged",
        after(asked),
        after(acknowledged)
    );
    assert!(after(acknowledged) <= CUT_OFF, "{:?}", after(acknowledged));
}

/// Packets for overlay addresses on a host's way out, seen from now on.
fn in_clear(node: &Node, addresses: &[String]) -> Capture {
    let hosts: Vec<String> = addresses.iter().map(|one| format!("host {one}")).collect();
    node.host()
        .capture(
            "eth0",
            &format!("net 10.211.0.0/16 or {}", hosts.join(" or ")),
        )
        .unwrap()
}

#[test]
fn after_a_revocation_nothing_leaves_in_clear_and_nobody_waits() {
    let mut overlay = Overlay::new(Underlay::V4).unwrap();
    let a = overlay.node("a").unwrap();
    let mut b = overlay.host("b").unwrap();
    for node in [&a, &b] {
        let way_out = "ip route add default via 10.0.0.250; ip -6 route add default via fd00:5::fa";
        node.host().sh(way_out).unwrap();
    }
    // Without the agent it does leave that way, and is seen.
    let addresses = [a.address(0).unwrap(), a.address(1).unwrap()];
    let seen = in_clear(&b, &addresses);
    for address in &addresses {
        assert!(!b.pings(address));
    }
    assert_eq!(seen.count().unwrap(), 2);

    b.join(&overlay.invite().unwrap()).unwrap();
    b.start().unwrap();
    b.await_ping(&a).unwrap();
    let flow = flow(&a, &b);
    let all: Vec<String> = [&a, &b]
        .iter()
        .flat_map(|node| [0, 1].map(|family| node.address(family).unwrap()))
        .collect();
    let clear = [in_clear(&a, &all), in_clear(&b, &all)];
    overlay.admin(["revoke", "b", "--reason", "lost"]).unwrap();
    b.await_state("revoked", SOON).unwrap();
    for (node, other) in [(&a, &b), (&b, &a)] {
        nobody_waits(node, other, &all);
    }
    drop(flow);
    for capture in clear {
        assert_eq!(capture.count().unwrap(), 0, "it leaves in clear");
    }
}

/// Connections with the other are gone, and new ones get nowhere.
fn nobody_waits(node: &Node, other: &Node, all: &[String]) {
    let name = node.host().name();
    wait_until(SOON, &format!("no connection at {name}"), || {
        let sockets = node
            .host()
            .sh("ss -Htn state established dst 10.211.0.0/16");
        sockets.unwrap().is_empty()
    })
    .unwrap();
    let own = if other.host().name() == "b" {
        &all[2..]
    } else {
        &all[..2]
    };
    for address in own {
        assert!(!node.pings(address), "{name} reaches {address}");
        let datagram = format!("echo x | timeout 1 bash -c 'cat >/dev/udp/{address}/9' || true");
        node.host().sh(&datagram).unwrap();
    }
}
