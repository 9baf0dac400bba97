//! What captures and counters see.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{net::UdpSocket, time::Duration};

use tidegate_tests::{Direction, Host, Lab, Link};

fn pair(lab: &Lab) -> (Host, Host, Link) {
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let lan = lab.network("lan").unwrap();
    let link = lan.attach(&a, &["10.0.0.1/24"]).unwrap();
    lan.attach(&b, &["10.0.0.2/24"]).unwrap();
    (a, b, link)
}

/// A socket of each host, and a way to pass a datagram between them that returns once it has arrived.
fn passer(a: &Host, b: &Host) -> impl Fn(u16, &[u8]) {
    let sender = a
        .enter(|| UdpSocket::bind("10.0.0.1:5000"))
        .unwrap()
        .unwrap();
    let receivers = [7000, 7001].map(|port| {
        b.enter(|| UdpSocket::bind(("10.0.0.2", port)))
            .unwrap()
            .unwrap()
    });
    move |port, data| {
        sender.send_to(data, ("10.0.0.2", port)).unwrap();
        let receiver = &receivers[usize::from(port - 7000)];
        receiver
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut buffer = [0; 64];
        assert_eq!(receiver.recv(&mut buffer).unwrap(), data.len());
    }
}

#[test]
fn a_capture_holds_what_passed_and_matches_from_the_first_packet_on() {
    let lab = Lab::new().unwrap();
    let (a, b, _) = pair(&lab);
    let pass = passer(&a, &b);
    let capture = b.capture("eth0", "udp dst port 7000").unwrap();
    for number in 1..=20u8 {
        pass(7000, &[b't', b'i', b'd', b'e', number]);
        pass(7001, b"not this one");
        assert_eq!(capture.count(), Ok(usize::from(number)));
    }
    let packets = capture.packets().unwrap();
    for (packet, number) in packets.iter().zip(1..) {
        assert!(packet.data.ends_with(&[b't', b'i', b'd', b'e', number]));
    }
    assert!(packets.is_sorted_by_key(|packet| packet.at));
}

#[test]
fn a_capture_sees_both_directions_and_the_loopback_once() {
    let lab = Lab::new().unwrap();
    let (a, _b, _) = pair(&lab);
    let (outer, inner) = (
        a.capture("eth0", "icmp").unwrap(),
        a.capture("lo", "icmp").unwrap(),
    );
    a.run("ping", ["-c5", "-i0.01", "10.0.0.2"]).unwrap();
    a.run("ping", ["-c3", "-i0.01", "127.0.0.1"]).unwrap();
    assert_eq!((outer.count(), inner.count()), (Ok(10), Ok(6)));
}

#[test]
fn a_counter_tells_what_was_sent_from_what_arrived() {
    let lab = Lab::new().unwrap();
    let (a, _b, link) = pair(&lab);
    a.run("ping", ["-c1", "10.0.0.2"]).unwrap();
    let (echoes, all) = (
        link.count("icmp type { echo-request, echo-reply }")
            .unwrap(),
        link.count("").unwrap(),
    );
    a.run("ping", ["-c5", "-i0.01", "10.0.0.2"]).unwrap();
    assert_eq!(echoes.packets(Direction::Out), Ok(5));
    assert_eq!(echoes.packets(Direction::In), Ok(5));
    link.cut().unwrap();
    a.run("ping", ["-c1", "-W1", "10.0.0.2"]).unwrap_err();
    assert_eq!(echoes.packets(Direction::Out), Ok(6));
    assert_eq!(echoes.packets(Direction::In), Ok(5));
    assert!(all.packets(Direction::Out).unwrap() >= 6);
}

#[test]
fn a_capture_of_nothing_that_exists_is_an_error() {
    let lab = Lab::new().unwrap();
    let (a, _b, _) = pair(&lab);
    let error = a.capture("eth7", "").err().unwrap().to_string();
    assert!(error.contains("eth7"), "{error}");
    let error = a
        .capture("eth0", "no such filter")
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("syntax error"), "{error}");
}
