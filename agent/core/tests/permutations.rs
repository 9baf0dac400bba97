//! Every order in which grant, list, roster, peer record and genesis can come, each once more, with a crash between each:
//! whoever is on a list is never present once that list was applied.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod world;

use tidegate_core::Input;
use tidegate_proto::api::{RecordWithHint, StreamEvent};
use tidegate_proto::{BoundedList, PeerRecord, RevocationKind, Sequence, Signed, WgPublicKey};
use world::{Node, World, node};

/// What arrives at node 1 in one way or another. Node 3 is revoked by the list.
struct Scene {
    world: World,
    events: [StreamEvent; 5],
    revoked: WgPublicKey,
}

fn record(world: &World) -> StreamEvent {
    let document = PeerRecord {
        network: world.authority.genesis.network,
        node: world.id(3),
        sequence: Sequence::new(9).unwrap(),
        issued_at: world.now,
        endpoints: BoundedList::new(vec!["192.0.2.3:51820".parse().unwrap()]).unwrap(),
        services: world::set([]),
        capabilities: world::set([]),
        reads: world::set([]),
    };
    let record = Signed::sign(&document, &[&node::keys(3).0]).unwrap();
    let seen_from = None;
    StreamEvent::Record(RecordWithHint { record, seen_from })
}

impl Scene {
    /// The roster and the grant are from before the revocation; the genesis keeps the keys.
    fn new() -> Self {
        let mut world = World::with_nodes(3);
        world.wait(49);
        assert!(world.talk(1, 3), "they did talk before");
        world.cut_off.push(1);
        let (first, third) = (world.id(1), world.id(3));
        let roster = StreamEvent::Roster(world.authority.roster(first, None));
        let grant = StreamEvent::Grant(world.authority.grants(first).pop().unwrap());
        world.authority.put_out(third, RevocationKind::Revoked);
        let list = StreamEvent::List(world.authority.list.clone());
        world.authority.succeed(None, None);
        let genesis = StreamEvent::Genesis(world.authority.chain.last().unwrap().clone());
        let record = record(&world);
        Self {
            revoked: world.nodes[&3].wireguard_public(),
            world,
            events: [grant, list, roster, record, genesis],
        }
    }

    /// The host as it was before any of it, with its process gone.
    fn host(&self) -> Node {
        let mut node = Node::admitted(
            1,
            &self.world.authority.chain[..1],
            &self.certificate(),
            self.world.now,
        );
        node.disk = self.world.nodes[&1].disk.clone();
        node
    }

    fn certificate(&self) -> Signed<tidegate_proto::Certificate> {
        self.world.authority.entries[&self.world.id(1)]
            .certificate
            .clone()
            .unwrap()
    }

    fn present(&self, node: &Node) -> bool {
        let key = tidegate_wg::PublicKey(*self.revoked.as_bytes());
        node.plane
            .as_ref()
            .is_some_and(|plane| plane.peers.values().any(|peer| peer.key == key))
    }

    /// Delivers in this order. After `crash` deliveries the process dies; `synced` says whether its files got out before.
    fn deliver(&self, order: &[usize], crash: Option<usize>, synced: bool) {
        let at = self.world.now;
        let mut host = self.host();
        host.start(at);
        let mut applied = false;
        for (step, event) in order.iter().enumerate() {
            host.prompt = synced || crash != Some(step);
            host.handle(Input::News(Box::new(self.events[*event].clone())), at);
            let is_list = matches!(self.events[*event], StreamEvent::List(_));
            assert!(
                !(is_list && self.present(&host)),
                "{order:?}: present right after its list"
            );
            if crash == Some(step) {
                host.kill();
                host.prompt = true;
                host.start(at);
            }
            applied |= is_list && (synced || crash != Some(step));
            assert!(
                !(applied && self.present(&host)),
                "{order:?}, crash {crash:?}: present at step {step}"
            );
        }
        host.tick(at);
        assert!(!(applied && self.present(&host)));
    }
}

/// Every order of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for item in 0..count {
        let insert = |order: &Vec<usize>| {
            (0..=order.len())
                .map(|at| {
                    let mut longer = order.clone();
                    longer.insert(at, item);
                    longer
                })
                .collect::<Vec<_>>()
        };
        all = all.iter().flat_map(insert).collect();
    }
    all
}

fn in_two_threads<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    std::thread::scope(|scope| {
        for half in items.chunks(items.len().div_ceil(2)) {
            scope.spawn(|| half.iter().for_each(&check));
        }
    });
}

#[test]
fn the_revoked_peer_would_be_there_without_the_list() {
    let scene = Scene::new();
    let mut host = scene.host();
    host.start(scene.world.now);
    assert!(scene.present(&host), "from its files alone");
    for event in [2, 0, 3] {
        host.handle(
            Input::News(Box::new(scene.events[event].clone())),
            scene.world.now,
        );
        assert!(scene.present(&host));
    }
}

#[test]
fn in_no_order_and_after_no_crash_is_a_revoked_peer_present() {
    let scene = Scene::new();
    in_two_threads(&orders(5), |order| {
        scene.deliver(order, None, true);
        for crash in 0..order.len() {
            scene.deliver(order, Some(crash), true);
            scene.deliver(order, Some(crash), false);
        }
    });
}

#[test]
fn nor_when_anything_comes_twice() {
    let scene = Scene::new();
    let numbered: Vec<_> = orders(5).into_iter().enumerate().collect();
    in_two_threads(&numbered, |(number, order)| {
        // Each order once more with one of the five again, at every place behind the list.
        let again = number % 5;
        for at in 0..=order.len() {
            let mut longer = order.clone();
            longer.insert(at, again);
            scene.deliver(&longer, Some(at), number % 2 == 0);
        }
    });
}
