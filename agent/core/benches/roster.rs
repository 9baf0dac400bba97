//! Prints what a roster costs by its length: taking it in, one change to it, a revocation, and the start from disk.
//!
//! `cargo bench -p tidegate-core`. What grows faster than the roster would show as more microseconds per peer.
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has nothing to say"
)]
#![allow(clippy::wildcard_imports, reason = "the tests' world is shared")]

#[path = "../tests/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use tidegate_core::Input;
use tidegate_proto::api::{RosterUpdate, StreamEvent};
use tidegate_proto::*;
use world::{BEGIN, World, list, set};

fn main() {
    println!("  peers   full roster   per peer     added   removed   revoked   restart    memory");
    for count in [1_000, 2_500, 5_000, 9_999] {
        measure(count);
    }
}

fn measure(count: u32) {
    let before = resident();
    let mut world = World::with_nodes(1);
    let peers: Vec<_> = (0..=count).map(|number| peer(&world, number)).collect();
    let (first, last) = (&peers[..count as usize], &peers[count as usize..]);
    let full = update(&mut world, None, first, &[]);
    let base = version(&world, &full);
    let took = timed(&mut world, StreamEvent::Roster(full));
    let added = update(&mut world, Some(base), last, &[]);
    let next = version(&world, &added);
    let added = timed(&mut world, StreamEvent::Roster(added));
    let gone = [peers[7].0.node];
    let removed = update(&mut world, Some(next), &[], &gone);
    let removed = timed(&mut world, StreamEvent::Roster(removed));
    let revoked = revoke(&world, &peers[8].0);
    let revoked = timed(&mut world, StreamEvent::List(revoked));
    drop(peers);
    let (kept, at) = (resident().saturating_sub(before), world.now);
    world.node(1).kill();
    let begin = Instant::now();
    world.node(1).start(at);
    let restart = begin.elapsed();
    assert_eq!(known(&world), count as usize - 1);
    println!(
        "{count:>7} {:>10.1} ms {:>7.1} µs {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>6.1} ms {:>6.1} MB",
        millis(took),
        millis(took) * 1000.0 / f64::from(count),
        millis(added),
        millis(removed),
        millis(revoked),
        millis(restart),
        kept as f64 / 1e6,
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Until everything follows from it, files included: they are gathered for a second.
fn timed(world: &mut World, event: StreamEvent) -> Duration {
    let begin = Instant::now();
    world.say(1, Input::News(Box::new(event)));
    let later = world.now + Span::from_secs(2);
    world.now = later;
    world.node(1).tick(later);
    begin.elapsed()
}

fn known(world: &World) -> usize {
    let node = &world.nodes[&1];
    let status = node.member.as_ref().unwrap().status(node.now(world.now));
    status.peers.len()
}

/// A peer like any other, with its certificate.
fn peer(world: &World, number: u32) -> (Certificate, Signed<Certificate>) {
    let mut seed = [0x5a; 32];
    seed[8..12].copy_from_slice(&number.to_le_bytes()); // where a tunnel key keeps every bit
    let identity = SigningKey::from_seed(&seed).public_key();
    let host = number + 300;
    let certificate = Certificate {
        network: world.authority.genesis.network,
        revision: world.authority.genesis.revision,
        node: NodeId::of(&identity),
        name: format!("peer-{number}").parse().unwrap(),
        identity,
        wireguard: WgSecretKey::from_bytes(seed).public_key(),
        sealing: world::node::public_keys(1).sealing.hash(),
        ipv4: format!("10.211.{}.{}", host / 256, host % 256)
            .parse()
            .unwrap(),
        ipv6: format!("fd01:203:405::{host:x}").parse().unwrap(),
        roles: set(["member".parse().unwrap()]),
        tags: set([]),
        routes: set([]),
        not_before: BEGIN - Span::from_secs(60),
        not_after: BEGIN + Span::from_hours(24),
        serial: Serial::new(u64::from(number) + 1_000).unwrap(),
    };
    let signed = Signed::sign(&certificate, &[&world.authority.signer]).unwrap();
    (certificate, signed)
}

fn update(
    world: &mut World,
    base: Option<Sequence>,
    peers: &[(Certificate, Signed<Certificate>)],
    removed: &[NodeId],
) -> RosterUpdate {
    let mut peers: Vec<_> = peers.iter().collect();
    peers.sort_by_key(|(certificate, _)| certificate.node);
    let roster = Roster {
        network: world.authority.genesis.network,
        revision: world.authority.genesis.revision,
        node: world.id(1),
        version: world.authority.next_version(),
        base,
        entries: list(peers.iter().map(|(certificate, signed)| RosterEntry {
            node: certificate.node,
            certificate: signed.digest(),
        })),
        removed: set(removed.iter().copied()),
    };
    RosterUpdate {
        roster: Signed::sign(&roster, &[&world.authority.signer]).unwrap(),
        certificates: list(peers.iter().map(|(_, signed)| signed.clone())),
        records: list([]),
    }
}

fn version(world: &World, update: &RosterUpdate) -> Sequence {
    let keyring = world.authority.keyring();
    update.roster.verify(&keyring, world.now).unwrap().version
}

/// A list with one peer on it.
fn revoke(world: &World, peer: &Certificate) -> Signed<RevocationList> {
    let authority = &world.authority;
    let entry = RevocationEntry {
        identity: peer.identity,
        serials_up_to: peer.serial,
        kind: RevocationKind::Revoked,
        reason: "lost".parse().unwrap(),
        since: world.now,
    };
    let document = RevocationList {
        network: authority.genesis.network,
        revision: authority.place.revision,
        sequence: Sequence::new(1_000_000).unwrap(),
        issued_at: world.now,
        next_update: world.now + Span::from_hours(1),
        entries: list([entry]),
    };
    Signed::sign(&document, &[&authority.signer]).unwrap()
}

/// What this process has in memory, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}
