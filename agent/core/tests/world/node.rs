//! A host with a member: its clocks, its disk, its data plane, and what is under way between them.

use std::collections::VecDeque;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tidegate_core::{
    Ask, BootId, Choices, Event, Files, Founding, HostWish, Input, Member, Now, Output, PlaneOrder,
    PlaneReport, Setup, Store, Token,
};
use tidegate_proto::*;
use tidegate_wg::Mono;

use super::plane::{self, Given, Plane};

/// A host.
pub struct Node {
    pub identity: Arc<SigningKey>,
    pub id: NodeId,
    pub member: Option<Member>,
    pub disk: Files,
    pub plane: Option<Plane>,
    /// Every order, where somebody wants them.
    pub record: Option<Vec<Given>>,
    pub host: Option<Option<Arc<HostWish>>>,
    /// Files that are written and not yet synced.
    pub writing: VecDeque<Store>,
    /// Whether files are synced, and orders confirmed, as soon as they are there.
    pub prompt: bool,
    /// Whether the data thread does nothing until it is confirmed.
    pub slow: bool,
    /// Orders that are not carried out yet.
    pub orders: VecDeque<Given>,
    /// Orders that are carried out, or not, and that nobody has heard of yet.
    pub unconfirmed: VecDeque<PlaneReport>,
    /// The last order that was given, and the last that was carried out, or not.
    pub last_order: Token,
    pub last_done: Token,
    pub asks: VecDeque<Ask>,
    pub events: Vec<Event>,
    /// The list that the member has in force.
    pub applied: Option<ListPlace>,
    pub receipts: Vec<Signed<Receipt>>,
    /// Secrets that its tunnels ever had.
    pub wireguard: WgSecretKey,
    /// The key of the data plane that was started last.
    pub started_with: Option<[u8; 32]>,
    boots: u64,
    booted_at: UnixTime,
    /// How fast its boot-time clock runs, in parts of a million.
    pub drift: i64,
    /// How far its wall clock is off, in milliseconds.
    pub wall_off: i64,
    seed: u64,
    pub choices: Choices,
}

/// The keys of the node with this number.
pub fn keys(number: u8) -> (SigningKey, WgSecretKey, SealingSecretKey) {
    let wireguard = WgSecretKey::from_bytes([number.wrapping_add(100); 32]);
    (
        SigningKey::from_seed(&[number + 10; 32]),
        wireguard,
        SealingSecretKey::from_seed([number + 50; 32]),
    )
}

pub fn public_keys(number: u8) -> NodeKeys {
    let (identity, wireguard, sealing) = keys(number);
    NodeKeys {
        identity: identity.public_key(),
        wireguard: wireguard.public_key(),
        sealing: sealing.public_key().unwrap(),
    }
}

impl Node {
    /// A node that was just admitted; nothing runs yet.
    pub fn admitted(
        number: u8,
        chain: &[Signed<Genesis>],
        certificate: &Signed<Certificate>,
        at: UnixTime,
    ) -> Self {
        let (identity, wireguard, sealing) = keys(number);
        let founding = Founding {
            chain,
            certificate,
            wireguard: &wireguard,
            sealing: &sealing,
        };
        let id = NodeId::of(&identity.public_key());
        Self {
            disk: founding.files().unwrap(),
            identity: Arc::new(identity),
            id,
            member: None,
            plane: None,
            record: None,
            host: None,
            writing: VecDeque::new(),
            prompt: true,
            slow: false,
            orders: VecDeque::new(),
            unconfirmed: VecDeque::new(),
            last_order: Token(0),
            last_done: Token(0),
            asks: VecDeque::new(),
            events: Vec::new(),
            applied: None,
            receipts: Vec::new(),
            wireguard,
            started_with: None,
            boots: 1,
            booted_at: at - Span::from_secs(100),
            drift: 0,
            wall_off: 0,
            seed: u64::from(number),
            choices: Choices::default(),
        }
    }

    /// What the host's clocks show.
    pub fn now(&self, at: UnixTime) -> Now {
        let since = i128::from(at.since(self.booted_at).as_millis());
        let nanos = since * (1_000_000 + i128::from(self.drift));
        let wall = i128::from(at.as_millis()) + i128::from(self.wall_off);
        Now {
            boot: Mono(u64::try_from(nanos).unwrap()),
            unix: UnixTime::from_millis(u64::try_from(wall).unwrap()),
        }
    }

    /// The first moment at which the boot-time clock shows this.
    pub fn when(&self, boot: Mono) -> UnixTime {
        let millis =
            u64::try_from(i128::from(boot.0) / (1_000_000 + i128::from(self.drift))).unwrap();
        let mut at = self.booted_at + Span::from_millis(millis);
        while self.now(at).boot < boot {
            at = at + Span::from_millis(1);
        }
        at
    }

    /// Starts the process with what is on the disk.
    pub fn start(&mut self, at: UnixTime) {
        self.seed += 1000;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let setup = Setup {
            identity: Arc::clone(&self.identity),
            files: self.disk.clone(),
            boot: BootId(format!("boot-{}", self.boots)),
            seed,
            program: "tidegate-test".parse().unwrap(),
            choices: self.choices.clone(),
        };
        let member = Member::restore(setup, self.now(at)).unwrap();
        self.applied = member.status(self.now(at)).list.map(|list| list.place);
        self.member = Some(member);
        self.drain(at);
    }

    /// Ends the process; what was not synced is lost.
    pub fn kill(&mut self) {
        self.member = None;
        self.plane = None;
        self.host = None;
        self.writing.clear();
        self.orders.clear();
        self.unconfirmed.clear();
        self.asks.clear();
    }

    /// Restarts the host: another boot, and its clocks begin anew.
    pub fn reboot(&mut self, at: UnixTime) {
        self.kill();
        self.boots += 1;
        self.booted_at = at - Span::from_secs(1);
    }

    pub fn handle(&mut self, input: Input, at: UnixTime) {
        let now = self.now(at);
        if let Some(member) = &mut self.member {
            member.handle(input, now);
        }
        self.drain(at);
    }

    pub fn tick(&mut self, at: UnixTime) {
        let now = self.now(at);
        if let Some(member) = &mut self.member {
            member.handle_timeout(now);
        }
        self.drain(at);
    }

    pub fn next(&self) -> Option<UnixTime> {
        let timeout = self.member.as_ref()?.poll_timeout()?;
        Some(self.when(timeout.at))
    }

    /// Carries out what the member gives, in order.
    fn drain(&mut self, at: UnixTime) {
        while let Some(output) = self.member.as_mut().and_then(Member::poll_output) {
            match output {
                Output::Plane(order) => self.order(order, at),
                Output::Host(wish) => self.host = Some(wish),
                Output::Store(store) => self.writing.push_back(store),
                Output::Ask(ask) => self.asks.push_back(ask),
                Output::Tell(event) => {
                    if let Event::List { place, .. } = &event {
                        self.applied = Some(*place);
                    }
                    self.events.push(event);
                }
                _ => {}
            }
            if self.prompt {
                while self.confirm_order(at) || self.sync(at) {}
            }
        }
    }

    fn order(&mut self, order: PlaneOrder, at: UnixTime) {
        if let PlaneOrder::Start(start) = &order {
            self.started_with = Some(start.key.0);
        }
        let now = self.now(at).boot;
        if let Some(record) = &mut self.record {
            record.push((now, order.clone()));
        }
        self.last_order = order.token();
        self.orders.push_back((now, order));
        while !self.slow && self.carry_out_order(at) {}
    }

    /// Has the data thread carry out the next order. Nobody hears of it yet.
    pub fn carry_out_order(&mut self, at: UnixTime) -> bool {
        let Some(order) = self.orders.pop_front() else {
            return false;
        };
        self.last_done = order.1.token();
        let now = self.now(at).boot;
        let report = plane::carry_out(&mut self.plane, order, now);
        self.unconfirmed.push_back(report);
        true
    }

    /// The data plane ends by itself, and the shell says so. Orders that wait will find none.
    pub fn lose_plane(&mut self, at: UnixTime) {
        self.plane = None;
        let gone = plane::gone(self.last_done, "it ended by itself");
        self.unconfirmed.push_back(gone);
        if self.prompt {
            self.confirm(at);
        }
    }

    /// Confirms every order, and syncs every file.
    pub fn confirm(&mut self, at: UnixTime) {
        while self.confirm_order(at) || self.sync(at) {}
        if self.member.is_some() {
            self.drain(at);
        }
    }

    pub fn confirm_order(&mut self, at: UnixTime) -> bool {
        if self.unconfirmed.is_empty() {
            self.carry_out_order(at);
        }
        let Some(report) = self.unconfirmed.pop_front() else {
            return false;
        };
        let now = self.now(at);
        if let Some(member) = &mut self.member {
            member.handle(Input::Plane(report), now);
        }
        true
    }

    /// Syncs the next file.
    pub fn sync(&mut self, at: UnixTime) -> bool {
        let Some(store) = self.writing.pop_front() else {
            return false;
        };
        self.disk.insert(store.name, (*store.bytes).clone());
        let now = self.now(at);
        if let Some(member) = &mut self.member {
            member.handle(Input::Stored(store.token), now);
        }
        true
    }

    /// Whether packets of the tunnel key can be exchanged under a pre-shared key that `knows` recognises.
    pub fn talks_under(
        &self,
        key: &WgPublicKey,
        at: UnixTime,
        knows: impl Fn(u64, &plane::Key) -> bool,
    ) -> bool {
        let now = self.now(at).boot;
        let key = tidegate_wg::PublicKey(*key.as_bytes());
        let keys = self
            .plane
            .as_ref()
            .map(|plane| plane.keys_with(&key, now))
            .unwrap_or_default();
        keys.iter().any(|(epoch, psk)| knows(epoch.0, psk))
    }

    /// Whether both data planes hold each other under the same key.
    pub fn talks_to(&self, other: &Self, at: UnixTime) -> bool {
        let theirs = other.plane.as_ref().map(|plane| {
            let own = tidegate_wg::PublicKey(*self.wireguard_public().as_bytes());
            plane.keys_with(&own, other.now(at).boot)
        });
        let theirs = theirs.unwrap_or_default();
        self.talks_under(&other.wireguard_public(), at, |epoch, psk| {
            theirs.get(&tidegate_wg::Epoch(epoch)) == Some(psk)
        })
    }

    pub fn wireguard_public(&self) -> WgPublicKey {
        self.wireguard.public_key()
    }

    /// Its certificate, as it would be judged; for tests that look into the member.
    pub fn state(&self, at: UnixTime) -> tidegate_core::State {
        self.member.as_ref().unwrap().status(self.now(at)).state
    }

    pub fn refusals(&self) -> usize {
        self.events
            .iter()
            .filter(|event| matches!(event, Event::Refused { .. }))
            .count()
    }

    pub fn rng(&self) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(self.seed)
    }
}
