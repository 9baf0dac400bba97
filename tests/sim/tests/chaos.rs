//! Random changes on every node at once, against a model that only knows who may reach whom.

use std::collections::BTreeMap;
use std::time::Duration;
use tidegate_sim::{Link, World, peer};
use tidegate_wg::{Command, Epoch, Mono};

const NODES: u8 = 5;
const STEPS: u32 = 400;
const STEP: Duration = Duration::from_millis(50);

/// What one node has been told.
#[derive(Default)]
struct Told {
    /// Its epochs with their deadlines, in time since the start.
    epochs: BTreeMap<u64, Duration>,
    removed: Vec<u8>,
}

struct Chaos {
    world: World,
    told: Vec<Told>,
    newest: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let world = World::new(
            NODES,
            Link {
                loss: 50,
                duplicated: 30,
                delay: (1, 60),
            },
            seed,
        );
        Self {
            world,
            told: (0..NODES).map(|_| Told::default()).collect(),
            newest: 1,
        }
    }

    fn change(&mut self) {
        let node = self.world.random(u64::from(NODES)) as u8;
        match self.world.random(9) {
            0 => self.newest += 1,
            1..=3 => self.install(node),
            4 | 5 => self.activate(node),
            6 => self.retire(node),
            7 => self.remove(node),
            _ => self.restore(node),
        }
    }

    fn install(&mut self, node: u8) {
        let epoch = self.newest - self.world.random(2).min(self.newest - 1);
        let told = &mut self.told[usize::from(node)];
        if told.epochs.len() == 3 && !told.epochs.contains_key(&epoch) {
            return;
        }
        let deadline = self.world.time() + Duration::from_millis(500 + self.world.random(8000));
        self.told[usize::from(node)].epochs.insert(epoch, deadline);
        let instant = self.world.instant(deadline);
        self.world
            .install(node, epoch, instant, Duration::from_millis(200));
        for other in self.told[usize::from(node)].removed.clone() {
            // The keys of the removed are for nobody.
            assert!(
                self.world
                    .status(node)
                    .peers
                    .iter()
                    .all(|status| status.id != peer(other))
            );
        }
    }

    fn activate(&mut self, node: u8) {
        let now = self.world.time();
        let epochs = &self.told[usize::from(node)].epochs;
        let usable = epochs
            .iter()
            .rev()
            .find(|(_, deadline)| **deadline > now)
            .map(|(epoch, _)| *epoch);
        if let Some(epoch) = usable {
            self.world.apply(node, Command::Activate(Epoch(epoch)));
        }
    }

    fn retire(&mut self, node: u8) {
        if let Some((epoch, _)) = self.told[usize::from(node)].epochs.pop_first() {
            self.world.apply(node, Command::Retire(Epoch(epoch)));
        }
    }

    fn remove(&mut self, node: u8) {
        let other = self.world.random(u64::from(NODES)) as u8;
        if other != node && !self.told[usize::from(node)].removed.contains(&other) {
            self.told[usize::from(node)].removed.push(other);
            self.world.apply(node, Command::RemovePeer(peer(other)));
        }
    }

    fn restore(&mut self, node: u8) {
        let told = &mut self.told[usize::from(node)];
        if let Some(other) = told.removed.pop() {
            let epochs: Vec<u64> = told.epochs.keys().copied().collect();
            self.world.add(node, other, &epochs);
        }
    }

    fn traffic(&mut self, number: u32) {
        for from in 0..NODES {
            (0..NODES)
                .filter(|to| *to != from)
                .for_each(|to| self.world.send(from, to, number));
        }
    }

    /// Nothing arrived that the receiver had forbidden, nor in an epoch that it had not, nor after its deadline.
    fn check(&mut self, before: &BTreeMap<(u8, u8), usize>) {
        let now = self.world.time();
        for (to, told) in self.told.iter().enumerate() {
            // The step that has just passed began before the deadline of what was usable in it.
            let usable = told.epochs.values().any(|deadline| *deadline > now - STEP);
            for from in (0..NODES).filter(|from| usize::from(*from) != to) {
                let arrived = self.world.nodes[to].count(from) - before[&(from, to as u8)];
                let forbidden = told.removed.contains(&from) || !usable;
                assert!(
                    !forbidden || arrived == 0,
                    "{arrived} from {from} to {to} at {now:?}"
                );
            }
        }
    }

    fn counts(&self) -> BTreeMap<(u8, u8), usize> {
        let pairs = (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to)));
        pairs
            .map(|(from, to)| ((from, to), self.world.nodes[usize::from(to)].count(from)))
            .collect()
    }

    /// Tells every node the same again; then everybody must reach everybody.
    fn heal(&mut self) {
        self.newest += 1;
        for node in 0..NODES {
            while !self.told[usize::from(node)].epochs.is_empty() {
                self.retire(node);
            }
            while !self.told[usize::from(node)].removed.is_empty() {
                self.restore(node);
            }
            self.world
                .install(node, self.newest, Mono::NEVER, Duration::ZERO);
            self.world
                .apply(node, Command::Activate(Epoch(self.newest)));
        }
    }
}

#[test]
fn nobody_reaches_whom_they_may_not_and_everybody_the_rest_again() {
    let mut reached = 0;
    for seed in 1..=10 {
        let mut chaos = Chaos::new(seed);
        for step in 0..STEPS {
            chaos.change();
            let before = chaos.counts();
            chaos.traffic(step);
            chaos.world.run(STEP);
            chaos.check(&before);
        }
        reached += chaos.counts().values().sum::<usize>();
        chaos.heal();
        for step in 0..200 {
            chaos.traffic(STEPS + step);
            chaos.world.run(STEP);
        }
        let before = chaos.counts();
        chaos.traffic(STEPS + 200);
        chaos.traffic(STEPS + 201);
        chaos.traffic(STEPS + 202);
        chaos.world.run(Duration::from_secs(2));
        let after = chaos.counts();
        let silent = after
            .iter()
            .filter(|((from, to), count)| from != to && **count == before[&(*from, *to)]);
        assert_eq!(
            silent.count(),
            0,
            "seed {seed}: somebody is cut off for good"
        );
    }
    assert!(reached > 5_000, "{reached} packets got through the chaos");
}
