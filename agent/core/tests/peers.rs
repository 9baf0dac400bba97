//! What the data plane and the host are told about peers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tidegate_core::{Accept, Choices, Event, Input, PlaneOrder, PlaneReport, State, Traffic, Wish};
use tidegate_proto::Prefix;
use tidegate_wg::{DatagramSink, Engine, EngineConfig, Local, PrivateKey};
use world::World;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// Node 2 routes for networks, and node 1 has chosen.
fn with_routes(routes: &[&str], choices: Choices) -> World {
    with_router(&["192.0.2.2:51820", "[2001:db8::2]:51820"], routes, choices)
}

/// The same, where node 2 is at these addresses.
fn with_router(endpoints: &[&str], routes: &[&str], choices: Choices) -> World {
    let mut world = World::with_nodes(2);
    let id = world.id(2);
    world.authority.entries.get_mut(&id).unwrap().routes =
        routes.iter().map(|route| prefix(route)).collect();
    world.authority.issue(id);
    world.say(2, at(endpoints));
    world.meet();
    world.node(1).choices = choices.clone();
    world.say(1, Input::Choices(choices));
    world.meet();
    // Records travel with rosters here.
    world.told.clear();
    world.meet();
    world
}

fn at(endpoints: &[&str]) -> Input {
    Input::Endpoints(endpoints.iter().map(|at| at.parse().unwrap()).collect())
}

fn subnets(world: &World) -> BTreeSet<Prefix> {
    world.nodes[&1]
        .host
        .clone()
        .unwrap()
        .unwrap()
        .subnets
        .clone()
}

/// Where node 1 tries node 2.
fn candidates(world: &World) -> Vec<SocketAddr> {
    let node = &world.nodes[&1];
    let member = node.member.as_ref().unwrap();
    member.status(node.now(world.now)).peers[0]
        .candidates
        .clone()
}

/// Node 1 hears node 2 from there.
fn hear(world: &mut World, endpoint: &str) {
    let plane = world.nodes[&1].plane.as_ref().unwrap();
    let roamed = tidegate_wg::Event::Roamed {
        peer: *plane.peers.keys().next().unwrap(),
        endpoint: endpoint.parse().unwrap(),
    };
    world.say(1, Input::Plane(PlaneReport::Event(roamed)));
}

#[test]
fn advertised_networks_are_taken_only_where_the_owner_says_so() {
    let world = with_routes(&["192.168.7.0/24", "0.0.0.0/0"], Choices::default());
    assert_eq!(subnets(&world), BTreeSet::new());
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let world = with_routes(&["192.168.7.0/24", "0.0.0.0/0"], all.clone());
    assert_eq!(
        subnets(&world),
        BTreeSet::from([prefix("192.168.7.0/24")]),
        "no default route unasked"
    );
    let within = Choices {
        accept: Accept::Within([prefix("192.168.0.0/16")].into()),
        ..Choices::default()
    };
    let world = with_routes(&["192.168.7.0/24", "10.9.0.0/16"], within);
    assert_eq!(subnets(&world), BTreeSet::from([prefix("192.168.7.0/24")]));
    let exit = Choices {
        exit: Some("node-2".parse().unwrap()),
        ..Choices::default()
    };
    let world = with_routes(&["192.168.7.0/24", "0.0.0.0/0"], exit);
    assert_eq!(
        world.nodes[&1].host.clone().unwrap().unwrap().exit,
        BTreeSet::from([prefix("0.0.0.0/0")])
    );
}

#[test]
fn a_network_that_holds_the_way_to_it_is_not_taken() {
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let world = with_routes(&["192.0.2.0/24", "2001:db8::/64", "192.168.7.0/24"], all);
    assert_eq!(subnets(&world), BTreeSet::from([prefix("192.168.7.0/24")]));
    let told = world.nodes[&1]
        .events
        .iter()
        .filter(|event| matches!(event, Event::RouteLoop { .. }));
    assert_eq!(told.count(), 2);
}

/// Node 2 is a router as most are: it has an address in the network behind it, and tells it.
fn with_open_router() -> World {
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let endpoints = ["192.0.2.2:51820", "192.168.7.1:51820"];
    with_router(&endpoints, &["192.168.7.0/24"], all)
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn a_router_is_reached_around_the_network_behind_it() {
    let world = with_open_router();
    assert_eq!(subnets(&world), BTreeSet::from([prefix("192.168.7.0/24")]));
    assert_eq!(candidates(&world), addresses(&["192.0.2.2:51820"]));
    let told = &world.nodes[&1].events;
    assert!(
        !told
            .iter()
            .any(|event| matches!(event, Event::RouteLoop { .. }))
    );
}

#[test]
fn who_is_in_the_network_goes_to_its_router_without_it() {
    let mut world = with_open_router();
    world.say(1, at(&["192.168.7.9:51820"]));
    assert_eq!(subnets(&world), BTreeSet::new());
    let both = addresses(&["192.0.2.2:51820", "192.168.7.1:51820"]);
    assert_eq!(candidates(&world), both);
    world.say(1, at(&["198.51.100.9:51820"]));
    assert_eq!(subnets(&world), BTreeSet::from([prefix("192.168.7.0/24")]));
    assert_eq!(candidates(&world), both[..1]);
}

#[test]
fn a_router_that_speaks_from_the_network_behind_it_is_not_sent_into_the_tunnel() {
    let mut world = with_open_router();
    hear(&mut world, "192.168.7.1:51820");
    assert_eq!(subnets(&world), BTreeSet::new());
    assert_eq!(candidates(&world)[0], "192.168.7.1:51820".parse().unwrap());
    hear(&mut world, "192.0.2.2:51820");
    assert_eq!(subnets(&world), BTreeSet::from([prefix("192.168.7.0/24")]));
    hear(&mut world, "192.168.7.1:51820");
    world.wait(31);
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert_eq!(
        subnets(&world),
        BTreeSet::from([prefix("192.168.7.0/24")]),
        "after a restart it may be elsewhere"
    );
    assert_eq!(candidates(&world), addresses(&["192.0.2.2:51820"]));
}

#[test]
fn accepted_networks_stay_guarded_when_their_node_is_put_out_until_down() {
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let mut world = with_routes(&["192.168.7.0/24"], all);
    let id = world.id(2);
    world
        .authority
        .put_out(id, tidegate_proto::RevocationKind::Revoked);
    world.meet();
    assert!(!world.talk(1, 2));
    let guarded = BTreeSet::from([prefix("192.168.7.0/24")]);
    assert_eq!(subnets(&world), guarded);
    world.wait(40);
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert_eq!(subnets(&world), guarded, "after a restart too");
    world.cut_off.push(1);
    world.wait(300);
    let host = world.nodes[&1].host.clone().unwrap().unwrap();
    assert_eq!((host.traffic, &host.subnets), (Traffic::Stopped, &guarded));
    world.say(1, Input::Wish(Wish::Down));
    assert_eq!(
        world.nodes[&1].host,
        Some(None),
        "down takes everything away"
    );
    assert!(world.nodes[&1].plane.is_none());
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert_eq!(world.nodes[&1].host, Some(None), "and is remembered");
}

fn choose(world: &mut World, choices: Choices) {
    world.say(1, Input::Choices(choices));
}

/// Says in every way that leaves the networks accepted that the configuration has changed.
fn choose_again(world: &mut World) {
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    choose(world, all.clone());
    choose(world, Choices { mtu: 1380, ..all });
    let within = Choices {
        accept: Accept::Within([prefix("192.168.0.0/16")].into()),
        ..Choices::default()
    };
    choose(world, within);
}

#[test]
fn a_configuration_that_is_read_again_leaves_guarded_what_it_still_accepts() {
    let guarded = BTreeSet::from([prefix("192.168.7.0/24")]);
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let mut revoked = with_routes(&["192.168.7.0/24"], all.clone());
    let own = revoked.id(1);
    revoked
        .authority
        .put_out(own, tidegate_proto::RevocationKind::Revoked);
    let list = revoked.authority.list.clone();
    let list = tidegate_proto::api::StreamEvent::List(list);
    revoked.say(1, Input::News(Box::new(list)));
    let mut ended = with_routes(&["192.168.7.0/24"], all);
    ended.cut_off.push(1);
    ended.pass(world::SETTINGS.certificate, &mut |_| {});
    for mut world in [revoked, ended] {
        let state = world.nodes[&1].state(world.now);
        assert!(matches!(state, State::Stopped(_)), "{state:?}");
        choose_again(&mut world);
        assert_eq!(subnets(&world), guarded, "{state:?}");
        choose(&mut world, Choices::default());
        assert_eq!(subnets(&world), BTreeSet::new(), "not wanted any more");
    }
}

#[test]
fn a_restart_under_other_settings_gives_up_the_guards_that_they_do_not_want() {
    let all = Choices {
        accept: Accept::All,
        ..Choices::default()
    };
    let mut world = with_routes(&["192.168.7.0/24"], all);
    assert_eq!(subnets(&world).len(), 1);
    world.wait(40);
    let now = world.now;
    let node = world.node(1);
    node.kill();
    node.choices = Choices::default();
    node.start(now);
    assert_eq!(subnets(&world), BTreeSet::new());
}

#[test]
fn the_exit_stays_guarded_while_there_is_to_be_one() {
    let exit = |name: &str| Choices {
        exit: Some(name.parse().unwrap()),
        ..Choices::default()
    };
    let mut world = with_routes(&["0.0.0.0/0"], exit("node-2"));
    let exits = |world: &World| world.nodes[&1].host.clone().unwrap().unwrap().exit.clone();
    let guarded = BTreeSet::from([prefix("0.0.0.0/0")]);
    assert_eq!(exits(&world), guarded);
    choose(&mut world, exit("node-3"));
    assert_eq!(exits(&world), guarded, "node-3 is not there yet");
    choose(&mut world, Choices::default());
    assert_eq!(exits(&world), BTreeSet::new());
}

#[test]
fn candidates_are_of_both_families_and_never_in_the_overlay() {
    let mut world = with_routes(&[], Choices::default());
    let both = [
        "192.0.2.2:51820".parse().unwrap(),
        "[2001:db8::2]:51820".parse().unwrap(),
    ];
    assert_eq!(candidates(&world), both);
    let bad = vec![
        "10.211.0.1:51820".parse().unwrap(),
        "192.0.2.9:51820".parse().unwrap(),
    ];
    world.say(2, Input::Endpoints(bad));
    world.meet();
    world.told.clear();
    world.meet();
    assert_eq!(candidates(&world), ["192.0.2.9:51820".parse().unwrap()]);
    let endpoint = "198.51.100.4:4444";
    hear(&mut world, endpoint);
    world.wait(31);
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    assert_eq!(
        candidates(&world)[0],
        endpoint.parse().unwrap(),
        "where it was heard last comes first"
    );
}

#[test]
fn a_starting_node_shakes_hands_with_whom_it_used_lately_and_nobody_else() {
    let mut world = World::with_nodes(3);
    let key = |number: u8, world: &World| {
        tidegate_wg::PublicKey(*world.nodes[&number].wireguard_public().as_bytes())
    };
    let (second, third) = (key(2, &world), key(3, &world));
    let id = |world: &World, key| {
        *world.nodes[&1]
            .plane
            .as_ref()
            .unwrap()
            .peers
            .iter()
            .find(|(_, peer)| peer.key == key)
            .unwrap()
            .0
    };
    let used = id(&world, third);
    world.say(1, Input::Plane(PlaneReport::Used(vec![used])));
    let peer = id(&world, second);
    world.say(1, Input::Plane(PlaneReport::Used(vec![peer])));
    world.wait(301);
    world.say(1, Input::Plane(PlaneReport::Used(vec![peer])));
    world.wait(31);
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    world.meet();
    let plane = world.nodes[&1].plane.as_ref().unwrap();
    let connected: Vec<_> = plane
        .connected
        .iter()
        .map(|id| plane.peers[id].key)
        .collect();
    assert_eq!(connected, [second]);
}

struct Nowhere([u8; 65_536]);

impl DatagramSink for Nowhere {
    fn room(&mut self, _to: std::net::SocketAddr, len: usize) -> &mut [u8] {
        &mut self.0[..len]
    }

    fn commit(&mut self, _len: usize) {}
}

#[test]
fn the_engine_takes_every_command_in_the_order_in_which_it_comes() {
    let mut world = World::with_nodes(3);
    world.node(1).record = Some(Vec::new());
    let now = world.now;
    world.node(1).kill();
    world.node(1).start(now);
    world.meet();
    world.wait(150);
    let id = world.id(3);
    world
        .authority
        .put_out(id, tidegate_proto::RevocationKind::Suspended);
    world.wait(70);
    world.authority.reinstate(id);
    world.authority.rotate();
    world.wait(30);
    world.cut_off.push(1);
    world.wait(400);
    let (mut engine, mut commands) = (None, 0);
    for (at, order) in world.node(1).record.take().unwrap() {
        let now = tidegate_wg::Now {
            mono: at,
            unix: std::time::Duration::ZERO,
        };
        match order {
            PlaneOrder::Start(start) => {
                let local = Local {
                    addresses: start.addresses,
                    mtu: start.mtu,
                };
                let config = EngineConfig {
                    key: PrivateKey(start.key.0),
                    local,
                    flows: 16,
                    seed: [1; 32],
                };
                engine = Some(Engine::new(config, now));
            }
            PlaneOrder::Apply { commands: all, .. } => {
                for command in all {
                    commands += 1;
                    let engine: &mut Engine = engine.as_mut().unwrap();
                    assert_eq!(
                        engine.apply(command, &mut Nowhere([0; 65_536]), now),
                        Ok(())
                    );
                }
            }
            PlaneOrder::Stop { .. } => engine = None,
        }
    }
    assert!(commands > 20, "{commands}");
}
