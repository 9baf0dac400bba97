//! A network's ordinary life.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::State;
use tidegate_proto::{RevocationKind, Span};
use world::World;

#[test]
fn whoever_is_admitted_can_talk_and_goes_on_over_many_epochs() {
    let mut world = World::with_nodes(3);
    assert_eq!(world.nodes[&1].state(world.now), State::Up);
    assert!(world.talk(1, 2) && world.talk(2, 3) && world.talk(1, 3));
    let first = world.nodes[&1].plane.as_ref().unwrap().active;
    world.pass(Span::from_minutes(60), &mut |world| {
        assert!(
            world.talk(1, 2) && world.talk(2, 3) && world.talk(1, 3),
            "at {}",
            world.now
        );
    });
    let last = world.nodes[&1].plane.as_ref().unwrap().active;
    assert_eq!(last.unwrap().0, first.unwrap().0 + 60);
    let refused: Vec<_> = world
        .nodes
        .values()
        .flat_map(|node| &node.events)
        .filter(|event| matches!(event, tidegate_core::Event::Refused { .. }))
        .collect();
    assert_eq!(refused, Vec::<&tidegate_core::Event>::new());
}

#[test]
fn whoever_is_revoked_is_out_at_once_and_everybody_confirms_it() {
    let mut world = World::with_nodes(3);
    assert!(world.talk(1, 3) && world.talk(2, 3));
    let revoked = world.id(3);
    world.authority.put_out(revoked, RevocationKind::Revoked);
    world.meet();
    assert!(!world.talk(1, 3) && !world.talk(2, 3) && world.talk(1, 2));
    assert_eq!(world.authority.cutoffs[&revoked].published.time(), None);
}
