//! A whole network at once: `cargo test --release -p tidegate-authority --test scale -- --nocapture` prints how long
//! things take; the test itself allows five times what is promised.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use support::{TestNode, World, operator, revoke, set};
use tidegate_authority::service::{NewInvite, NodeStream};
use tidegate_proto::*;

const NODES: usize = 10_000;
/// Nodes of one tag, which may reach one another.
const GROUP: usize = 50;
const STREAMS: usize = 2_000;

/// What is promised on two idle processors.
const SEALED: Duration = Duration::from_secs(2);
const ROSTER: Duration = Duration::from_millis(10);
const REACHED: Duration = Duration::from_millis(250);
const PROCESSOR: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_ten_thousand_nodes() {
    let world = World::new().await;
    world
        .authority
        .put_policy(groups(), None, operator())
        .await
        .unwrap();
    let nodes = enrol(&world).await;
    seal(&world).await;
    full_rosters(&world, &nodes).await;
    let streams = open_streams(&world, &nodes).await;
    revocation(&world, &nodes, streams).await;
    println!(
        "resident memory, streams and nodes' keys included: {} MiB",
        resident() >> 20
    );
}

/// A policy in which each tag reaches itself.
fn groups() -> String {
    (0..NODES / GROUP).fold(String::new(), |mut text, group| {
        write!(
            text,
            "[[rules]]\nfrom = [\"tag:g-{group}\"]\nto = [\"tag:g-{group}\"]\nprotocol = \"any\"\n"
        )
        .unwrap();
        text
    })
}

async fn enrol(world: &World) -> Vec<NodeId> {
    let began = Instant::now();
    let mut nodes = Vec::with_capacity(NODES);
    for group in 0..NODES / GROUP {
        let invite = NewInvite {
            roles: set([]),
            tags: set([format!("g-{group}").parse().unwrap()]),
            uses: GROUP as u32,
            valid_for: Span::from_hours(1),
        };
        let made = world
            .authority
            .new_invite(invite, operator())
            .await
            .unwrap();
        let token = made.invite.token;
        let joins = (0..GROUP).map(|index| {
            let (authority, token) = (world.authority.clone(), token.clone());
            let number = group * GROUP + index;
            tokio::spawn(async move {
                let node = TestNode::new(1000 + number as u64);
                let name = format!("n-{number}");
                node.join(&authority, &name, Some(token)).await.unwrap();
                node.id()
            })
        });
        for join in joins.collect::<Vec<_>>() {
            nodes.push(join.await.unwrap());
        }
    }
    println!("{NODES} nodes enrolled in {:?}", began.elapsed());
    nodes
}

async fn seal(world: &World) {
    let began = Instant::now();
    world.authority.tick().await.unwrap();
    let took = began.elapsed();
    println!("{NODES} grants sealed, signed, checked and on disk in {took:?}");
    let epoch = world.authority.epochs().await.unwrap()[0];
    assert_eq!(epoch.released as usize, NODES);
    assert!(took < SEALED * 5, "{took:?}");
}

async fn full_rosters(world: &World, nodes: &[NodeId]) {
    let began = Instant::now();
    support::roster(&world.authority, nodes[0], None)
        .await
        .unwrap();
    println!(
        "the first roster, of all that is known: {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    for node in nodes.iter().step_by(NODES / 100) {
        let update = support::roster(&world.authority, *node, None)
            .await
            .unwrap();
        assert_eq!(update.certificates.len(), GROUP - 1);
    }
    let each = began.elapsed() / 100;
    println!("a full roster of {} peers: {each:?}", GROUP - 1);
    assert!(each < ROSTER * 5, "{each:?}");
}

async fn open_streams(world: &World, nodes: &[NodeId]) -> Vec<NodeStream> {
    let began = Instant::now();
    let mut streams = Vec::with_capacity(STREAMS);
    for node in &nodes[..STREAMS] {
        let mut stream = world.authority.stream(*node, None).await.unwrap();
        while stream.next().await.unwrap().0.is_none() {}
        streams.push(stream);
    }
    println!(
        "{STREAMS} streams opened, all told, in {:?}",
        began.elapsed()
    );
    streams
}

async fn revocation(world: &World, nodes: &[NodeId], streams: Vec<NodeStream>) {
    let listening = streams.into_iter().map(|mut stream| {
        tokio::spawn(async move {
            let (_, event) = stream.next().await.unwrap();
            assert_eq!(event.name, "list");
            Instant::now()
        })
    });
    let listening: Vec<_> = listening.collect();
    let (before, began) = (processor(), Instant::now());
    let out = nodes[NODES - 1 - GROUP];
    world
        .authority
        .revoke(out, revoke(RevocationKind::Revoked), operator())
        .await
        .unwrap();
    let decided = began.elapsed();
    let mut delays = Vec::with_capacity(STREAMS);
    for task in listening {
        delays.push(task.await.unwrap().duration_since(began));
    }
    let used = processor() - before;
    delays.sort_unstable();
    let (median, late) = (delays[STREAMS / 2], delays[STREAMS * 99 / 100]);
    println!(
        "a revocation is decided in {decided:?} and told {STREAMS} streams: p50 {median:?}, p99 {late:?}"
    );
    println!("processor time until all have heard: {used:?}");
    assert!(late < REACHED * 5, "{late:?}");
    assert!(used < PROCESSOR * 5, "{used:?}");
}

/// The processor time that this process has used.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let ticks: Vec<u64> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    Duration::from_millis((ticks[0] + ticks[1]) * 10)
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
