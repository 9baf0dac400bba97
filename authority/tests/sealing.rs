//! Grants for a whole network: `cargo test --release -p tidegate-authority --test sealing -- --nocapture` prints how
//! long it took; the test itself allows five times the promise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use support::{TestNode, World};

const NODES: usize = 10_000;
const PROMISED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_grants_are_sealed_and_released_in_time() {
    let world = World::new().await;
    let token = world.invite(NODES as u32).await;
    for chunk in 0..NODES / 200 {
        let joins = (0..200).map(|index| {
            let (authority, token, number) =
                (world.authority.clone(), token.clone(), chunk * 200 + index);
            tokio::spawn(async move {
                let node = TestNode::new(1000 + number as u64);
                node.join(&authority, &format!("n-{number}"), Some(token))
                    .await
                    .unwrap();
            })
        });
        for join in joins.collect::<Vec<_>>() {
            join.await.unwrap();
        }
    }
    let began = Instant::now();
    world.authority.tick().await.unwrap();
    let took = began.elapsed();
    println!("{NODES} grants sealed, signed, checked and on disk in {took:?}");
    assert_eq!(
        world.authority.epochs().await.unwrap()[0].released as usize,
        NODES
    );
    assert!(took < PROMISED * 5, "{took:?}");
}
