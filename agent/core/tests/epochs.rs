//! From one epoch to the next (THREATS M8).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::Input;
use tidegate_proto::Span;
use tidegate_proto::api::StreamEvent;
use tidegate_wg::Epoch;
use world::{SETTINGS, World};

fn epochs(world: &World, number: u8) -> (Vec<u64>, Option<Epoch>) {
    let plane = world.nodes[&number].plane.as_ref().unwrap();
    (
        plane.epochs.keys().map(|epoch| epoch.0).collect(),
        plane.active,
    )
}

#[test]
fn the_next_epoch_is_installed_ahead_used_on_time_and_the_last_one_answered_for_the_overlap() {
    let mut world = World::with_nodes(2);
    let second = Span::from_secs(1);
    world.pass(Span::from_secs(47), &mut |_| {});
    assert_eq!(epochs(&world, 1), (vec![1], Some(Epoch(1))));
    world.pass(second + second, &mut |_| {});
    assert_eq!(
        epochs(&world, 1),
        (vec![1, 2], Some(Epoch(1))),
        "not on arrival"
    );
    world.pass(Span::from_millis(10_900), &mut |_| {});
    assert_eq!(epochs(&world, 1), (vec![1, 2], Some(Epoch(1))));
    world.pass(Span::from_millis(200), &mut |_| {});
    assert_eq!(
        epochs(&world, 1),
        (vec![1, 2], Some(Epoch(2))),
        "but at the epoch's end"
    );
    world.pass(Span::from_millis(4_800), &mut |_| {});
    assert_eq!(epochs(&world, 1), (vec![1, 2], Some(Epoch(2))));
    world.pass(Span::from_millis(200), &mut |_| {});
    assert_eq!(epochs(&world, 1), (vec![2], Some(Epoch(2))));
    assert!(world.talk(1, 2));
}

#[test]
fn who_has_the_next_key_answers_who_has_not_until_the_overlap_ends_and_not_longer() {
    let mut world = World::with_nodes(2);
    world.pass(Span::from_secs(40), &mut |_| {});
    world.cut_off.push(2);
    world.pass(Span::from_secs(24), &mut |_| {});
    assert!(world.talk(1, 2), "within the overlap");
    world.pass(Span::from_secs(2), &mut |_| {});
    assert!(
        !world.talk(1, 2),
        "node 1 does not speak the old epoch any more, though its lease lasts"
    );
    assert_eq!(epochs(&world, 2).1, Some(Epoch(1)));
    world.cut_off.clear();
    world.wait(1);
    assert!(world.talk(1, 2));
}

#[test]
fn a_process_that_starts_in_the_overlap_or_behind_it_knows_where_it_is() {
    for (pass, expected) in [(62, vec![1, 2]), (66, vec![2])] {
        let mut world = World::with_nodes(2);
        world.pass(Span::from_secs(pass), &mut |_| {});
        world.cut_off.push(1);
        let now = world.now;
        world.node(1).kill();
        world.node(1).start(now);
        assert_eq!(epochs(&world, 1), (expected, Some(Epoch(2))));
    }
}

#[test]
fn a_later_drawing_of_an_epoch_replaces_the_earlier_and_never_the_other_way_round() {
    let mut world = World::with_nodes(3);
    world.pass(Span::from_secs(50), &mut |_| {});
    let id = world.id(1);
    let first = world.authority.grants(id).pop().unwrap();
    let keys = |world: &World| -> Vec<_> {
        let plane = world.nodes[&1].plane.as_ref().unwrap();
        plane
            .peers
            .values()
            .filter_map(|peer| peer.psks.get(&Epoch(2)).copied())
            .collect()
    };
    let before = keys(&world);
    let third = world.id(3);
    world
        .authority
        .put_out(third, tidegate_proto::RevocationKind::Revoked);
    world.meet();
    let after = keys(&world);
    assert!(!after.is_empty() && after.iter().all(|key| !before.contains(key)));
    world.say(1, Input::News(Box::new(StreamEvent::Grant(first))));
    assert_eq!(keys(&world), after);
    world.pass(SETTINGS.epoch, &mut |world| assert!(world.talk(1, 2)));
}
