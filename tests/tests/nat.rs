//! What the kinds of address translation show to the outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use tidegate_tests::{Direction, Host, Lab, Nat, Network, Router};

const SOON: Duration = Duration::from_secs(10);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const PORTS: [u16; 4] = [7000, 7001, 7002, 7003];

/// One inside host behind a router, and two servers and a stranger outside.
struct World {
    lab: Lab,
    home: Network,
    router: Router,
    inside: UdpSocket,
    /// Two servers, and four sockets of each.
    servers: [Vec<UdpSocket>; 2],
    stranger: UdpSocket,
}

fn socket(host: &Host, at: &str) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

fn world(nat: Nat) -> World {
    let lab = Lab::new().unwrap();
    let (home, internet) = (
        lab.network("home").unwrap(),
        lab.network("internet").unwrap(),
    );
    let outside = ["203.0.113.1/24", "2001:db8::1/64"];
    let router = lab
        .router(
            "router",
            (&home, &["192.168.1.1/24", "fd00::1/64"]),
            (&internet, &outside),
            nat,
        )
        .unwrap();
    let inner = lab.host("inner").unwrap();
    home.attach(&inner, &["192.168.1.2/24", "fd00::2/64"])
        .unwrap();
    inner.route(["default", "via", "192.168.1.1"]).unwrap();
    inner.route(["default", "via", "fd00::1"]).unwrap();
    let servers = [2, 3].map(|number| {
        let server = lab.host(&format!("server{number}")).unwrap();
        let (ipv4, ipv6) = (
            format!("203.0.113.{number}"),
            format!("2001:db8::{number}/64"),
        );
        internet
            .attach(&server, &[&format!("{ipv4}/24"), &ipv6])
            .unwrap();
        server.route(["fd00::/64", "via", "2001:db8::1"]).unwrap();
        PORTS
            .map(|port| socket(&server, &format!("{ipv4}:{port}")))
            .into()
    });
    let outsider = lab.host("outsider").unwrap();
    internet.attach(&outsider, &["203.0.113.9/24"]).unwrap();
    let (inside, stranger) = (
        socket(&inner, "192.168.1.2:5000"),
        socket(&outsider, "203.0.113.9:9"),
    );
    World {
        lab,
        home,
        router,
        inside,
        servers,
        stranger,
    }
}

/// Sends from inside to a server's socket, and returns the address that it sees.
fn mapping(inside: &UdpSocket, server: &UdpSocket) -> SocketAddr {
    inside
        .send_to(b"hello", server.local_addr().unwrap())
        .unwrap();
    let mut buffer = [0; 16];
    let (length, seen) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"hello");
    assert_eq!(seen.ip(), OUTSIDE);
    seen
}

/// Whether a datagram from `from` reaches the inside at `mapped`, told by one that `contacted` sends after it.
fn admits(inside: &UdpSocket, contacted: &UdpSocket, from: &UdpSocket, mapped: SocketAddr) -> bool {
    from.send_to(b"knock", mapped).unwrap();
    contacted.send_to(b"answer", mapped).unwrap();
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != b"answer") {
        let mut buffer = [0; 16];
        let (length, source) = inside.recv_from(&mut buffer).unwrap();
        let expected = if &buffer[..length] == b"knock" {
            from
        } else {
            contacted
        };
        assert_eq!(source, expected.local_addr().unwrap());
        heard.push(buffer[..length].to_vec());
    }
    heard.len() == 2
}

/// The mapping that every server sees if it is the same, and who else reaches the inside there.
#[derive(Debug, Eq, PartialEq)]
struct Shown {
    mappings: Mappings,
    stranger: bool,
    other_port: bool,
}

#[derive(Debug, Eq, PartialEq)]
enum Mappings {
    One,
    OneForEachDestination,
}

fn shown(nat: Nat) -> Shown {
    let World {
        lab: _lab,
        inside,
        servers,
        stranger,
        ..
    } = world(nat);
    let contacted = &servers[0][0];
    let mapped = mapping(&inside, contacted);
    let other_port = admits(&inside, contacted, &servers[0][3], mapped);
    let stranger = admits(&inside, contacted, &stranger, mapped);
    let again = mapping(&inside, contacted);
    assert_eq!(again, mapped);
    let destinations = [
        &servers[0][1],
        &servers[0][2],
        &servers[1][0],
        &servers[1][1],
    ];
    let mut seen: BTreeSet<SocketAddr> = destinations.map(|server| mapping(&inside, server)).into();
    seen.insert(mapped);
    let mappings = match seen.len() {
        1 => Mappings::One,
        // Two of five random ports may coincide, though hardly ever.
        4.. => Mappings::OneForEachDestination,
        _ => panic!("{seen:?} is neither"),
    };
    Shown {
        mappings,
        stranger,
        other_port,
    }
}

#[test]
fn behind_a_full_cone_everybody_reaches_the_one_mapping() {
    assert_eq!(
        shown(Nat::FullCone),
        Shown {
            mappings: Mappings::One,
            stranger: true,
            other_port: true
        }
    );
}

#[test]
fn behind_an_address_restricted_cone_a_contacted_address_does() {
    assert_eq!(
        shown(Nat::AddressRestricted),
        Shown {
            mappings: Mappings::One,
            stranger: false,
            other_port: true
        }
    );
}

#[test]
fn behind_a_port_restricted_cone_only_the_contacted_port_does() {
    assert_eq!(
        shown(Nat::PortRestricted),
        Shown {
            mappings: Mappings::One,
            stranger: false,
            other_port: false
        }
    );
}

#[test]
fn a_symmetric_router_has_a_mapping_for_each_destination() {
    let expected = Shown {
        mappings: Mappings::OneForEachDestination,
        stranger: false,
        other_port: false,
    };
    assert_eq!(shown(Nat::Symmetric), expected);
}

#[test]
fn a_knock_from_outside_does_not_spoil_the_mapping_to_come() {
    let World {
        lab: _lab,
        inside,
        servers,
        ..
    } = world(Nat::PortRestricted);
    let (first, second) = (&servers[0][0], &servers[1][0]);
    let mapped = mapping(&inside, first);
    // This is how hole punching begins: the other side is a little early.
    assert!(!admits(&inside, first, second, mapped));
    assert_eq!(mapping(&inside, second), mapped);
    assert!(admits(&inside, first, second, mapped));
}

#[test]
fn two_inside_hosts_with_one_port_have_a_mapping_each() {
    let World {
        lab,
        home,
        inside,
        servers,
        stranger,
        ..
    } = world(Nat::FullCone);
    let other = lab.host("other").unwrap();
    home.attach(&other, &["192.168.1.3/24"]).unwrap();
    other.route(["default", "via", "192.168.1.1"]).unwrap();
    let other = socket(&other, "192.168.1.3:5000");
    let server = &servers[0][0];
    let mapped = [&inside, &other].map(|socket| (socket, mapping(socket, server)));
    assert_ne!(mapped[0].1, mapped[1].1);
    for (socket, mapped) in mapped {
        assert!(admits(socket, server, &stranger, mapped));
    }
}

#[test]
fn a_router_that_forgets_admits_nobody_until_the_inside_speaks() {
    let World {
        lab: _lab,
        router,
        inside,
        servers,
        stranger,
        ..
    } = world(Nat::FullCone);
    let contacted = &servers[0][0];
    let mapped = mapping(&inside, contacted);
    assert!(admits(&inside, contacted, &stranger, mapped));
    let refused = router.inside.count("meta l4proto udp").unwrap();
    router.forget().unwrap();
    stranger.send_to(b"lost", mapped).unwrap();
    let mapped = mapping(&inside, &servers[1][0]);
    assert!(admits(&inside, &servers[1][0], &stranger, mapped));
    // One out and two in; the lost one is not among them.
    assert_eq!(refused.packets(Direction::Out), Ok(2));
}

#[test]
fn ipv6_is_not_translated_and_only_answers_come_in() {
    let World { lab, .. } = world(Nat::PortRestricted);
    let (inner, server) = (lab.find("inner").unwrap(), lab.find("server2").unwrap());
    let seen = server.capture("eth0", "icmp6 and ip6[40] == 128").unwrap();
    inner.run("ping", ["-c1", "-W2", "2001:db8::2"]).unwrap();
    let source: [u8; 16] = seen.packets().unwrap()[0].data[22..38].try_into().unwrap();
    assert_eq!(std::net::Ipv6Addr::from(source).to_string(), "fd00::2");
    server.run("ping", ["-c1", "-W1", "fd00::2"]).unwrap_err();
}
