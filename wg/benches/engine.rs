//! Prints what the engine costs: per packet against its cipher alone, per route look-up, per filter decision.
//!
//! `cargo bench -p tidegate-wg`. The machine should have nothing else to do.

#[path = "../tests/net/mod.rs"]
mod net;

use net::{Node, at, connected, exchange, inner, peer, tcp, udp};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_wg::merge::{Merger, Merges};
use tidegate_wg::packet::Packet;
use tidegate_wg::split::PADDING;
use tidegate_wg::vnet::{LEN, Offload, SegmentKind};
use tidegate_wg::{
    Addresses, Command, DatagramSink, Direction, Filter, PeerId, Peers, Ports, Prefix, Protocols,
    Routes, Rule,
};

fn main() {
    packets();
    lookups();
    decisions();
    strangers();
}

/// The best of several rounds: what the code costs when nothing disturbs it.
fn nanoseconds(per_round: u32, mut round: impl FnMut() -> Duration) -> f64 {
    let best = (0..60).map(|_| round()).min().unwrap_or_default();
    best.as_nanos() as f64 / f64::from(per_round)
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// A buffer that is used again and again, as the device's would be.
struct Buffer {
    bytes: Vec<u8>,
    end: usize,
    sizes: Vec<usize>,
}

impl Buffer {
    fn new() -> Self {
        Self {
            bytes: vec![0; 1 << 17],
            end: 0,
            sizes: Vec::with_capacity(128),
        }
    }

    fn clear(&mut self) {
        self.end = 0;
        self.sizes.clear();
    }
}

impl DatagramSink for Buffer {
    fn room(&mut self, _: SocketAddr, len: usize) -> &mut [u8] {
        &mut self.bytes[self.end..self.end + len]
    }

    fn commit(&mut self, len: usize) {
        self.end += len;
        self.sizes.push(len);
    }
}

struct Discarding;

impl tidegate_wg::merge::FrameWriter for Discarding {
    fn write(&mut self, frame: &[u8]) {
        black_box(frame);
    }
}

fn packets() {
    println!("\nengine: one packet, route, filter, source check and flow included [ns]");
    println!(
        "{:>22} {:>10} {:>10} {:>8} {:>10} {:>10} {:>8}",
        "inner bytes", "seal", "cipher", "extra", "open", "cipher", "extra"
    );
    for (len, frame) in [(64, 64), (512, 512), (1420, 1420), (1420, 61_600)] {
        let (seal, open, count) = engine_cost(len, frame);
        let (cipher_seal, cipher_open) = cipher_cost(len.next_multiple_of(16).min(1420));
        let name = if count > 1 {
            format!("{len} ({count} a frame)")
        } else {
            len.to_string()
        };
        println!(
            "{name:>22} {seal:>10.0} {cipher_seal:>10.0} {:>8.0} {open:>10.0} {cipher_open:>10.0} {:>8.0}",
            seal - cipher_seal,
            open - cipher_open
        );
    }
}

/// A TUN frame of this length, to be cut into packets of `len` bytes, with spare room behind.
fn frame_of(len: usize, frame_len: usize) -> (Vec<u8>, usize) {
    let packet = tcp(
        inner(1),
        inner(2),
        1000,
        2000,
        0x10,
        &vec![7; frame_len - 40],
    );
    let mut frame = [vec![0; LEN], packet, vec![0; PADDING]].concat();
    if frame_len > len {
        let size = (len - 40) as u16;
        Offload::Segment {
            kind: SegmentKind::Tcp4,
            size,
            start: 20,
            headers: 40,
        }
        .write(&mut frame);
    }
    (frame, LEN + frame_len)
}

/// Nanoseconds to seal and to open one packet out of frames of this length.
fn engine_cost(len: usize, frame_len: usize) -> (f64, f64, usize) {
    let (mut a, mut b) = connected();
    let (frame, end) = frame_of(len, frame_len);
    let mut tun = Merger::new(
        Discarding,
        Merges {
            tcp: true,
            udp: true,
        },
    );
    let (mut buffer, mut work) = (Buffer::new(), frame.clone());
    let count = (frame_len - 40).div_ceil(len - 40);
    let rounds = 2000 / count as u32;
    let mut open = Duration::MAX;
    let seal = nanoseconds(rounds * count as u32, || {
        let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..rounds {
            work.copy_from_slice(&frame);
            buffer.clear();
            sealing += timed(|| {
                a.engine
                    .handle_outgoing(&mut work, end, &mut buffer, &mut tun, at(1))
            });
            assert_eq!(buffer.sizes.len(), count);
            let sealed = &buffer.bytes[..buffer.end];
            opening += timed(|| {
                b.engine.handle_incoming(
                    sealed,
                    buffer.sizes[0],
                    net::address(1),
                    &mut b.wire,
                    &mut tun,
                    at(1),
                );
                tun.flush();
            });
        }
        open = open.min(opening);
        sealing
    });
    assert_eq!(b.status(at(1)).discards.total(), 0);
    (
        seal,
        open.as_nanos() as f64 / f64::from(rounds * count as u32),
        count,
    )
}

/// Nanoseconds that the cipher alone needs.
fn cipher_cost(len: usize) -> (f64, f64) {
    let key = || {
        LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("a key of 32 bytes"))
    };
    let (sealing, opening) = (key(), key());
    let nonce = || Nonce::assume_unique_for_key([1; 12]);
    let mut sealed = vec![0; len];
    sealing
        .seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
        .expect("room for a tag");
    let mut bytes = vec![0; len];
    let seal = nanoseconds(1000, || {
        timed(|| {
            for _ in 0..1000 {
                let _ = black_box(sealing.seal_in_place_separate_tag(
                    nonce(),
                    Aad::empty(),
                    black_box(&mut bytes),
                ));
            }
        })
    });
    let mut copy = sealed.clone();
    let open = nanoseconds(1000, || {
        timed(|| {
            for _ in 0..1000 {
                copy.copy_from_slice(&sealed);
                black_box(opening.open_in_place(nonce(), Aad::empty(), black_box(&mut copy)))
                    .expect("it verifies");
            }
        })
    });
    (seal, open)
}

fn lookups() {
    println!("\nroutes: one look-up of a random address that has a route [ns]");
    println!(
        "{:>10} {:>8} {:>8} {:>14}",
        "prefixes", "IPv4", "IPv6", "build [ms]"
    );
    for count in [10u32, 100_000] {
        let v4 = |i: u32| {
            IpAddr::from(Ipv4Addr::from_bits(
                10 << 24 | i.wrapping_mul(2_654_435_761) >> 9,
            ))
        };
        let v6 = |i: u32| {
            IpAddr::from(Ipv6Addr::from_bits(
                0xfd << 120 | u128::from(i.wrapping_mul(2_654_435_761)),
            ))
        };
        let list: Vec<_> = (0..count)
            .flat_map(|i| [v4(i), v6(i)].map(|ip| (Prefix::host(ip), PeerId(u64::from(i)))))
            .collect();
        let start = Instant::now();
        let routes = Routes::new(list);
        let build = start.elapsed();
        let cost = |address: &dyn Fn(u32) -> IpAddr| {
            let asked: Vec<_> = (0..10_000u32)
                .map(|i| address(i.wrapping_mul(7919) % count))
                .collect();
            nanoseconds(10_000, || {
                timed(|| {
                    asked
                        .iter()
                        .for_each(|ip| assert!(black_box(routes.lookup(*ip)).is_some()))
                })
            })
        };
        let (four, six) = (cost(&v4), cost(&v6));
        println!(
            "{count:>10} {four:>8.1} {six:>8.1} {:>14.2}",
            build.as_secs_f64() * 1e3
        );
    }
}

fn decisions() {
    println!("\nfilter: 1,000 rules [ns]");
    let rules = (0..1000u16).map(|i| Rule {
        direction: Direction::Outgoing,
        peers: if i == 999 {
            Peers::Any
        } else {
            Peers::These(vec![PeerId(u64::from(i) + 10), PeerId(7777)])
        },
        protocols: Protocols::Tcp(Ports::Within(vec![2000..=2000, 20_000 + i..=20_000 + i])),
        sources: Addresses::Any,
        destinations: Addresses::Any,
    });
    let filter = Filter::new(rules);
    let bytes = tcp(inner(1), inner(2), 1000, 2000, 0x10, b"");
    let packet = Packet::parse(&bytes).expect("a packet");
    let verdict = |packet: &Packet| {
        nanoseconds(1000, || {
            timed(|| {
                (0..1000).for_each(|_| {
                    _ = black_box(filter.permits(Direction::Outgoing, peer(2), black_box(packet)))
                })
            })
        })
    };
    assert!(filter.permits(Direction::Outgoing, peer(2), &packet));
    println!(
        "{:>42} {:>8.0}",
        "first packet of a flow, last rule allows",
        verdict(&packet)
    );
    let other = udp(inner(1), inner(2), 1000, 2001, b"");
    println!(
        "{:>42} {:>8.0}",
        "no rule allows",
        verdict(&Packet::parse(&other).expect("a packet"))
    );
    println!(
        "{:>42} {:>8.0}",
        "known flow, whole way to the wire, 40 bytes",
        known_flow(filter)
    );
}

fn known_flow(filter: Filter) -> f64 {
    let (mut a, mut b): (Node, Node) = connected();
    a.apply(Command::SetFilter(Arc::new(filter)), at(1));
    let frame = [vec![0; LEN], tcp(inner(1), inner(2), 1000, 2000, 0x10, b"")].concat();
    a.send_frame(&frame, at(1));
    exchange(&mut [&mut a, &mut b], at(1));
    let mut buffer = Buffer::new();
    let mut work = [&frame[..], &[0; PADDING]].concat();
    nanoseconds(1000, || {
        timed(|| {
            for _ in 0..1000 {
                buffer.clear();
                a.engine
                    .handle_outgoing(&mut work, frame.len(), &mut buffer, &mut a.tun, at(1));
            }
        })
    })
}

/// What a datagram costs that is not wanted.
fn strangers() {
    println!("\nstrangers: one datagram that is dropped [ns]");
    let (mut a, mut b) = net::pair();
    a.apply(Command::Connect(peer(2)), at(0));
    let initiation = a.take_sent().remove(0).1;
    let mut wrong_mac = initiation.clone();
    wrong_mac[140 - 24] ^= 1;
    let unknown_index = [&[4, 0, 0, 0][..], &[7; 1448]].concat();
    let mut cost = |name: &str, datagram: &[u8]| {
        let nanos = nanoseconds(1000, || {
            timed(|| {
                for source in 0..1000u32 {
                    let [_, _, high, low] = source.to_be_bytes();
                    b.receive(datagram, ([203, 0, high, low], 1).into(), at(1));
                }
            })
        });
        b.take_sent();
        println!("{name:>42} {nanos:>8.0}");
    };
    cost("no message of WireGuard's", &[9; 1000]);
    cost("data for no session", &unknown_index);
    cost("an initiation made without our key", &wrong_mac);
    cost("an initiation beyond all budgets", &initiation);
}
