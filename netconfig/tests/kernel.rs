//! The whole way from a wish to the real kernel and back, in network namespaces.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::{Bench, desired, device, prefix, wanted, with_exit, with_gateway, with_subnets};
use tidegate_netconfig::desired::{Data, Overlap, RouteKind};
use tidegate_netconfig::{Desired, Family, Part};
use tidegate_tests::{Host, wait_until};

#[test]
fn bring_up_sets_everything_and_a_second_time_changes_nothing() {
    let bench = Bench::new();
    let outcome = bench.apply(&desired());
    assert!(outcome.settled, "{outcome:?}");
    assert_eq!(outcome.complaints().collect::<Vec<_>>(), [""; 0]);
    let link = bench.sh("ip -d addr show tg0");
    for part in [
        "UP",
        "mtu 1420",
        "qlen 700",
        "inet 100.64.0.5/32",
        "inet6 fd00:64::5/128",
    ] {
        assert!(link.contains(part), "{part} is missing: {link}");
    }
    let routes = bench.sh("ip -4 route; ip -6 route");
    for part in [
        "100.64.0.0/10 dev tg0 proto 116 scope link metric 500",
        "unreachable 100.64.0.0/10 proto 116 metric 4000000000",
        "fd00:64::/48 dev tg0 proto 116 metric 500",
        "unreachable fd00:64::/48 dev lo proto 116 metric 4000000000",
    ] {
        assert!(routes.contains(part), "{part} is missing: {routes}");
    }
    let again = bench.apply(&desired());
    assert_eq!((again.changes, again.settled), (vec![], true));
}

#[test]
fn teardown_leaves_the_host_as_it_was() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24", "2001:db8:7::1/64"])
        .unwrap();
    let before = bench.snapshot();
    let mut wish = with_gateway(&["192.168.7.0/24", "2001:db8:7::/64"]);
    wish.exit = with_exit(&Family::BOTH).exit;
    wish.routes
        .insert(prefix("10.20.0.0/16"), wanted(RouteKind::Subnet));
    let outcome = bench.apply(&wish);
    assert!(
        outcome.settled && outcome.complaints().next().is_none(),
        "{outcome:?}"
    );
    assert_ne!(bench.snapshot(), before);
    let undone = bench.undo();
    assert!(
        undone.settled && undone.complaints().next().is_none(),
        "{undone:?}"
    );
    bench.becomes(&before);
    assert_eq!(
        std::fs::read(bench.state().join("network.journal")).unwrap(),
        b""
    );
}

#[test]
fn a_changed_address_replaces_the_old_one_and_keeps_the_routes() {
    let bench = Bench::new();
    bench.apply(&desired());
    let moved = Desired {
        device: Some(device(&["100.64.0.6", "fd00:64::6"])),
        ..desired()
    };
    let outcome = bench.apply(&moved);
    assert!(outcome.settled && outcome.changes.len() == 4, "{outcome:?}");
    let addresses = bench.sh("ip addr show tg0; ip route");
    assert!(
        addresses.contains("100.64.0.6/32") && !addresses.contains("100.64.0.5/32"),
        "{addresses}"
    );
    assert!(addresses.contains("100.64.0.0/10 dev tg0"), "{addresses}");
}

#[test]
fn a_thousand_routes_come_and_go_quickly() {
    let bench = Bench::new();
    let before = bench.snapshot();
    bench.apply(&desired());
    let up = bench.snapshot();
    let subnets: Vec<String> = (0..500)
        .flat_map(|n| {
            [
                format!("10.{}.{}.0/24", n / 250, n % 250),
                format!("fd10:{n:x}::/48"),
            ]
        })
        .collect();
    let many = with_subnets(&subnets.iter().map(String::as_str).collect::<Vec<_>>());
    let (added, withdrawn, changes) = bench.agent(|host| {
        let start = Instant::now();
        let add = host.reconcile(&many).unwrap();
        let added = start.elapsed();
        let start = Instant::now();
        let remove = host.reconcile(&desired()).unwrap();
        assert!(add.settled && remove.settled);
        (
            added,
            start.elapsed(),
            (add.changes.len(), remove.changes.len()),
        )
    });
    assert_eq!(changes, (2000, 2000), "each with its guard");
    println!("1,000 routes: added in {added:?}, withdrawn in {withdrawn:?}");
    assert!(
        added + withdrawn < Duration::from_secs(5),
        "{added:?} {withdrawn:?}"
    );
    bench.becomes(&up);
    bench.undo();
    bench.becomes(&before);
}

#[test]
fn conflicts_keep_one_route_out_and_the_lan_reachable() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["10.1.2.1/24", "fd10:1::1/64"])
        .unwrap();
    let neighbour = bench.lab.host("neighbour").unwrap();
    lan.attach(&neighbour, &["10.1.2.2/24"]).unwrap();
    bench.sh("ip route add 10.3.0.0/24 via 10.1.2.2");
    let mut wish = with_subnets(&[
        "10.1.0.0/16",
        "10.1.2.128/25",
        "10.3.0.0/16",
        "10.4.0.0/16",
        "fd10:1::/48",
    ]);
    let outcome = bench.apply(&wish);
    let told: Vec<String> = outcome.conflicts.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(
        told[0].contains("route 10.1.0.0/16 is not installed: 10.1.2.0/24 is directly connected"),
        "{told:?}"
    );
    assert!(
        told[0].contains("allow overlap for 10.1.0.0/16"),
        "{told:?}"
    );
    let routes = bench.sh("ip route");
    assert!(
        routes.contains("10.4.0.0/16 dev tg0") && !routes.contains("10.1.0.0/16 dev"),
        "{routes}"
    );
    assert!(
        !routes.contains("10.1.2.128/25"),
        "a guard would cut the LAN in two: {routes}"
    );
    bench.host.run("ping", ["-c1", "-W2", "10.1.2.2"]).unwrap();
    for wanted in wish.routes.values_mut() {
        wanted.overlap = Overlap::Allow;
    }
    let allowed = bench.apply(&wish);
    assert_eq!(allowed.conflicts, []);
    assert!(bench.sh("ip route get 10.1.2.200").contains("dev tg0"));
}

#[test]
fn guards_hold_when_the_data_stops_and_when_the_device_vanishes() {
    let mut bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["10.1.2.1/24"]).unwrap();
    bench.sh("ip route add default via 10.1.2.2");
    let wish = with_subnets(&["10.9.0.0/16"]);
    bench.apply(&wish);
    for target in ["100.64.3.3", "10.9.0.1"] {
        assert!(
            bench
                .sh(&format!("ip route get {target}"))
                .contains("dev tg0")
        );
    }
    bench.apply(&Desired {
        data: Data::Stopped,
        ..wish.clone()
    });
    for target in ["100.64.3.3", "10.9.0.1", "fd00:64::9"] {
        let refused = bench
            .host
            .sh(&format!("ip route get {target}"))
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("unreachable") || refused.contains("No route to host"),
            "{target}: {refused}"
        );
    }
    bench.apply(&wish);
    assert!(bench.sh("ip route get 100.64.3.3").contains("dev tg0"));
    drop(bench.tunnel.take());
    for target in ["100.64.3.3", "10.9.0.1"] {
        let lookup = format!("ip route get {target}");
        // The kernel takes a closed device down in the background.
        wait_until(Duration::from_secs(5), "the guard to show", || {
            bench.host.sh(&lookup).is_err()
        })
        .unwrap();
    }
    assert!(bench.apply(&wish).lacks(Part::Device));
    bench.undo();
    assert!(
        bench.sh("ip route get 100.64.3.3").contains("via 10.1.2.2"),
        "after down it is the host's again"
    );
}

#[test]
fn an_exit_takes_everything_but_the_lan_and_the_tunnels_own_packets() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["10.1.2.1/24", "fd10:1::1/64"])
        .unwrap();
    bench.sh("ip route add default via 10.1.2.2; ip -6 route add default via fd10:1::2");
    let before = bench.snapshot();
    let wish = with_exit(&Family::BOTH);
    let outcome = bench.apply(&wish);
    assert!(
        outcome.settled && outcome.complaints().next().is_none(),
        "{outcome:?}"
    );
    let mark = wish.marks.fwmark;
    for (target, marked, expected) in [
        ("9.9.9.9", false, "dev tg0"),
        ("2001:db8::9", false, "dev tg0"),
        ("10.1.2.9", false, "dev eth0"),
        ("fd10:1::9", false, "dev eth0"),
        ("9.9.9.9", true, "via 10.1.2.2 dev eth0"),
        ("2001:db8::9", true, "via fd10:1::2 dev eth0"),
    ] {
        let mark = if marked {
            format!("mark {mark}")
        } else {
            String::new()
        };
        let found = bench.sh(&format!("ip route get {target} {mark}"));
        assert!(found.contains(expected), "{target} {mark}: {found}");
    }
    bench.apply(&Desired {
        data: Data::Stopped,
        ..wish
    });
    bench.host.sh("ip route get 9.9.9.9").unwrap_err();
    assert!(bench.sh("ip route get 10.1.2.9").contains("dev eth0"));
    bench.undo();
    bench.becomes(&before);
}

#[test]
fn with_a_strict_check_of_the_way_back_the_tunnels_answers_still_arrive() {
    let bench = Bench::new();
    let net = bench.lab.network("underlay").unwrap();
    net.attach(&bench.host, &["10.1.2.1/24"]).unwrap();
    let router = bench.lab.host("router").unwrap();
    net.attach(&router, &["10.1.2.2/24", "198.51.100.7/32"])
        .unwrap();
    bench.sh("ip route add default via 10.1.2.2; sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1");
    let wish = with_exit(&[Family::V4]);
    bench.apply(&wish);
    let server = router
        .spawn("python3", ["-uc", "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('198.51.100.7', 5000))\nprint('ready')\nwhile True:\n d, a = s.recvfrom(99)\n s.sendto(d, a)"])
        .unwrap();
    server
        .wait_for_output(Duration::from_secs(20), "ready")
        .unwrap();
    let ask = format!(
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.setsockopt(socket.SOL_SOCKET, 36, {})\ns.settimeout(5)\ns.sendto(b'x', ('198.51.100.7', 5000))\nprint(s.recvfrom(99))",
        wish.marks.fwmark
    );
    bench.host.run("python3", ["-c", &ask]).unwrap();
    server.stop().ok();
}

#[test]
fn a_gateway_masquerades_answers_and_forwards_nothing_else() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    let other = bench.lab.network("other").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    other.attach(&bench.host, &["192.168.8.1/24"]).unwrap();
    let server = bench.lab.host("server").unwrap();
    lan.attach(&server, &["192.168.7.2/24"]).unwrap();
    server
        .sh("ip route add 192.168.8.0/24 via 192.168.7.1")
        .unwrap();
    let stranger = bench.lab.host("stranger").unwrap();
    other.attach(&stranger, &["192.168.8.2/24"]).unwrap();
    stranger.sh("ip route add default via 192.168.8.1").unwrap();
    let before = bench.snapshot();
    let outcome = bench.apply(&with_gateway(&["192.168.7.0/24"]));
    assert!(
        outcome.settled && outcome.complaints().next().is_none(),
        "{outcome:?}"
    );
    let tunnel = bench.tunnel.as_ref().unwrap();
    let peer = [100, 64, 0, 9];
    // A peer of the overlay asks a host that is not served, and one that is, which knows no way back to the overlay.
    tunnel.send(&echo_request(peer, [192, 168, 8, 2])).unwrap();
    tunnel.send(&echo_request(peer, [192, 168, 7, 2])).unwrap();
    let answer = receive_echo(tunnel);
    assert_eq!(
        (answer[20], &answer[12..16], &answer[16..20]),
        (0, &[192, 168, 7, 2][..], &peer[..])
    );
    // The LAN starts nothing towards the overlay: the peer hears the answer to its next question first.
    server
        .sh("ip route add 100.64.0.0/10 via 192.168.7.1; ping -c1 -W1 100.64.0.9 || true")
        .unwrap();
    tunnel.send(&echo_request(peer, [192, 168, 7, 2])).unwrap();
    assert_eq!(receive_echo(tunnel)[20], 0);
    // All of that is the firewall's work: more is served when it is told so, and all passes when it is gone.
    bench.apply(&with_gateway(&["192.168.7.0/24", "192.168.8.0/24"]));
    tunnel.send(&echo_request(peer, [192, 168, 8, 2])).unwrap();
    assert_eq!(receive_echo(tunnel)[12..16], [192, 168, 8, 2]);
    bench.sh("nft delete table inet tidegate");
    server.sh("ping -c1 -W1 100.64.0.9 || true").unwrap();
    assert_eq!(receive_echo(tunnel)[20], 8);
    bench.apply(&with_gateway(&["192.168.7.0/24"]));
    // Not served, and not between other links, as before.
    stranger.run("ping", ["-c1", "-W1", "192.168.8.1"]).unwrap();
    stranger
        .run("ping", ["-c1", "-W1", "192.168.7.2"])
        .unwrap_err();
    let dropped = "nft list chain inet tidegate forward";
    assert!(
        bench
            .sh(dropped)
            .contains("no other IPv4 forwarding than tg0")
    );
    bench.undo();
    bench.becomes(&before);
}

fn echo_request(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0];
    packet.extend(from);
    packet.extend(to);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum);
    let mut echo = vec![8, 0, 0, 0, 0, 7, 0, 1];
    let sum = checksum(&echo);
    echo[2..4].copy_from_slice(&sum);
    packet.extend(echo);
    packet
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap().to_be_bytes()
}

/// The next ICMP echo request or reply, past what the kernel sends by itself, such as router solicitations.
fn receive_echo(tunnel: &tun_rs::SyncDevice) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    tunnel.set_nonblocking(true).unwrap();
    let mut packet = [0; 2000];
    while Instant::now() < deadline {
        match tunnel.recv(&mut packet) {
            Ok(length) if packet[0] >> 4 == 4 && packet[9] == 1 && [0, 8].contains(&packet[20]) => {
                return packet[..length].to_vec();
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    panic!("no echo came through the tunnel");
}

/// A host with a default route over the one with the gateway.
fn guest(bench: &Bench, name: &str, network: u8) -> Host {
    let link = bench.lab.network(name).unwrap();
    let gateway = format!("192.168.{network}.1");
    link.attach(&bench.host, &[&format!("{gateway}/24")])
        .unwrap();
    let host = bench.lab.host(name).unwrap();
    link.attach(&host, &[&format!("192.168.{network}.2/24")])
        .unwrap();
    host.route(["default", "via", &gateway]).unwrap();
    host
}

#[test]
fn only_a_served_network_that_is_not_masqueraded_begins_and_nobody_passes_for_it() {
    let bench = Bench::new();
    let (served, other) = (guest(&bench, "served", 7), guest(&bench, "other", 8));
    let mut wish = with_gateway(&["192.168.7.0/24", "0.0.0.0/0"]);
    let begins = |host: &Host, words: &str| {
        let ping = format!("ping -c1 -W1 {words} 100.64.0.9 || true");
        host.sh(&ping).unwrap();
    };
    bench.apply(&wish);
    begins(&served, "-p a1");
    wish.gateway.as_mut().unwrap().masquerade = false;
    bench.apply(&wish);
    begins(&other, "-p a2");
    // Its own address is the served network's, but not the way it comes.
    other.sh("ip addr add 192.168.7.9/32 dev lo").unwrap();
    begins(&other, "-p a3 -I 192.168.7.9");
    begins(&served, "-p a4");
    let tunnel = bench.tunnel.as_ref().unwrap();
    let echo = receive_echo(tunnel);
    assert_eq!((echo[20], &echo[12..16]), (8, &[192, 168, 7, 2][..]));
    assert_eq!(echo[echo.len() - 1], 0xa4, "what came before was dropped");
    // And that was the firewall's work.
    bench.sh("nft delete table inet tidegate");
    begins(&other, "-p a5 -I 192.168.7.9");
    assert_eq!(receive_echo(tunnel)[12..16], [192, 168, 7, 9]);
    bench.undo();
}

#[test]
fn ipv6_gateways_keep_the_hosts_own_router_advertisements() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["2001:db8:7::1/64"]).unwrap();
    bench.sh("sysctl -w net.ipv6.conf.eth0.accept_ra=1");
    let before = bench.snapshot();
    bench.apply(&with_gateway(&["2001:db8:7::/64"]));
    let read = |name: &str| bench.sh(&format!("sysctl -n {name}")).trim().to_owned();
    assert_eq!(
        (
            read("net.ipv6.conf.all.forwarding"),
            read("net.ipv6.conf.eth0.accept_ra")
        ),
        ("1".into(), "2".into())
    );
    assert_eq!(read("net.ipv4.ip_forward"), "0", "nothing asked for IPv4");
    bench.undo();
    bench.becomes(&before);
}

#[test]
fn settings_that_were_on_before_are_restored_exactly() {
    let bench = Bench::new();
    let lan = bench.lab.network("lan").unwrap();
    lan.attach(&bench.host, &["192.168.7.1/24"]).unwrap();
    bench.sh("sysctl -w net.ipv4.conf.eth0.forwarding=1 net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.default.forwarding=1");
    let before = bench.snapshot();
    bench.apply(&with_gateway(&["192.168.7.0/24"]));
    bench.undo();
    bench.becomes(&before);
}

#[test]
fn marks_that_changed_between_two_starts_leave_nothing_behind() {
    let bench = Bench::new();
    let before = bench.snapshot();
    bench.apply(&with_exit(&Family::BOTH));
    let marks = tidegate_netconfig::desired::Marks {
        protocol: 117,
        nft_table: "other".into(),
        ..Default::default()
    };
    let state = bench.state();
    bench
        .host
        .enter(move || {
            tidegate_netconfig::Host::open(&state, marks)
                .unwrap()
                .undo()
                .unwrap()
        })
        .unwrap();
    bench.becomes(&before);
}

#[test]
fn the_journal_of_an_earlier_boot_is_void() {
    let bench = Bench::new();
    bench.apply(&desired());
    let path = bench.state().join("network.journal");
    let text = std::fs::read_to_string(&path).unwrap();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let old: String = text
        .lines()
        .map(|line| line[9..].replace(boot.trim(), "an-earlier-boot"))
        .fold(String::new(), |all, body| {
            format!("{all}{:08x} {body}\n", crc32fast::hash(body.as_bytes()))
        });
    std::fs::write(&path, old).unwrap();
    bench.agent(|_| ());
    assert_eq!(std::fs::read(&path).unwrap(), b"");
}
