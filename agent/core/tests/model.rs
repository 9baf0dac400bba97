//! The reference model: random transitions, and after every moment the question who can talk to whom.
//!
//! The adversary is strong: some admitted node hands every grant key that it gets to whoever is out. So a node that is out
//! can talk to an honest one as long as the honest one's data plane holds its tunnel key in any epoch that is open.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[allow(unreachable_pub, reason = "it is a module of a test program")]
#[path = "model/step.rs"]
mod step;
mod world;

use std::collections::BTreeSet;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use step::Step;
use tidegate_core::{Input, State, Stopped, Wish};
use tidegate_proto::api::StreamEvent;
use tidegate_proto::{RevocationKind, Span};
use world::{Standing, World, node};

const NODES: u8 = 5;
/// Steps of each seed, and seeds: together more than 10,000 steps.
const STEPS: usize = 150;
const SEEDS: u64 = 70;
/// Seeds that once found something.
const FOUND: &str = include_str!("model.seeds");

struct Model {
    world: World,
    rng: ChaCha20Rng,
    /// What was released before a revocation and not delivered: a second replica was slower.
    late: Vec<(u8, StreamEvent)>,
    /// Nodes whose clocks were touched, or that lost something, since they heard the authority.
    blurred: BTreeSet<u8>,
    down: BTreeSet<u8>,
    steps: usize,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut world = World::new(seed);
        for number in 1..=3 {
            world.join(number);
            world.node(number).drift = (rng.next_u64() % 600) as i64 - 300;
        }
        world.meet();
        Self {
            world,
            rng,
            late: Vec::new(),
            blurred: BTreeSet::new(),
            down: BTreeSet::new(),
            steps: 0,
        }
    }

    fn standing(&self, number: u8) -> Option<Standing> {
        let entry = self.world.authority.entries.get(&self.world.id(number));
        entry.map(|entry| entry.standing)
    }

    fn runs(&self, number: u8) -> bool {
        let node = self.world.nodes.get(&number);
        node.is_some_and(|node| node.member.is_some())
    }

    /// Takes a step, if it can be taken here.
    fn take(&mut self, step: Step) {
        match step {
            Step::Join(n) if self.standing(n).is_none() => {
                self.world.authority.enroll(node::public_keys(n), n);
            }
            Step::Approve(n) if self.standing(n) == Some(Standing::Pending) => {
                let id = self.world.id(n);
                let certificate = self.world.authority.admit(id);
                self.world.begin(n, &certificate);
            }
            Step::PutOut(n, kind) => self.put_out(n, kind),
            Step::Reinstate(n) if self.standing(n).is_some() => {
                let id = self.world.id(n);
                self.world.authority.reinstate(id);
            }
            Step::Partition(n) if !self.world.cut_off.contains(&n) => self.world.cut_off.push(n),
            Step::Heal(n) => self.world.cut_off.retain(|cut| *cut != n),
            Step::AuthorityDown => self.world.authority_up = false,
            Step::AuthorityUp => {
                self.world.authority_up = true;
                self.world.authority.tick();
            }
            Step::Rotate if self.world.authority_up => self.world.authority.rotate(),
            Step::Policy(permits) => self.world.authority.put_policy(permits),
            Step::Late(which) => self.deliver_late(which),
            Step::Pass(millis) => self.pass(Span::from_millis(millis)),
            other => self.take_at_node(other),
        }
        self.world.meet();
    }

    fn take_at_node(&mut self, step: Step) {
        let now = self.world.now;
        match step {
            Step::Kill(n) if self.runs(n) => {
                self.blurred.insert(n);
                self.world.told.remove(&n);
                self.world.node(n).kill();
            }
            Step::Restart(n) if self.world.nodes.contains_key(&n) && !self.runs(n) => {
                self.world.node(n).prompt = true;
                self.world.node(n).slow = false;
                self.world.node(n).start(now);
                self.remember_wish(n);
            }
            Step::Reboot(n) if self.world.nodes.contains_key(&n) => self.reboot(n),
            Step::PlaneFails(n) if self.runs(n) && self.world.nodes[&n].plane.is_some() => {
                self.blurred.insert(n);
                self.world.node(n).lose_plane(now);
            }
            Step::WallClock(n, off) if self.runs(n) => {
                self.blurred.insert(n);
                self.world.node(n).wall_off = off;
                self.world.node(n).tick(now);
            }
            Step::Lag(n) if self.runs(n) => {
                self.world.node(n).prompt = false;
                if n % 2 == 1 {
                    self.world.node(n).slow = true;
                    self.blurred.insert(n);
                }
            }
            Step::Catch(n) if self.runs(n) => {
                self.world.node(n).prompt = true;
                self.world.node(n).slow = false;
                self.world.node(n).confirm(now);
                self.world.node(n).tick(now);
            }
            Step::Confirm(n) if self.runs(n) => {
                let node = self.world.node(n);
                if node.slow {
                    while node.sync(now) {} // only the data thread is slow
                }
                let _ = node.confirm_order(now) || node.sync(now);
                node.tick(now);
            }
            Step::Replay(n, which) => self.replay(n, which),
            Step::Gossip(n) if self.runs(n) => {
                let list = self.world.authority.list.clone();
                self.world
                    .say(n, Input::News(Box::new(StreamEvent::List(list))));
            }
            Step::Wish(n, wish) if self.runs(n) => {
                if wish == Wish::Down {
                    self.down.insert(n);
                } else {
                    self.down.remove(&n);
                }
                self.world.say(n, Input::Wish(wish));
            }
            _ => {}
        }
    }

    fn put_out(&mut self, n: u8, kind: RevocationKind) {
        let may = match self.standing(n) {
            Some(Standing::Allowed) => true,
            Some(Standing::Suspended) => kind == RevocationKind::Revoked,
            _ => false,
        };
        if !may {
            return;
        }
        for other in self.world.nodes.keys().copied().collect::<Vec<_>>() {
            let id = self.world.id(other);
            if self.world.authority_up && self.world.authority.is_in(id) {
                let grants = self.world.authority.grants(id);
                self.late.extend(
                    grants
                        .into_iter()
                        .map(|grant| (other, StreamEvent::Grant(grant))),
                );
            }
        }
        let id = self.world.id(n);
        self.world.authority.put_out(id, kind);
    }

    /// The real-time clock is not set back across a reboot: an assumption of the bound.
    fn reboot(&mut self, n: u8) {
        let now = self.world.now;
        self.blurred.insert(n);
        self.world.told.remove(&n);
        let node = self.world.node(n);
        node.wall_off = node.wall_off.max(0);
        node.reboot(now);
        node.prompt = true;
        node.slow = false;
        node.start(now);
        self.remember_wish(n);
    }

    /// A wish that was not on the disk yet is forgotten with the process.
    fn remember_wish(&mut self, n: u8) {
        if self.world.nodes[&n].state(self.world.now) == State::Down {
            self.down.insert(n);
        } else {
            self.down.remove(&n);
        }
    }

    fn replay(&mut self, n: u8, which: u64) {
        let sent = self.world.sent.get(&n).filter(|sent| !sent.is_empty());
        let Some(event) = sent.map(|sent| sent[which as usize % sent.len()].clone()) else {
            return;
        };
        self.world.say(n, Input::News(Box::new(event)));
    }

    fn deliver_late(&mut self, which: u64) {
        if !self.late.is_empty() {
            let (n, event) = self.late.swap_remove(which as usize % self.late.len());
            self.world.say(n, Input::News(Box::new(event)));
        }
    }

    fn pass(&mut self, span: Span) {
        let mut wrong = None;
        self.world.pass(span, &mut |world| {
            if let Some(fault) = unsafe_pair(world) {
                wrong.get_or_insert(fault);
            }
        });
        if let Some(fault) = wrong {
            panic!("{fault}");
        }
    }

    fn check(&mut self) {
        if let Some(fault) = unsafe_pair(&self.world) {
            panic!("{fault}");
        }
        for n in 1..=NODES {
            let allowed = self.standing(n) == Some(Standing::Allowed);
            let reaches = allowed && self.runs(n) && self.world.reaches(n);
            if reaches && self.world.nodes[&n].prompt && self.world.nodes[&n].plane.is_some() {
                self.blurred.remove(&n);
            }
        }
        self.check_who_may();
        self.check_who_waits();
    }

    /// Of those who hear the authority, exactly those can talk who may.
    fn check_who_may(&self) {
        let hears = |n: &u8| {
            self.runs(*n)
                && self.world.reaches(*n)
                && !self.blurred.contains(n)
                && self.world.nodes[n].prompt
        };
        let all: Vec<u8> = (1..=NODES).filter(hears).collect();
        for a in &all {
            for b in all.iter().filter(|b| *b > a) {
                let isin =
                    |n: &u8| self.standing(*n) == Some(Standing::Allowed) && !self.down.contains(n);
                let permitted = self.world.authority.permits || *a == 1;
                if !isin(a) && !isin(b) {
                    continue; // they ask for the list now and then, and until then do as before
                }
                let may = isin(a) && isin(b) && permitted;
                assert_eq!(
                    self.world.talk(*a, *b),
                    may,
                    "nodes {a} and {b}: may they talk? {may}"
                );
            }
        }
    }

    /// Those who do not hear it go on until their lease ends.
    fn check_who_waits(&self) {
        for n in (1..=NODES)
            .filter(|n| self.runs(*n) && !self.blurred.contains(n) && !self.down.contains(n))
        {
            let node = &self.world.nodes[&n];
            let stopped = matches!(
                node.state(self.world.now),
                State::Stopped(Stopped::Out { .. } | Stopped::CertificateEnded(_))
            );
            let last = self.world.leases.get(&n).copied();
            let Some(last) = last.filter(|_| node.prompt && !stopped) else {
                continue;
            };
            if self.world.now + Span::from_secs(1) < last {
                let open = node.plane.as_ref().map(|plane| {
                    plane
                        .epochs
                        .values()
                        .filter(|end| **end > node.now(self.world.now).boot)
                        .count()
                });
                assert!(
                    open.is_some_and(|open| open > 0),
                    "node {n} stopped before its lease ended at {last}: {:?}",
                    node.state(self.world.now)
                );
            }
        }
    }
}

/// A pair that talks though the promise says otherwise.
fn unsafe_pair(world: &World) -> Option<String> {
    for cutoff in world.authority.cutoffs.values() {
        for (n, node) in &world.nodes {
            if node.id == cutoff.revocation.node
                || !node.talks_under(&cutoff.key, world.now, |_, _| true)
            {
                continue;
            }
            let (node_id, now) = (cutoff.revocation.node, world.now);
            // What is in force in the data plane of a slow thread, only its receipt can say.
            let applied = node.applied.filter(|_| !node.slow);
            if applied.is_some_and(|place| place >= cutoff.revocation.list) {
                return Some(format!("node {n} talks to {node_id}, who is on its list"));
            }
            let receipt = world.authority.receipts.get(&node.id);
            if receipt.is_some_and(|(_, place)| *place >= cutoff.revocation.list) {
                return Some(format!("node {n} talks to {node_id} after its receipt"));
            }
            match cutoff.published.time() {
                Some(bound) if now <= bound => {}
                bound => {
                    return Some(format!(
                        "node {n} talks to {node_id} at {now}, and {bound:?} was promised"
                    ));
                }
            }
        }
    }
    None
}

fn run(seed: u64, steps: usize) -> usize {
    let mut model = Model::new(seed);
    let mut taken = Vec::new();
    for _ in 0..steps {
        let step = Step::draw(NODES, &mut model.rng);
        taken.push(step);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            model.take(step);
            model.check();
        }));
        if result.is_err() {
            let last = &taken[taken.len().saturating_sub(30)..];
            panic!(
                "seed {seed} fails at step {}; the last steps: {last:?}",
                taken.len()
            );
        }
        model.steps += 1;
    }
    model.steps
}

#[test]
fn who_can_talk_is_who_may_and_nobody_talks_past_the_promise() {
    let found = FOUND
        .lines()
        .filter_map(|line| line.split('#').next()?.trim().parse().ok());
    let first = std::env::var("MODEL_FIRST_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let count = std::env::var("MODEL_SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(SEEDS);
    let seeds: Vec<u64> = found.chain(first..first + count).collect();
    let steps: usize = std::thread::scope(|scope| {
        let halves = seeds.chunks(seeds.len().div_ceil(2));
        let runs: Vec<_> = halves
            .map(|half| scope.spawn(|| half.iter().map(|seed| run(*seed, STEPS)).sum::<usize>()))
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    println!("{steps} steps");
    assert!(count < SEEDS || steps >= 10_000);
}
