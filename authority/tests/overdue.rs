//! Receipts that are overdue: of nodes that are there, and each told of once.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::operators::nonce;
use support::{TestNode, World, operator, revoke};
use tidegate_proto::api::Heartbeat;
use tidegate_proto::audit::{Fact, Record};
use tidegate_proto::*;

async fn beat(world: &World, node: &TestNode) {
    let heartbeat = Heartbeat {
        program: "0.1.0".parse().unwrap(),
        nonce: nonce(),
        list: ListPlace::default(),
        policy: Sequence::default(),
        roster: Sequence::default(),
        record: None,
        peers_seen: BoundedSet::default(),
    };
    let beat = world
        .authority
        .heartbeat(node.id(), heartbeat, None, node.caller());
    beat.await.unwrap();
}

async fn overdue(world: &World) -> Vec<Record> {
    let records = world
        .authority
        .audit(Sequence::default(), None)
        .await
        .unwrap();
    records
        .into_iter()
        .map(|one| one.record)
        .filter(|record| record.event.as_str() == "receipt.overdue")
        .collect()
}

fn fact(record: &Record, name: &str) -> Fact {
    record.detail[&name.parse::<Label>().unwrap()].clone()
}

#[tokio::test]
async fn a_node_that_is_there_and_does_not_confirm_is_recorded_once() {
    let mut world = World::new().await;
    let (gone, lax, good, silent) = (
        world.member("gone").await,
        world.member("lax").await,
        world.member("good").await,
        world.member("silent").await,
    );
    world.authority.tick().await.unwrap();
    let put_out = revoke(RevocationKind::Revoked);
    let revoked = world.authority.revoke(gone.id(), put_out, operator());
    let status = revoked.await.unwrap();
    assert_eq!(status.outstanding.len(), 3);
    let list = world.authority.revocation_list().await.unwrap();
    let receipt = good.receipt(&list, status.list, 1, world.clock.now());
    world
        .authority
        .put_receipt(good.id(), receipt, good.caller())
        .await
        .unwrap();

    world.hand.advance(Span::from_secs(59));
    for node in [&lax, &good, &silent] {
        beat(&world, node).await;
    }
    world.authority.tick().await.unwrap();
    world.hand.advance(Span::from_secs(1));
    world.authority.tick().await.unwrap();
    assert_eq!(
        overdue(&world).await,
        [],
        "nobody was heard of since it was due"
    );

    world.hand.advance(Span::from_secs(29));
    beat(&world, &lax).await;
    beat(&world, &good).await;
    world.authority.tick().await.unwrap();
    let records = overdue(&world).await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].object.as_str(), status.list.sequence.to_string());
    assert_eq!(fact(&records[0], "nodes"), Fact::Number(1));
    let first = Fact::Text(lax.id().to_string().parse().unwrap());
    assert_eq!(fact(&records[0], "first"), first);

    world.hand.advance(Span::from_secs(30));
    beat(&world, &lax).await;
    world.authority.tick().await.unwrap();
    assert_eq!(overdue(&world).await.len(), 1, "it is told of once");
    beat(&world, &silent).await;
    world.authority.tick().await.unwrap();
    assert_eq!(
        overdue(&world).await.len(),
        2,
        "one that comes back is another"
    );
}
