//! A network in virtual time: an authority, hosts, and what lies between them.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test program uses some of it"
)]

pub mod authority;
pub mod node;
pub mod plane;
pub mod releases;
pub mod signing;

use std::collections::BTreeMap;

use tidegate_core::{Answer, Ask, AskKind, Failure, Input};
use tidegate_proto::api::{GrantWithList, StreamEvent};
use tidegate_proto::*;

pub use authority::{Authority, BEGIN, SETTINGS, Standing};
pub use node::Node;

pub fn set<T: Ord, const MAX: usize>(entries: impl IntoIterator<Item = T>) -> BoundedSet<T, MAX> {
    BoundedSet::new(entries.into_iter().collect()).unwrap()
}

pub fn list<T, const MAX: usize>(entries: impl IntoIterator<Item = T>) -> BoundedList<T, MAX> {
    BoundedList::new(entries.into_iter().collect()).unwrap()
}

/// What a node was told on its stream.
#[derive(Default)]
pub struct Told {
    open: bool,
    revision: usize,
    place: ListPlace,
    policy: Option<Digest>,
    roster: Option<(Sequence, Vec<NodeId>)>,
    members: Vec<(NodeId, Serial)>,
    grants: Vec<Digest>,
}

/// Everything.
pub struct World {
    pub now: UnixTime,
    pub authority: Authority,
    pub nodes: BTreeMap<u8, Node>,
    pub cut_off: Vec<u8>,
    pub told: BTreeMap<u8, Told>,
    /// Everything that was ever sent to a node, to be sent again.
    pub sent: BTreeMap<u8, Vec<StreamEvent>>,
    pub authority_up: bool,
    /// The latest lease of any grant that a node was sent.
    pub leases: BTreeMap<u8, UnixTime>,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            now: BEGIN,
            authority: Authority::new(seed),
            nodes: BTreeMap::new(),
            cut_off: Vec::new(),
            told: BTreeMap::new(),
            sent: BTreeMap::new(),
            authority_up: true,
            leases: BTreeMap::new(),
        }
    }

    /// A world of nodes that are in, and have heard everything.
    pub fn with_nodes(count: u8) -> Self {
        let mut world = Self::new(7);
        (1..=count).for_each(|number| world.join(number));
        world.meet();
        world
    }

    /// Admits a node and starts it.
    pub fn join(&mut self, number: u8) {
        let node = self.authority.enroll(node::public_keys(number), number);
        let certificate = self.authority.admit(node);
        self.begin(number, &certificate);
    }

    /// Starts a node that was admitted.
    pub fn begin(&mut self, number: u8, certificate: &Signed<Certificate>) {
        let mut node = Node::admitted(number, &self.authority.chain, certificate, self.now);
        node.start(self.now);
        self.nodes.insert(number, node);
    }

    pub fn id(&self, number: u8) -> NodeId {
        NodeId::of(&node::public_keys(number).identity)
    }

    pub fn node(&mut self, number: u8) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    pub fn reaches(&self, number: u8) -> bool {
        self.authority_up && !self.cut_off.contains(&number)
    }

    pub fn talk(&self, a: u8, b: u8) -> bool {
        self.nodes[&a].talks_to(&self.nodes[&b], self.now)
    }

    /// Lets everybody hear and say everything, until nobody has anything more to say.
    pub fn meet(&mut self) {
        for _ in 0..20 {
            let numbers: Vec<_> = self.nodes.keys().copied().collect();
            let mut said = false;
            for number in numbers {
                said |= self.answer(number);
                said |= self.tell(number);
            }
            if !said {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Answers what a node has asked. True if there was anything.
    pub fn answer(&mut self, number: u8) -> bool {
        let asks: Vec<Ask> = self.node(number).asks.drain(..).collect();
        let any = !asks.is_empty();
        for ask in asks {
            self.answer_one(number, ask);
        }
        any
    }

    fn answer_one(&mut self, number: u8, ask: Ask) {
        if !self.reaches(number) {
            let failed = Answer::Failed(Failure::Unreachable);
            return self.say(number, Input::Answered(ask.kind(), failed));
        }
        let (id, at) = (self.id(number), self.now);
        match ask {
            Ask::Time(nonce) => self.say(number, Input::Time(self.authority.time(nonce))),
            Ask::Heartbeat(beat) => self.say(number, Input::Time(self.authority.time(beat.nonce))),
            Ask::Receipt(receipt) if self.authority.is_in(id) => {
                self.node(number).receipts.push(receipt.clone());
                let answer = match self.authority.take_receipt(&receipt, id) {
                    true => Answer::Done,
                    false => refused(),
                };
                self.say(number, Input::Answered(AskKind::Receipt, answer));
            }
            Ask::Record(record) if self.authority.is_in(id) => {
                self.authority.entries.get_mut(&id).unwrap().record = Some(record);
                self.say(number, Input::Answered(AskKind::Record, Answer::Done));
            }
            Ask::Renew(keys) => self.renew(number, &keys, false),
            Ask::Enroll(keys) => self.renew(number, &keys, true),
            Ask::Chain => self.say(number, Input::Chain(self.authority.chain.clone())),
            Ask::List => {
                let event = StreamEvent::List(self.authority.list.clone());
                self.send(number, event);
            }
            Ask::Resync => drop(self.told.remove(&number)),
            other => {
                self.node(number)
                    .handle(Input::Answered(other.kind(), refused()), at);
            }
        }
    }

    /// Challenges the node for its keys, as the authority does, and gives it its certificate.
    fn renew(&mut self, number: u8, keys: &NodeKeys, anew: bool) {
        let origin: Origin = "https://authority.example.org:7443".parse().unwrap();
        let place = Place {
            network: self.authority.genesis.network,
            origin: &origin,
        };
        let node = &self.nodes[&number];
        let (challenge, expected) = keys.challenge(place, &mut node.rng()).unwrap();
        let answer = node
            .member
            .as_ref()
            .unwrap()
            .answer(&origin, keys, &challenge);
        let kind = if anew {
            AskKind::Enroll
        } else {
            AskKind::Renew
        };
        let Ok(answer) = answer else {
            // Other keys have been drawn since, because the node learned that it was revoked.
            return self.say(number, Input::Answered(kind, refused()));
        };
        assert_eq!(answer, expected);
        match self.authority.renew(keys, anew) {
            Some(certificate) => {
                self.say(number, Input::Certificate(certificate));
                self.learn_key(number);
            }
            None => {
                self.say(number, Input::Answered(kind, refused()));
            }
        }
    }

    /// Reads the tunnel key that a node has taken into use out of its last start order.
    fn learn_key(&mut self, number: u8) {
        if let Some(key) = self.nodes[&number].started_with {
            self.node(number).wireguard = WgSecretKey::from_bytes(key);
        }
    }

    pub fn say(&mut self, number: u8, input: Input) {
        let now = self.now;
        self.node(number).handle(input, now);
    }

    /// Sends an event, and keeps it to send it again.
    pub fn send(&mut self, number: u8, event: StreamEvent) {
        self.sent.entry(number).or_default().push(event.clone());
        self.say(number, Input::News(Box::new(event)));
    }

    /// Tells a node what is new on its stream. True if there was anything.
    pub fn tell(&mut self, number: u8) -> bool {
        let id = self.id(number);
        let alive = self.nodes[&number].member.is_some();
        if !alive || !self.reaches(number) || !self.authority.is_in(id) {
            let open = self.told.remove(&number).is_some_and(|told| told.open);
            if open {
                self.say(number, Input::StreamClosed);
            }
            return open;
        }
        let news = self.news(number, id);
        let any = !news.is_empty();
        for event in news {
            if let StreamEvent::Grant(sent) = &event {
                let grant = sent
                    .grant
                    .verify(&self.authority.keyring(), self.now)
                    .unwrap();
                let last = self.leases.entry(number).or_default();
                *last = grant.lease_until.max(*last);
            }
            self.send(number, event);
        }
        any
    }

    fn news(&mut self, number: u8, id: NodeId) -> Vec<StreamEvent> {
        if !self.told.get(&number).is_some_and(|told| told.open) {
            let told = Told {
                open: true,
                revision: 1,
                ..Told::default()
            };
            self.told.insert(number, told);
            self.say(number, Input::StreamOpened);
        }
        let mut told = self.told.remove(&number).unwrap();
        let mut news = Vec::new();
        for genesis in &self.authority.chain[told.revision..] {
            news.push(StreamEvent::Genesis(genesis.clone()));
        }
        told.revision = self.authority.chain.len();
        if told.place != self.authority.place {
            told.place = self.authority.place;
            news.push(StreamEvent::List(self.authority.list.clone()));
        }
        let policy = self.authority.policy.digest();
        let changed = told.policy != Some(policy);
        if changed {
            told.policy = Some(policy);
            news.push(StreamEvent::Policy(self.authority.policy.clone()));
        }
        self.tell_roster(&mut told, changed, id, &mut news);
        for grant in self.authority.grants(id) {
            self.tell_grant(&mut told, grant, &mut news);
        }
        self.told.insert(number, told);
        news
    }

    fn tell_roster(
        &mut self,
        told: &mut Told,
        full: bool,
        id: NodeId,
        news: &mut Vec<StreamEvent>,
    ) {
        let entries = self.authority.entries.iter();
        let members: Vec<_> = entries
            .filter(|(_, entry)| entry.standing == Standing::Allowed)
            .map(|(node, entry)| (*node, entry.serial))
            .collect();
        if members == told.members && told.roster.is_some() && !full {
            return;
        }
        told.members = members;
        let update = self
            .authority
            .roster(id, told.roster.take().filter(|_| !full));
        let roster = update
            .roster
            .verify(&self.authority.keyring(), self.now)
            .unwrap();
        let peers = told.members.iter().map(|(node, _)| *node).collect();
        told.roster = Some((roster.version, peers));
        news.push(StreamEvent::Roster(update));
    }

    fn tell_grant(&mut self, told: &mut Told, grant: GrantWithList, news: &mut Vec<StreamEvent>) {
        let digest = grant.grant.digest();
        if !told.grants.contains(&digest) {
            told.grants.push(digest);
            news.push(StreamEvent::Grant(grant));
        }
    }

    /// Lets time pass. `look` sees the world after everything that happens in it.
    pub fn pass(&mut self, span: Span, look: &mut impl FnMut(&World)) {
        let until = self.now + span;
        let mut turns = 0;
        loop {
            turns += 1;
            let most = 1000 + span.as_millis() / 20;
            assert!(turns < most, "somebody does not come to rest");
            let opens = Some(self.authority.next_tick()).filter(|_| self.authority_up);
            let ticks = self.nodes.values().filter_map(Node::next);
            let next = ticks.chain(opens).min().unwrap_or(until);
            let at = next.max(self.now + Span::from_millis(1)).min(until);
            self.set_time(at);
            look(self);
            if at >= until {
                return;
            }
        }
    }

    /// Jumps to a moment, and does what is due there.
    pub fn set_time(&mut self, at: UnixTime) {
        self.now = at;
        self.authority.now = at;
        if self.authority_up && self.authority.next_tick() <= at {
            self.authority.tick();
        }
        for node in self.nodes.values_mut() {
            if node.next().is_some_and(|next| next <= at) {
                node.tick(at);
            }
        }
        self.meet();
    }

    pub fn wait(&mut self, seconds: u64) {
        self.pass(Span::from_secs(seconds), &mut |_| {});
    }
}

/// The authority's no.
fn refused() -> Answer {
    let (code, detail) = ("not-a-member".to_owned(), "it is not a member".to_owned());
    Answer::Failed(Failure::Refused { code, detail })
}
