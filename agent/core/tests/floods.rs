//! An authority that sends more than it should.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Ask, FileName};
use tidegate_proto::Sequence;
use tidegate_proto::api::StreamEvent;
use world::World;

#[test]
fn endless_changes_of_the_roster_are_not_piled_up() {
    let mut world = World::with_nodes(2);
    let (id, peer) = (world.id(1), world.id(2));
    let full = world.authority.roster(id, None);
    world.send(1, StreamEvent::Roster(full));
    world.node(1).asks.clear();
    for _ in 0..1000 {
        let base = Sequence::new(world.authority.version).unwrap();
        let delta = world.authority.roster(id, Some((base, vec![peer])));
        world.send(1, StreamEvent::Roster(delta));
    }
    assert!(world.nodes[&1].refusals() > 0);
    let asks = &world.nodes[&1].asks;
    let wants_full = asks.iter().any(|ask| matches!(ask, Ask::Resync));
    assert!(wants_full, "it asks for the whole instead");
    let now = world.now + tidegate_proto::Span::from_secs(2);
    world.now = now;
    world.node(1).tick(now);
    let kept = world.nodes[&1].disk[&FileName::Roster].len();
    assert!(kept < 1 << 20, "{kept}");

    let full = world.authority.roster(id, None);
    world.send(1, StreamEvent::Roster(full));
    let now = now + tidegate_proto::Span::from_secs(2);
    world.now = now;
    world.node(1).tick(now);
    let afterwards = world.nodes[&1].disk[&FileName::Roster].len();
    assert!(
        afterwards < kept / 10,
        "the whole takes the place of its changes"
    );
    assert!(world.talk(1, 2));
}
