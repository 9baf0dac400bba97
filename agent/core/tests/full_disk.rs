//! A disk that takes nothing: whoever is out is out all the same, and nothing is confirmed or used that a crash would undo.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Event, FileName, Input};
use tidegate_proto::RevocationKind;
use world::World;

/// Carries out the orders of node 1, and refuses all its files.
fn refuse_files(world: &mut World) {
    let now = world.now;
    let node = world.node(1);
    while node.confirm_order(now) {}
    while let Some(file) = node.writing.pop_front() {
        node.handle(Input::NotStored(file.token), now);
        while node.confirm_order(now) {}
    }
}

fn pass(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.wait(1);
        refuse_files(world);
    }
}

fn confirmed(world: &World) -> bool {
    let receipt = world.authority.receipts.get(&world.id(1));
    receipt.is_some_and(|(_, place)| *place == world.authority.place)
}

#[test]
fn a_full_disk_confirms_nothing_and_carries_nobody_into_the_next_epoch() {
    let mut world = World::with_nodes(3);
    world.wait(5);
    world.node(1).prompt = false;
    let revoked = world.id(3);
    world.authority.put_out(revoked, RevocationKind::Revoked);
    world.meet();
    refuse_files(&mut world);
    assert!(!world.talk(1, 3), "the data plane comes first");
    let told = Event::NotStored(FileName::List);
    assert!(world.nodes[&1].events.contains(&told));

    pass(&mut world, 80);
    assert!(!confirmed(&world));
    assert!(
        !world.talk(1, 2),
        "a grant counts only with its list on the disk"
    );
    assert!(!world.talk(1, 3));

    world.node(1).prompt = true;
    let now = world.now;
    world.node(1).confirm(now);
    world.wait(10);
    assert!(confirmed(&world), "there is room again");
    assert!(world.talk(1, 2));
    assert!(!world.talk(1, 3));
}

#[test]
fn what_a_full_disk_lost_comes_again_after_a_restart() {
    let mut world = World::with_nodes(3);
    world.wait(5);
    world.node(1).prompt = false;
    let revoked = world.id(3);
    world.authority.put_out(revoked, RevocationKind::Revoked);
    world.meet();
    refuse_files(&mut world);
    world.node(1).kill();
    world.node(1).prompt = true;
    let now = world.now;
    world.node(1).start(now);
    world.told.remove(&1);
    world.meet();
    world.wait(2);
    assert!(!world.talk(1, 3));
    assert!(world.talk(1, 2));
    assert!(confirmed(&world));
}
