//! Sockets to a revoked address, and the way that the tunnel's packets take.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use support::{Bench, with_exit};
use tidegate_netconfig::Family;
use tidegate_netconfig::mtu::{Path, tunnel_mtu};
use tidegate_tests::{Host as LabHost, Process, wait_until};

/// A program that connects, says so, and tells how its connection ended.
fn connect(host: &LabHost, kind: &str, address: &str) -> Process {
    let family = if address.contains(':') {
        "AF_INET6"
    } else {
        "AF_INET"
    };
    let script = format!(
        "import socket\ns = socket.socket(socket.{family}, socket.{kind})\ns.connect(('{address}', 5000))\ns.send(b'x')\nprint('connected')\n\
         try:\n s.recv(9)\n print('ended')\nexcept OSError as e:\n print('error', e.errno)"
    );
    let process = host.spawn("python3", ["-uc", &script]).unwrap();
    process
        .wait_for_output(Duration::from_secs(20), "connected")
        .unwrap();
    process
}

fn serve(host: &LabHost) -> Process {
    let script = "import socket\n\
        t = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)\nt.bind(('::', 5000))\nt.listen()\n\
        u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\nu.bind(('::', 5000))\n\
        print('ready')\nheld = []\nwhile True:\n held.append(t.accept())";
    let process = host.spawn("python3", ["-uc", script]).unwrap();
    process
        .wait_for_output(Duration::from_secs(20), "ready")
        .unwrap();
    process
}

#[test]
fn sockets_to_a_revoked_address_end_and_others_live() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24", "fd07::1/64"])
        .unwrap();
    let peer = bench.lab.host("peer").unwrap();
    lan.attach(&peer, &["192.168.7.2/24", "192.168.7.3/24", "fd07::2/64"])
        .unwrap();
    let server = serve(&peer);
    let spared = connect(&bench.host, "SOCK_STREAM", "192.168.7.3");
    for (kind, address) in [
        ("SOCK_STREAM", "192.168.7.2"),
        ("SOCK_DGRAM", "192.168.7.2"),
        ("SOCK_STREAM", "fd07::2"),
    ] {
        let client = connect(&bench.host, kind, address);
        let revoked = address.parse().unwrap();
        let destroyed = bench
            .agent(move |host| host.destroy_sockets(revoked))
            .unwrap();
        assert_eq!(
            (destroyed.sockets, destroyed.refused),
            (1, 0),
            "{kind} {address}: {destroyed:?}"
        );
        client
            .wait_for_output(Duration::from_secs(20), "error 103")
            .unwrap();
        let again = bench
            .agent(move |host| host.destroy_sockets(revoked))
            .unwrap();
        assert_eq!((again.sockets, again.refused), (0, 0));
    }
    assert!(spared.is_running());
    spared.stop().ok();
    server.stop().ok();
}

/// Servers that take both families see IPv4 clients under mapped addresses.
#[test]
fn a_servers_sockets_of_both_families_end() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    let peer = bench.lab.host("peer").unwrap();
    lan.attach(&peer, &["192.168.7.2/24", "192.168.7.3/24"])
        .unwrap();
    let server = serve(&bench.host);
    let revoked = connect(&peer, "SOCK_STREAM", "192.168.7.1");
    let address = "192.168.7.2".parse().unwrap();
    let sockets = || bench.host.sh("ss -Htn state established").unwrap();
    wait_until(Duration::from_secs(20), "the server's socket", || {
        sockets().contains("[::ffff:192.168.7.2]")
    })
    .unwrap();
    let other = "192.168.7.3".parse().unwrap();
    let none = bench
        .agent(move |host| host.destroy_sockets(other))
        .unwrap();
    assert_eq!((none.sockets, none.refused), (0, 0), "{none:?}");
    let one = bench
        .agent(move |host| host.destroy_sockets(address))
        .unwrap();
    assert_eq!((one.sockets, one.refused), (1, 0), "{one:?}");
    assert_eq!(sockets(), "");
    revoked.stop().ok();
    server.stop().ok();
}

#[test]
fn the_path_to_a_peer_follows_route_link_and_router() {
    let bench = Bench::new();
    let near = bench.lab.network("near").unwrap();
    let far = bench.lab.network("far").unwrap();
    near.attach(&bench.host, &["10.1.0.1/24"]).unwrap();
    let router = bench.lab.host("router").unwrap();
    near.attach(&router, &["10.1.0.2/24"]).unwrap();
    let narrow = far.attach(&router, &["10.2.0.1/24"]).unwrap();
    router.forward().unwrap();
    let peer = bench.lab.host("peer").unwrap();
    far.attach(&peer, &["10.2.0.2/24"]).unwrap();
    peer.route(["default", "via", "10.2.0.1"]).unwrap();
    let endpoint = "10.2.0.2".parse().unwrap();
    let path = || bench.agent(move |host| host.path_to(endpoint)).unwrap();
    assert_eq!(path(), None, "there is no route");
    bench.sh("ip route add default via 10.1.0.2");
    let found = path().unwrap();
    assert_eq!(
        found,
        Path {
            link: 3,
            source: Some("10.1.0.1".parse().unwrap()),
            mtu: 1500
        }
    );
    assert_eq!(tunnel_mtu(found.mtu, Family::V4, 0, Family::BOTH), 1440);
    bench.apply(&with_exit(&[Family::V4]));
    assert_eq!(
        path(),
        Some(found),
        "the tunnel's own packets do not go into the tunnel"
    );
    bench.undo();
    bench.sh("ip route replace default via 10.1.0.2 mtu 1450");
    assert_eq!(path().unwrap().mtu, 1450);
    bench.sh("ip route replace default via 10.1.0.2");
    // A router on the way has a narrower link and says so.
    narrow.set_mtu(1300).unwrap();
    let complained = || {
        let _ = bench
            .host
            .run("ping", ["-c1", "-W1", "-s1400", "-Mdo", "10.2.0.2"]);
        path().unwrap().mtu == 1300
    };
    wait_until(Duration::from_secs(20), "the kernel to learn", complained).unwrap();
}
