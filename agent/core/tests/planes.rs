//! Data planes that are slow, end, or do not start: nothing is confirmed before it is so, and it is said what is missing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Input, State, Token, Waiting, Wish};
use tidegate_proto::RevocationKind;
use world::{World, plane};

/// Three nodes that talk; the data thread of the first does nothing from now on until it is confirmed.
fn with_slow_plane() -> World {
    let mut world = World::with_nodes(3);
    world.wait(5);
    assert!(world.talk(1, 3), "they did talk before");
    world.cut_off.push(3); // it hears nothing of its end
    world.node(1).prompt = false;
    world.node(1).slow = true;
    world
}

/// Node 3 is revoked, and node 1 has heard it.
fn revoke(world: &mut World) {
    let id = world.id(3);
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    write(world);
}

/// Everything that node 1 writes gets to its disk.
fn write(world: &mut World) {
    let now = world.now;
    while world.node(1).sync(now) {}
    world.node(1).tick(now);
    world.meet();
}

fn confirmed(world: &World) -> bool {
    let receipt = world.authority.receipts.get(&world.id(1));
    receipt.is_some_and(|(_, place)| *place == world.authority.place)
}

/// Carries out one order after the other, until there is a receipt. Gives how many it took.
fn carry_out(world: &mut World) -> usize {
    let mut orders = 0;
    while !confirmed(world) {
        let now = world.now;
        assert!(
            world.node(1).confirm_order(now),
            "{orders} orders, and no receipt"
        );
        orders += 1;
        write(world);
        assert!(
            !confirmed(world) || !world.talk(1, 3),
            "confirmed too early"
        );
    }
    orders
}

#[test]
fn a_removal_is_confirmed_when_the_data_thread_has_carried_it_out() {
    let mut world = with_slow_plane();
    revoke(&mut world);
    assert!(world.talk(1, 3), "the thread is slow");
    assert!(!confirmed(&world));
    carry_out(&mut world);
}

#[test]
fn a_data_plane_that_is_to_end_is_not_gone_before_it_has_ended() {
    for revoked_first in [true, false] {
        let mut world = with_slow_plane();
        if revoked_first {
            revoke(&mut world);
        }
        world.say(1, Input::Wish(Wish::Down));
        if !revoked_first {
            revoke(&mut world);
        }
        world.say(1, Input::Wish(Wish::Up));
        write(&mut world);
        assert!(world.talk(1, 3), "the thread is slow");
        assert!(!confirmed(&world), "nothing has happened yet");
        carry_out(&mut world);
    }
}

#[test]
fn what_is_said_of_an_earlier_data_plane_is_not_said_of_this_one() {
    let mut world = with_slow_plane();
    let earlier = world.nodes[&1].last_order;
    world.say(1, Input::Wish(Wish::Down));
    world.say(1, Input::Wish(Wish::Up));
    let now = world.now;
    while world.node(1).confirm_order(now) {}
    assert_eq!(world.nodes[&1].state(now), State::Up);
    let given = world.nodes[&1].last_order;
    world.say(1, Input::Plane(plane::gone(earlier, "it hangs")));
    assert_eq!(world.nodes[&1].last_order, given, "no other is started");
    assert_eq!(world.nodes[&1].state(now), State::Up);
    revoke(&mut world);
    world.say(1, Input::Plane(plane::gone(earlier, "it hangs")));
    write(&mut world);
    assert!(world.talk(1, 3) && !confirmed(&world));
    carry_out(&mut world);
}

#[test]
fn a_removal_that_a_lost_data_plane_was_given_is_confirmed() {
    let mut world = with_slow_plane();
    revoke(&mut world);
    let now = world.now;
    world.node(1).lose_plane(now);
    assert!(world.node(1).confirm_order(now));
    write(&mut world);
    assert!(!confirmed(&world), "the removal itself was not answered");
    assert!(world.node(1).confirm_order(now));
    write(&mut world);
    assert!(confirmed(&world), "nothing flows");
}

#[test]
fn data_flows_only_once_the_data_plane_runs_and_until_then_it_is_said_why_not() {
    let mut world = with_slow_plane();
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    let state = |world: &World| world.nodes[&1].state(world.now);
    let missing = |why: Option<&str>| State::Waiting(Waiting::Plane(why.map(str::to_owned)));
    assert_eq!(state(&world), missing(None));
    for _ in 0..3 {
        let Token(last) = world.nodes[&1].last_order;
        world.node(1).orders.clear();
        let gone = plane::gone(Token(last), "the port is taken");
        world.say(1, Input::Plane(gone));
        assert_eq!(state(&world), missing(Some("the port is taken")));
        while world.nodes[&1].orders.is_empty() {
            assert_eq!(state(&world), missing(Some("the port is taken")));
            world.now = world.nodes[&1].next().unwrap();
            let now = world.now;
            world.node(1).tick(now);
        }
        assert_eq!(state(&world), missing(Some("the port is taken")));
    }
    let now = world.now;
    while world.node(1).confirm_order(now) {}
    assert_eq!(state(&world), State::Up);
}
