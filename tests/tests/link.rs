//! What a link does to packets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use tidegate_tests::{Direction, Host, Lab, LabError, Link, wait_until};

const SOON: Duration = Duration::from_secs(10);

struct Pair {
    _lab: Lab,
    a: Host,
    b: Host,
    link_a: Link,
    link_b: Link,
}

fn pair() -> Pair {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let lan = lab.network("lan").unwrap();
    let link_a = lan.attach(&a, &["10.0.0.1/24", "fd00::1/64"]).unwrap();
    let link_b = lan.attach(&b, &["10.0.0.2/24", "fd00::2/64"]).unwrap();
    Pair {
        _lab: lab,
        a,
        b,
        link_a,
        link_b,
    }
}

fn reaches(host: &Host, address: &str) -> bool {
    host.run("ping", ["-c1", "-W1", address]).is_ok()
}

/// Sends so many datagrams in bursts that no queue on the way can overflow.
fn send(from: &Host, link: &Link, to: &str, count: u64) {
    let socket = from
        .enter(|| UdpSocket::bind("0.0.0.0:0"))
        .unwrap()
        .unwrap();
    let sent = link.count("udp dport 9").unwrap();
    for done in (0..count).step_by(500) {
        for _ in 0..500 {
            // An ICMP error of an earlier datagram may be reported here.
            let _ = socket.send_to(b"x", (to, 9));
        }
        wait_until(SOON, "the burst to be sent", || {
            sent.packets(Direction::Out).unwrap() == done + 500
        })
        .unwrap();
    }
}

fn about(count: u64, expected: u64, tolerance: u64) {
    assert!(
        count.abs_diff(expected) <= tolerance,
        "{count} is not {expected} ± {tolerance}"
    );
}

#[test]
fn a_cut_link_passes_nothing_until_it_is_healed() {
    let Pair {
        _lab, a, link_a, ..
    } = pair();
    assert!(reaches(&a, "10.0.0.2") && reaches(&a, "fd00::2"));
    link_a.cut().unwrap();
    assert!(!reaches(&a, "10.0.0.2") && !reaches(&a, "fd00::2"));
    link_a.heal().unwrap();
    assert!(reaches(&a, "10.0.0.2") && reaches(&a, "fd00::2"));
}

#[test]
fn a_link_cut_one_way_passes_the_other_way() {
    let Pair {
        _lab,
        a,
        link_a,
        link_b,
        ..
    } = pair();
    assert!(reaches(&a, "10.0.0.2"));
    let arrived = link_b.count("icmp type echo-request").unwrap();
    link_a.cut_one_way(Direction::In).unwrap();
    assert!(!reaches(&a, "10.0.0.2"));
    assert_eq!(arrived.packets(Direction::In), Ok(1));
    link_a.heal().unwrap();
    link_a.cut_one_way(Direction::Out).unwrap();
    assert!(!reaches(&a, "10.0.0.2"));
    assert_eq!(arrived.packets(Direction::In), Ok(1));
}

#[test]
fn an_unplugged_host_notices() {
    let Pair {
        _lab, a, link_a, ..
    } = pair();
    let carrier = || a.sh("cat /sys/class/net/eth0/carrier").unwrap();
    assert_eq!(carrier(), "1\n");
    link_a.unplug().unwrap();
    wait_until(SOON, "the carrier to go", || carrier() == "0\n").unwrap();
    link_a.plug().unwrap();
    assert!(reaches(&a, "10.0.0.2"));
}

#[test]
fn loss_is_as_set_in_each_direction() {
    let Pair {
        _lab,
        a,
        b,
        link_a,
        link_b,
    } = pair();
    assert!(reaches(&a, "10.0.0.2"));
    let (at_a, at_b) = (
        link_a.count("udp dport 9").unwrap(),
        link_b.count("udp dport 9").unwrap(),
    );
    link_a.lose_one_way(Direction::Out, 0.2).unwrap();
    link_a.lose_one_way(Direction::In, 0.02).unwrap();
    send(&a, &link_a, "10.0.0.2", 10_000);
    send(&b, &link_b, "10.0.0.1", 10_000);
    // Seven standard deviations: fails by chance once in hundreds of billions of runs.
    about(at_b.packets(Direction::In).unwrap(), 8_000, 280);
    about(at_a.packets(Direction::In).unwrap(), 9_800, 98);
    link_a.lose(0.0).unwrap();
    let before = at_b.packets(Direction::In).unwrap();
    send(&a, &link_a, "10.0.0.2", 1_000);
    wait_until(SOON, "all of them to arrive", || {
        at_b.packets(Direction::In).unwrap() == before + 1_000
    })
    .unwrap();
}

#[test]
fn a_loss_beyond_everything_is_refused() {
    let Pair {
        _lab, a, link_a, ..
    } = pair();
    for rate in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(link_a.lose(rate), Err(LabError::Value { .. })));
    }
    link_a.lose(1.0).unwrap();
    assert!(!reaches(&a, "10.0.0.2"));
}

#[test]
fn a_delay_adds_to_every_packet_and_keeps_their_order() {
    let Pair {
        _lab, a, b, link_a, ..
    } = pair();
    let round_trip = || {
        let ping = a.run("ping", ["-c5", "-i0.01", "10.0.0.2"]).unwrap();
        let times = ping.split("rtt min/avg/max/mdev = ").nth(1).unwrap();
        Duration::from_secs_f64(times.split('/').next().unwrap().parse::<f64>().unwrap() / 1_000.0)
    };
    let delay = Duration::from_millis(40);
    assert!(round_trip() < delay);
    link_a.delay(delay).unwrap();
    let delayed = round_trip();
    assert!((delay * 2..delay * 10).contains(&delayed), "{delayed:?}");
    let receiver = b.enter(|| UdpSocket::bind("10.0.0.2:9")).unwrap().unwrap();
    let sender = a.enter(|| UdpSocket::bind("10.0.0.1:0")).unwrap().unwrap();
    receiver.set_read_timeout(Some(SOON)).unwrap();
    for number in 0..100u8 {
        sender.send_to(&[number], "10.0.0.2:9").unwrap();
    }
    let arrived = [(); 100].map(|()| {
        let mut number = [0];
        receiver.recv(&mut number).unwrap();
        number[0]
    });
    assert!(arrived.is_sorted());
    link_a.delay(Duration::ZERO).unwrap();
    assert!(round_trip() < delay);
}

#[test]
fn a_delayed_link_carries_streams_whole() {
    let Pair {
        _lab, a, b, link_b, ..
    } = pair();
    link_b.delay(Duration::from_millis(2)).unwrap();
    let listener = b
        .enter(|| TcpListener::bind("[fd00::2]:7"))
        .unwrap()
        .unwrap();
    let sent: Vec<u8> = (0..2_000_000u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    let received = thread::scope(|scope| {
        scope.spawn(|| {
            a.enter(|| TcpStream::connect("[fd00::2]:7").unwrap().write_all(&sent))
                .unwrap()
                .unwrap()
        });
        let mut received = Vec::new();
        listener
            .accept()
            .unwrap()
            .0
            .read_to_end(&mut received)
            .unwrap();
        received
    });
    assert!(received == sent);
}

#[test]
fn a_link_takes_packets_up_to_its_mtu() {
    let Pair {
        _lab, a, link_a, ..
    } = pair();
    let passes = |size| {
        a.run("ping", ["-c1", "-W1", "-Mdo", "-s", size, "10.0.0.2"])
            .is_ok()
    };
    assert!(passes("1472") && !passes("1473"));
    link_a.set_mtu(1300).unwrap();
    assert!(passes("1272") && !passes("1273"));
}

#[test]
fn a_network_works_without_ipv4() {
    let lab = Lab::new().unwrap();
    let (a, b) = (lab.host("a").unwrap(), lab.host("b").unwrap());
    let lan = lab.network("lan").unwrap();
    lan.attach(&a, &["fd00::1/64"]).unwrap();
    lan.attach(&b, &["fd00::2/64"]).unwrap();
    assert!(reaches(&a, "fd00::2"));
    assert_eq!(
        a.run("ip", ["-4", "-o", "address", "show", "eth0"])
            .unwrap(),
        ""
    );
}

#[test]
fn nothing_larger_than_the_mtu_travels() {
    let Pair { _lab, a, b, .. } = pair();
    let capture = b.capture("eth0", "tcp dst port 7").unwrap();
    let listener = b
        .enter(|| TcpListener::bind("10.0.0.2:7"))
        .unwrap()
        .unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut stream = a
                .enter(|| TcpStream::connect("10.0.0.2:7"))
                .unwrap()
                .unwrap();
            stream.write_all(&vec![0; 1_000_000]).unwrap();
        });
        listener
            .accept()
            .unwrap()
            .0
            .read_to_end(&mut Vec::new())
            .unwrap();
    });
    let packets = capture.packets().unwrap();
    assert!(packets.len() > 1_000_000 / 1460);
    assert!(packets.iter().all(|packet| packet.length <= 1514));
}
