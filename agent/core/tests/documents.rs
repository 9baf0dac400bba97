//! Documents that are not what they should be: refused, reported, and nothing changes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Event, FileName, Input, State, Stopped};
use tidegate_proto::api::{GrantWithList, StreamEvent};
use tidegate_proto::*;
use world::World;

fn say(world: &mut World, event: StreamEvent) {
    world.say(1, Input::News(Box::new(event)));
}

/// Everything that a refusal must not change.
fn picture(world: &World) -> String {
    let node = &world.nodes[&1];
    let status = node.member.as_ref().unwrap().status(node.now(world.now));
    let plane = node.plane.as_ref().unwrap();
    let keys: Vec<_> = plane
        .peers
        .iter()
        .map(|(id, peer)| (*id, peer.psks.clone()))
        .collect();
    format!(
        "{:?} {:?} {:?} {:?} {:?} {keys:?}",
        status.epochs, status.list, status.policy, status.roster, status.revision
    )
}

/// Says something, and looks whether it was refused and nothing else happened.
fn refused(world: &mut World, event: StreamEvent) {
    let (before, refusals) = (picture(world), world.nodes[&1].refusals());
    say(world, event.clone());
    assert_eq!(picture(world), before, "{event:?}");
    assert!(
        world.nodes[&1].refusals() > refusals,
        "{event:?} was refused without a word"
    );
}

/// The same document under a stranger's signature.
fn forged<T: Document<Signer = tidegate_proto::Authority>>(
    world: &World,
    signed: &Signed<T>,
) -> Signed<T> {
    let document = signed
        .verify(&world.authority.keyring(), world.now)
        .unwrap();
    Signed::sign(&*document, &[&SigningKey::from_seed(&[77; 32])]).unwrap()
}

#[test]
fn what_a_stranger_signed_is_refused() {
    let mut world = World::with_nodes(2);
    world.cut_off.push(1);
    let id = world.id(1);
    world.authority.publish_list();
    world.authority.put_policy(false);
    world.authority.rotate();
    let mut roster = world.authority.roster(id, None);
    let mut grant = world.authority.grants(id).pop().unwrap();
    let (list, policy) = (world.authority.list.clone(), world.authority.policy.clone());
    let list = forged(&world, &list);
    refused(&mut world, StreamEvent::List(list.clone()));
    let policy = forged(&world, &policy);
    refused(&mut world, StreamEvent::Policy(policy));
    let sound = grant.clone();
    grant.list = list;
    refused(&mut world, StreamEvent::Grant(grant));
    let mut grant = sound;
    world.say(
        1,
        Input::News(Box::new(StreamEvent::List(grant.list.clone()))),
    );
    grant.grant = forged(&world, &grant.grant);
    refused(&mut world, StreamEvent::Grant(grant));
    roster.roster = forged(&world, &roster.roster);
    refused(&mut world, StreamEvent::Roster(roster));
    assert!(world.talk(1, 2));
}

#[test]
fn a_foreign_genesis_is_refused() {
    let mut world = World::with_nodes(2);
    let mut other = world.authority.genesis.clone();
    other.root = SigningKey::from_seed(&[66; 32]).public_key();
    other.revision = other.revision.next().unwrap();
    other.previous = Some(world.authority.chain[0].digest());
    let signed = Signed::sign(&other, &[&SigningKey::from_seed(&[66; 32])]).unwrap();
    refused(&mut world, StreamEvent::Genesis(signed));
    assert!(world.talk(1, 2));
}

#[test]
fn a_rolled_back_list_is_refused_also_after_a_restart() {
    let mut world = World::with_nodes(3);
    let old = world.authority.list.clone();
    let id = world.id(3);
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    world.wait(3);
    assert!(!world.talk(1, 3));
    refused(&mut world, StreamEvent::List(old.clone()));
    assert!(!world.talk(1, 3));
    world.cut_off.push(1);
    world.node(1).kill();
    let now = world.now;
    world.node(1).start(now);
    refused(&mut world, StreamEvent::List(old));
    assert!(!world.talk(1, 3));
}

#[test]
fn a_replayed_grant_of_an_epoch_that_is_over_is_refused() {
    let mut world = World::with_nodes(2);
    let id = world.id(1);
    let old = world.authority.grants(id).remove(0);
    world.wait(70);
    refused(&mut world, StreamEvent::Grant(old));
}

#[test]
fn another_nodes_documents_are_refused() {
    let mut world = World::with_nodes(2);
    let other = world.id(2);
    world.wait(10);
    let roster = world.authority.roster(other, None);
    let grant = world.authority.grants(other).pop().unwrap();
    refused(&mut world, StreamEvent::Roster(roster));
    refused(&mut world, StreamEvent::Grant(grant));
    let certificate = world.authority.entries[&other].certificate.clone().unwrap();
    let before = picture(&world);
    world.say(1, Input::Certificate(certificate));
    assert_eq!(picture(&world), before);
}

#[test]
fn a_grant_beyond_the_ceilings_is_refused() {
    let mut world = World::with_nodes(2);
    world.authority.settings.offline_tolerance = Span::from_hours(100);
    world.authority.rotate();
    let id = world.id(1);
    let long = world.authority.grants(id).pop().unwrap();
    refused(&mut world, StreamEvent::Grant(long));
}

#[test]
fn an_older_certificate_of_a_peer_does_not_come_back() {
    let mut world = World::with_nodes(2);
    let (first, second) = (world.id(1), world.id(2));
    let old = world.authority.entries[&second]
        .certificate
        .clone()
        .unwrap();
    world.authority.issue(second);
    world.meet();
    let entry = world.authority.entries.get_mut(&second).unwrap();
    entry.certificate = Some(old);
    let update = world.authority.roster(first, None);
    let before = world.nodes[&1].refusals();
    say(&mut world, StreamEvent::Roster(update));
    assert_eq!(world.nodes[&1].refusals(), before + 1);
    assert!(
        !world.talk(1, 2),
        "the roster names a certificate that was superseded: no peer until the next roster"
    );
}

#[test]
fn a_grant_counts_only_with_its_list_on_the_disk() {
    let mut world = World::with_nodes(2);
    world.cut_off.push(1);
    world.authority.publish_list();
    world.authority.rotate();
    let id = world.id(1);
    let grant = world.authority.grants(id).pop().unwrap();
    let active = |world: &World| world.nodes[&1].plane.as_ref().unwrap().active;
    let before = active(&world);
    world.node(1).prompt = false;
    say(&mut world, StreamEvent::Grant(grant));
    assert_eq!(active(&world), before, "the list lies in memory only");
    let now = world.now;
    world.node(1).confirm(now);
    assert_ne!(active(&world), before);
}

#[test]
fn a_grant_without_the_list_that_it_names_does_not_count() {
    let mut world = World::with_nodes(2);
    let old = world.authority.list.clone();
    world.cut_off.push(1);
    world.authority.publish_list();
    world.authority.rotate();
    let id = world.id(1);
    let grant = world.authority.grants(id).pop().unwrap();
    let before = world.nodes[&1].plane.as_ref().unwrap().active;
    say(
        &mut world,
        StreamEvent::Grant(GrantWithList {
            grant: grant.grant,
            list: old,
        }),
    );
    assert_eq!(world.nodes[&1].plane.as_ref().unwrap().active, before);
    say(&mut world, StreamEvent::List(grant.list));
    assert_ne!(
        world.nodes[&1].plane.as_ref().unwrap().active,
        before,
        "now it does"
    );
}

#[test]
fn a_receipt_comes_after_the_removal_and_after_the_disk() {
    for disk_first in [true, false] {
        let mut world = World::with_nodes(3);
        let (id, now) = (world.id(3), world.now);
        world.authority.put_out(id, RevocationKind::Revoked);
        world.node(1).prompt = false;
        world.node(1).asks.clear();
        let list = world.authority.list.clone();
        say(&mut world, StreamEvent::List(list.clone()));
        let receipts = |world: &World| {
            world.nodes[&1]
                .asks
                .iter()
                .filter(|ask| matches!(ask, tidegate_core::Ask::Receipt(_)))
                .count()
        };
        for disk in [disk_first, !disk_first] {
            assert_eq!(receipts(&world), 0);
            while if disk {
                world.node(1).sync(now)
            } else {
                world.node(1).confirm_order(now)
            } {}
            world.node(1).tick(now);
        }
        assert_eq!(receipts(&world), 1);
        world.node(1).prompt = true;
        world.meet();
        let receipt = world.authority.receipts[&world.id(1)];
        assert_eq!(receipt.1, world.authority.place);
    }
}

#[test]
fn after_a_succession_without_overlap_nothing_old_counts() {
    let mut world = World::with_nodes(2);
    world
        .authority
        .succeed(Some(SigningKey::from_seed(&[5; 32])), None);
    let next = world.authority.chain.last().unwrap().clone();
    say(&mut world, StreamEvent::Genesis(next));
    assert_eq!(
        world.nodes[&1].state(world.now),
        State::Stopped(Stopped::Untrusted)
    );
    assert!(!world.talk(1, 2));
    let node = world.node(1);
    assert!(
        node.asks
            .iter()
            .any(|ask| matches!(ask, tidegate_core::Ask::Resync))
    );
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert!(!world.talk(1, 2), "nor after a restart");
}

#[test]
fn an_overlap_ends_when_it_said_it_would() {
    let mut world = World::with_nodes(2);
    world.cut_off.extend([1, 2]);
    let until = world.now + Span::from_secs(20);
    world
        .authority
        .succeed(Some(SigningKey::from_seed(&[5; 32])), Some(until));
    let next = world.authority.chain.last().unwrap().clone();
    for number in [1, 2] {
        world.say(
            number,
            Input::News(Box::new(StreamEvent::Genesis(next.clone()))),
        );
    }
    assert!(world.talk(1, 2));
    world.pass(Span::from_millis(19_990), &mut |_| {});
    assert!(world.talk(1, 2));
    world.pass(Span::from_millis(20), &mut |_| {});
    assert!(!world.talk(1, 2));
}

#[test]
fn two_siblings_end_all_trust_also_after_a_restart() {
    let mut world = World::with_nodes(2);
    let sibling = world.authority.sibling();
    say(&mut world, StreamEvent::Genesis(sibling));
    let stopped = State::Stopped(Stopped::Siblings(Revision::FIRST));
    assert_eq!(world.nodes[&1].state(world.now), stopped);
    assert!(world.nodes[&1].events.contains(&Event::Siblings));
    assert!(!world.talk(1, 2));
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert_eq!(world.nodes[&1].state(now), stopped);
    assert!(!world.talk(1, 2));
}

/// Starts node 1 again with one file changed, cut off from the authority.
fn with_file(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::with_nodes(3);
    let id = world.id(3);
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    world.wait(3);
    world.cut_off.extend([1, 2]);
    world.node(1).kill();
    change(&mut world);
    let now = world.now;
    world.node(1).start(now);
    world
}

#[test]
fn a_file_that_was_tampered_with_costs_what_it_held_and_lets_nobody_back_in() {
    for name in FileName::ALL {
        for damage in [0, 1, 2] {
            let world = with_file(|world| {
                let disk = &mut world.node(1).disk;
                if matches!(name, FileName::Genesis | FileName::Keys) || !disk.contains_key(&name) {
                    return;
                }
                match damage {
                    0 => drop(disk.remove(&name)),
                    1 => disk
                        .get_mut(&name)
                        .unwrap()
                        .last_mut()
                        .into_iter()
                        .for_each(|byte| *byte ^= 1),
                    _ => disk.get_mut(&name).unwrap().truncate(40),
                }
            });
            assert!(!world.talk(1, 3), "{name}");
            let needed = matches!(
                name,
                FileName::List | FileName::Grants | FileName::Floors | FileName::Roster
            );
            let needed = needed || name == FileName::Certificate;
            assert!(!needed || !world.talk(1, 2), "{name} is needed");
        }
    }
}

#[test]
fn a_rolled_back_file_is_refused() {
    let mut old = None;
    let mut world = World::with_nodes(3);
    old.get_or_insert(world.nodes[&1].disk.clone());
    world.wait(2);
    let disk = world.nodes[&1].disk.clone();
    let id = world.id(3);
    world.authority.put_out(id, RevocationKind::Revoked);
    world.meet();
    world.wait(3);
    world.cut_off.extend([1, 2, 3]);
    world.meet();
    world.node(1).kill();
    for name in [FileName::List, FileName::Roster] {
        let before = disk[&name].clone();
        world.node(1).disk.insert(name, before);
    }
    let now = world.now;
    world.node(1).start(now);
    assert!(!world.talk(1, 3) && !world.talk(1, 2));
    let rolled_back = |event: &Event| {
        matches!(
            event,
            Event::Refused {
                source: tidegate_core::Source::File(FileName::List),
                ..
            }
        )
    };
    assert!(world.nodes[&1].events.iter().any(rolled_back));
    world.cut_off.clear();
    world.meet();
    world.wait(5);
    assert!(world.talk(1, 2) && !world.talk(1, 3));
}
