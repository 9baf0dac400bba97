//! What the authority is asked, when, and how often.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::{Ask, AskKind, FileName, Input};
use tidegate_proto::api::StreamEvent;
use tidegate_proto::{Keyring, NodeKeys, RevocationKind, Signed, SigningKey, Span, UnixTime};
use world::{SETTINGS, World};

/// Lets time pass at node 1 alone, and gives when it asked for what.
fn asked(world: &mut World, span: Span, wanted: impl Fn(&Ask) -> bool) -> Vec<UnixTime> {
    let until = world.now + span;
    let mut times = Vec::new();
    while let Some(at) = world.nodes[&1].next().filter(|at| *at <= until) {
        world.now = at;
        let node = world.node(1);
        node.tick(at);
        times.extend(node.asks.drain(..).filter(&wanted).map(|_| at));
    }
    world.now = until;
    times
}

fn renews(ask: &Ask) -> bool {
    matches!(ask, Ask::Renew(_))
}

fn seconds_between(times: &[UnixTime]) -> Vec<u64> {
    times
        .windows(2)
        .map(|pair| pair[1].since(pair[0]).as_millis() / 1000)
        .collect()
}

#[test]
fn the_certificate_is_renewed_at_half_its_validity_and_refusals_are_waited_out() {
    let mut world = World::with_nodes(1);
    let half = (SETTINGS.certificate + Span::from_secs(60))
        .divided_by(2)
        .as_millis()
        - 60_000;
    let times = asked(&mut world, Span::from_millis(half + 600_000), renews);
    let first = times[0].since(world::BEGIN).as_millis();
    assert!(
        (half..half + SETTINGS.certificate.as_millis() / 90).contains(&first),
        "{first} {half}"
    );
    assert_eq!(seconds_between(&times), [30, 60, 120, 300]);
}

#[test]
fn a_stream_that_opens_again_cancels_the_backoff() {
    let mut world = World::with_nodes(1);
    let half = SETTINGS.certificate.divided_by(2);
    let times = asked(&mut world, half + Span::from_secs(200), renews);
    assert!(times.len() >= 3, "{times:?}");
    world.say(1, Input::StreamClosed);
    world.node(1).asks.clear();
    world.say(1, Input::StreamOpened);
    assert!(world.node(1).asks.iter().any(renews));
}

#[test]
fn a_stream_that_opens_again_cancels_every_backoff() {
    let mut world = World::with_nodes(2);
    world.cut_off.push(1);
    let here = vec!["192.0.2.1:51820".parse().unwrap()];
    world.say(1, Input::StreamClosed);
    world.say(1, Input::Endpoints(here));
    // A list whose receipt does not get through, and an unknown signer, for whom the chain is asked.
    world.authority.publish_list();
    let list = world.authority.list.clone();
    world.send(1, StreamEvent::List(list));
    world
        .authority
        .succeed(Some(SigningKey::from_seed(&[3; 32])), None);
    world.authority.publish_list();
    let list = world.authority.list.clone();
    world.send(1, StreamEvent::List(list));
    asked(&mut world, Span::from_secs(100), |_| true);
    let kinds = |world: &mut World| -> Vec<AskKind> {
        world.node(1).asks.drain(..).map(|ask| ask.kind()).collect()
    };
    kinds(&mut world);
    world.say(1, Input::StreamOpened);
    let asked_at_once = kinds(&mut world);
    for kind in [
        AskKind::Receipt,
        AskKind::Record,
        AskKind::Chain,
        AskKind::Heartbeat,
    ] {
        assert!(asked_at_once.contains(&kind), "{kind:?}: {asked_at_once:?}");
    }
}

#[test]
fn a_stream_that_opens_again_has_a_resync_that_waits_asked_for_at_once() {
    let resyncs = |ask: &Ask| matches!(ask, Ask::Resync);
    let mut world = World::with_nodes(2);
    world.cut_off.push(1);
    // A change to a roster that this node never had, on every stream that a resync opens.
    let id = world.id(1);
    let missed = world.authority.roster(id, None).roster;
    let missed = missed
        .verify(&world.authority.keyring(), world.now)
        .unwrap();
    let base = Some((missed.version, Vec::new()));
    let delta = StreamEvent::Roster(world.authority.roster(id, base));
    world.send(1, delta.clone());
    let mut times = Vec::new();
    for _ in 0..100 {
        let due = asked(&mut world, Span::from_secs(1), resyncs);
        if let Some(at) = due.last() {
            times.push(*at);
            world.say(1, Input::StreamOpened);
            world.send(1, delta.clone());
        }
    }
    let pauses = seconds_between(&times);
    assert!(pauses.len() >= 3 && pauses.is_sorted(), "{pauses:?}");
    world.say(1, Input::StreamClosed);
    world.node(1).asks.clear();
    world.say(1, Input::StreamOpened);
    assert!(world.node(1).asks.drain(..).any(|ask| resyncs(&ask)));
    world.say(1, Input::StreamOpened);
    assert!(
        !world.node(1).asks.drain(..).any(|ask| resyncs(&ask)),
        "the stream that a resync has opened is no reason for another"
    );
}

#[test]
fn sealing_keys_are_on_the_disk_before_they_are_named_and_the_old_ones_are_erased() {
    let mut world = World::with_nodes(1);
    let half = SETTINGS.certificate.divided_by(2).as_millis() - 40_000;
    world.pass(Span::from_millis(half), &mut |_| {});
    world.cut_off.push(1);
    let before = world.nodes[&1].disk[&FileName::Keys].clone();
    world.node(1).prompt = false;
    let named = |world: &World| -> Option<NodeKeys> {
        let asks = world.nodes[&1].asks.iter();
        asks.filter_map(|ask| match ask {
            Ask::Renew(keys) => Some((**keys).clone()),
            _ => None,
        })
        .next()
    };
    while !world.nodes[&1]
        .writing
        .iter()
        .any(|store| store.name == FileName::Keys)
    {
        assert_eq!(named(&world), None);
        let at = world.nodes[&1].next().unwrap();
        world.now = at;
        world.authority.now = at;
        world.node(1).asks.clear();
        world.node(1).tick(at);
    }
    assert_eq!(
        named(&world),
        None,
        "nobody hears of keys that a crash would lose"
    );
    let now = world.now;
    world.node(1).prompt = true;
    world.node(1).confirm(now);
    let keys = named(&world).unwrap();
    assert_ne!(world.nodes[&1].disk[&FileName::Keys], before);
    assert_eq!(
        keys.wireguard,
        world.nodes[&1].wireguard_public(),
        "tunnels go on under a renewal"
    );
    world.cut_off.clear();
    world.meet();
    let kept = world.nodes[&1].disk[&FileName::Keys].clone();
    let text = String::from_utf8(kept.to_vec()).unwrap();
    let clean = !text.contains("previous") && !text.contains("next");
    assert!(clean, "a grant for the new keys has come");
}

#[test]
fn keys_that_could_not_be_written_are_named_to_nobody_until_they_are() {
    let mut world = World::with_nodes(1);
    let half = SETTINGS.certificate.divided_by(2).as_millis() - 40_000;
    world.pass(Span::from_millis(half), &mut |_| {});
    world.cut_off.push(1);
    world.node(1).prompt = false;
    let mut refused = 0;
    let until = world.now + Span::from_minutes(5);
    while let Some(at) = world.nodes[&1].next().filter(|at| *at <= until) {
        world.now = at;
        let node = world.node(1);
        node.tick(at);
        while node.confirm_order(at) {}
        while let Some(file) = node.writing.pop_front() {
            refused += usize::from(file.name == FileName::Keys);
            node.handle(Input::NotStored(file.token), at);
        }
        assert!(!node.asks.drain(..).any(|ask| renews(&ask)), "at {at}");
    }
    assert!(refused > 5, "{refused}");
    // There is room again: what waited is asked at once.
    let mut named = false;
    for _ in 0..10 {
        let at = world.nodes[&1].next().unwrap();
        world.now = at;
        let node = world.node(1);
        node.tick(at);
        let keys = node.writing.iter().any(|file| file.name == FileName::Keys);
        node.confirm(at);
        named |= keys && node.asks.drain(..).any(|ask| renews(&ask));
    }
    assert!(named, "as soon as they are on the disk");
}

#[test]
fn a_renewal_disturbs_nobody() {
    let mut world = World::with_nodes(3);
    let before = world.authority.entries[&world.id(1)].serial;
    world.pass(SETTINGS.certificate, &mut |world| {
        assert!(
            world.talk(1, 2) && world.talk(1, 3) && world.talk(2, 3),
            "at {}",
            world.now
        );
    });
    assert!(world.authority.entries[&world.id(1)].serial > before);
}

#[test]
fn where_renewal_is_refused_data_stops_with_the_certificate() {
    let mut world = World::with_nodes(2);
    let end = world.now + SETTINGS.certificate;
    let keys = world.authority.entries[&world.id(1)].keys.clone();
    let id = world.id(1);
    world.pass(SETTINGS.certificate.divided_by(3), &mut |_| {});
    // The authority has other keys on its books, so that it refuses.
    world.authority.entries.get_mut(&id).unwrap().keys.wireguard =
        world::node::public_keys(9).wireguard;
    world.pass(end.since(world.now + Span::from_secs(1)), &mut |_| {});
    let status = world.nodes[&1]
        .member
        .as_ref()
        .unwrap()
        .status(world.nodes[&1].now(world.now));
    assert!(status.renewals_failed >= 2 && status.renewal_refused.is_some());
    world.authority.entries.get_mut(&id).unwrap().keys = keys;
    world.cut_off.extend([1, 2]);
    world.pass(Span::from_secs(2), &mut |_| {});
    let state = world.nodes[&1].state(world.now);
    assert_eq!(
        state,
        tidegate_core::State::Stopped(tidegate_core::Stopped::CertificateEnded(end))
    );
    assert!(!world.talk(1, 2));
    world.cut_off.clear();
    world.wait(320);
    assert!(
        world.talk(1, 2),
        "and it returns when the authority renews after all"
    );
}

#[test]
fn a_record_is_said_again_until_it_is_taken() {
    let mut world = World::with_nodes(2);
    world.cut_off.push(1);
    let here = vec!["192.0.2.1:51820".parse().unwrap()];
    world.say(1, Input::Endpoints(here.clone()));
    let records = |ask: &Ask| matches!(ask, Ask::Record(_));
    assert_eq!(
        world.node(1).asks.iter().filter(|ask| records(ask)).count(),
        1
    );
    assert!(asked(&mut world, Span::from_secs(30), records).len() >= 2);
    world.cut_off.clear();
    world.wait(70);
    assert!(world.authority.entries[&world.id(1)].record.is_some());
    let again = asked(&mut world, Span::from_secs(30), records);
    assert_eq!(again, []);
    world.say(1, Input::Endpoints(here));
    assert!(!world.node(1).asks.iter().any(records), "nothing new");
}

#[test]
fn what_arrived_damaged_is_asked_for_again_with_growing_pauses() {
    let mut world = World::with_nodes(2);
    let id = world.id(2);
    world.cut_off.push(1);
    world.authority.put_out(id, RevocationKind::Revoked);
    let list = world.authority.list.clone();
    let list = list.verify(&world.authority.keyring(), world.now).unwrap();
    let forged = Signed::sign(&*list, &[&SigningKey::from_seed(&[77; 32])]).unwrap();
    let mut times = Vec::new();
    for _ in 0..100 {
        let news = StreamEvent::List(forged.clone());
        world.say(1, Input::News(Box::new(news)));
        let second = Span::from_secs(1);
        times.extend(asked(&mut world, second, |ask| matches!(ask, Ask::Resync)));
    }
    let pauses = seconds_between(&times);
    assert_eq!(pauses.len(), 4, "{pauses:?}");
    for (pause, wanted) in pauses.iter().zip([2_u64, 4, 15, 60]) {
        assert!(pause.abs_diff(wanted) <= 1, "{pauses:?}");
    }
    world.cut_off.clear();
    world.told.remove(&1);
    world.wait(1);
    assert!(!world.talk(1, 2), "the right one was taken");
    let times = asked(&mut world, Span::from_secs(100), |ask| {
        matches!(ask, Ask::Resync)
    });
    assert!(times.len() <= 1, "{times:?}");
}

#[test]
fn a_node_that_is_out_asks_for_the_public_list() {
    let mut world = World::with_nodes(2);
    let id = world.id(1);
    world.authority.put_out(id, RevocationKind::Suspended);
    world.meet();
    let lists = asked(&mut world, Span::from_secs(60), |ask| {
        matches!(ask, Ask::List)
    });
    assert!((5..=12).contains(&lists.len()), "{lists:?}");
}

#[test]
fn a_record_waits_for_the_authoritys_time_and_is_dated_by_it() {
    for off in [600_000, -600_000] {
        let mut world = World::new(7);
        let keys = world::node::public_keys(1);
        let id = world.authority.enroll(keys, 1);
        let certificate = world.authority.admit(id);
        let chain = &world.authority.chain;
        let mut node = world::Node::admitted(1, chain, &certificate, world.now);
        node.wall_off = off;
        node.start(world.now);
        world.nodes.insert(1, node);
        world.say(
            1,
            Input::Endpoints(vec!["192.0.2.1:51820".parse().unwrap()]),
        );
        let record = |ask: &Ask| matches!(ask, Ask::Record(_));
        assert!(
            !world.node(1).asks.iter().any(record),
            "not by its own clock"
        );
        world.meet();
        let record = world.authority.entries[&id].record.clone().unwrap();
        let certificate = certificate.verify(&world.authority.keyring(), world.now);
        let keyring = Keyring::of_node(&certificate.unwrap());
        let record = record.verify(&keyring, world.now).unwrap();
        let off = record.issued_at.as_millis().abs_diff(world.now.as_millis());
        assert!(off < 1_000, "{off} ms");
    }
}

#[test]
fn a_list_that_changes_nothing_here_is_confirmed_at_once() {
    let mut world = World::with_nodes(2);
    world.authority.publish_list();
    world.meet();
    for number in [1, 2] {
        let receipt = world.authority.receipts[&world.id(number)];
        assert_eq!(receipt.1, world.authority.place);
    }
}
