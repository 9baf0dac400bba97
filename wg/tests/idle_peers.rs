//! Ten thousand peers that never speak: what they cost, and what adding or removing one of them takes.

mod net;

use net::{Node, at, exchange, inner, pair, psk, udp};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tidegate_wg::{Command, Epoch, EpochKeys, Mono, PeerConfig, PeerId, Prefix, PublicKey, Routes};

const COUNT: u64 = 10_000;
const MEMORY: u64 = 120 << 20;
/// What one change may take; five times over for a busy machine.
const CHANGE: Duration = Duration::from_millis(5);

/// Resident memory of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("it can be read");
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("the second number");
    pages * 4096
}

fn config(number: u64) -> PeerConfig {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(number * 7 + 9).to_le_bytes());
    PeerConfig {
        id: PeerId(number),
        key: PublicKey(key),
        candidates: vec![SocketAddr::new(host(number), 51820)],
        keepalive: None,
        mtu: None,
        deadline: Mono::NEVER,
        psks: vec![(Epoch(1), psk(1, 2, number))],
    }
}

fn host(number: u64) -> IpAddr {
    Ipv4Addr::from_bits(0x0a40_0000 + number as u32).into()
}

fn populate(node: &mut Node) -> Vec<Duration> {
    let mut times: Vec<_> = (1000..1000 + COUNT)
        .map(|number| timed(node, Command::AddPeer(config(number))))
        .collect();
    let hosts = (1000..1000 + COUNT).map(|number| (Prefix::host(host(number)), PeerId(number)));
    let routes = Routes::new(hosts.chain([(Prefix::host(inner(2)), net::peer(2))]));
    times.push(timed(node, Command::SetRoutes(Arc::new(routes))));
    times
}

fn timed(node: &mut Node, command: Command) -> Duration {
    let start = Instant::now();
    node.apply(command, at(1));
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn idle_peers_need_little_memory_no_timer_and_no_time_to_come_and_go() {
    let (mut a, mut b) = pair();
    a.send(&udp(inner(1), inner(2), 1, 2, b"x"), at(0));
    exchange(&mut [&mut a, &mut b], at(0));
    let before = resident();
    let adding = median(populate(&mut a));
    for epoch in [2, 3] {
        let psks = (1000..1000 + COUNT)
            .map(|number| (PeerId(number), psk(1, 2, number)))
            .collect();
        let keys = EpochKeys {
            epoch: Epoch(epoch),
            deadline: Mono::NEVER,
            spread: Duration::ZERO,
            psks,
        };
        println!(
            "installing an epoch for all: {:?}",
            timed(&mut a, Command::InstallEpoch(keys))
        );
    }
    let memory = resident().saturating_sub(before);
    assert_eq!(a.status(at(2)).tunnels, 1, "the idle have no tunnel");
    let ticking = Instant::now();
    (0..240).for_each(|tick| a.tick(at(250 * tick)));
    let minute = ticking.elapsed();
    let removing =
        (1000..1000 + COUNT).map(|number| timed(&mut a, Command::RemovePeer(PeerId(number))));
    let removing = median(removing.collect());
    println!(
        "{COUNT} idle peers: {} KiB, a minute of timers {minute:?}",
        memory >> 10
    );
    println!("one more: {adding:?}, one less: {removing:?} (medians)");
    assert!(memory < MEMORY, "{memory} bytes");
    assert!(
        adding < CHANGE && removing < CHANGE,
        "{adding:?} {removing:?}"
    );
    assert!(
        minute < Duration::from_secs(3),
        "five hundredths of a core: {minute:?}"
    );
    a.send(&udp(inner(1), inner(2), 1, 2, b"y"), at(100));
    assert_eq!(a.status(at(100)).peers.len(), 1);
}

#[test]
fn an_engine_with_idle_peers_only_sleeps() {
    let mut node = Node::new(1, &[]);
    node.install(1, &[], Mono::NEVER, at(0));
    node.apply(Command::Activate(Epoch(1)), at(0));
    populate(&mut node);
    assert_eq!(node.engine.poll_timeout(), None);
}
