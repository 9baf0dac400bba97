//! The member: one node of one network, as it sees itself.

mod asks;
mod circle;
mod news;
mod recovery;
mod restore;
mod save;
mod steer;
mod time;
mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use tidegate_proto::{
    Answer, Authority, Certificate, Challenge, Document as _, Endpoint, Genesis, Keyring, Label,
    Latest, ListPlace, NodeId, NodeKeys, NodeName, Origin, Place, PossessionError, RevocationList,
    SealError, SigningKey, UnixTime, Verified, policy::Policy,
};

pub use restore::{Founding, RestoreError};

use crate::clock::Clock;
use crate::file::Files;
use crate::floors::Floors;
use crate::grants::Grants;
use crate::host::HostWish;
use crate::input::{Choices, Input, PlaneReport, Wish};
use crate::keys::Keys;
use crate::outbox::Outbox;
use crate::output::{Output, Token};
use crate::peers::Numbers;
use crate::plane::Plane;
use crate::receipts::Receipts;
use crate::recent::Recent;
use crate::renewal::Renewal;
use crate::roster::Roster;
use crate::status::State;
use crate::time::{BootId, Now, Timeout};
use crate::trust::Trust;

use asks::Asks;
use circle::Circle;
use save::Saver;

/// What a member is made from.
pub struct Setup {
    /// The key that the node signs with; the shell signs its requests with it.
    pub identity: Arc<SigningKey>,
    /// The files of the state directory, as they were found and synced.
    pub files: Files,
    /// Which boot of the host this is.
    pub boot: BootId,
    /// 32 random bytes.
    pub seed: [u8; 32],
    /// The program's name and version, for heartbeats.
    pub program: Label,
    /// What the host's owner has chosen.
    pub choices: Choices,
}

/// The table of names: each node with its addresses.
pub type Names = BTreeMap<NodeName, [IpAddr; 2]>;

/// One node of one network.
pub struct Member {
    identity: Arc<SigningKey>,
    node: NodeId,
    program: Label,
    choices: Choices,
    rng: ChaCha20Rng,
    clock: Clock,
    trust: Trust,
    keys: Keys,
    certificate: Latest<Certificate>,
    /// When the last certificate ended, where none is in force.
    ended: Option<UnixTime>,
    list: Latest<RevocationList>,
    /// The list that is on the disk.
    list_stored: Option<ListPlace>,
    policy: Latest<Policy>,
    roster: Roster,
    grants: Grants,
    recent: Recent,
    floors: Floors,
    numbers: Numbers,
    circle: Circle,
    plane: Option<Plane>,
    /// The last order that was given to the data plane, until it is answered.
    ordered: Option<Token>,
    receipts: Receipts,
    renewal: Renewal,
    asks: Asks,
    saver: Saver,
    stream: bool,
    endpoints: Vec<Endpoint>,
    host: Option<Option<Arc<HostWish>>>,
    state: Option<State>,
    outbox: Outbox,
    timeout: Option<Timeout>,
}

impl Member {
    /// Carries out one mutation. Drain [`Self::poll_output`] after it.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::News(event) => self.take_news(*event, now),
            Input::Chain(chain) => self.take_chain(&chain, now),
            Input::Time(statement) => self.take_time(&statement, now),
            Input::Certificate(certificate) => self.take_certificate(&certificate, now),
            Input::StreamOpened => self.stream_opened(now),
            Input::StreamClosed => self.stream = false,
            Input::StreamRefused { code } => self.stream_refused(&code),
            Input::Answered(kind, answer) => self.answered(kind, &answer, now),
            Input::Stored(token) => self.stored(token, now),
            Input::NotStored(token) => self.not_stored(token, now),
            Input::Plane(report) => self.plane_reported(report, now),
            Input::Wish(wish) => self.wish(wish, now),
            Input::Choices(choices) => self.choose(choices, now),
            Input::Endpoints(endpoints) => self.found_at(endpoints),
        }
        self.settle(now);
    }

    /// Does what is due. Call it at [`Self::poll_timeout`], and whenever the wall clock was set.
    pub fn handle_timeout(&mut self, now: Now) {
        self.settle(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timeout> {
        self.timeout
    }

    /// Makes everything that follows from what is known true.
    fn settle(&mut self, now: Now) {
        self.watch_clocks(now);
        self.retire_keys(now);
        self.end_what_ended(now);
        self.turn_epochs(now);
        self.steer_plane(now);
        self.sign_receipt(now);
        self.steer_host();
        self.ask_what_is_due(now);
        self.save_what_is_due(now);
        self.tell_state(now);
        self.timeout = self.next_timeout(now);
    }

    fn wish(&mut self, wish: Wish, now: Now) {
        self.recent.wish = wish;
        if wish == Wish::Down {
            self.recent.guarded.clear();
        }
        self.circle.outdate();
        self.saver.now(crate::FileName::Recent, now);
    }

    fn choose(&mut self, choices: Choices, now: Now) {
        if self.choices == choices {
            return;
        }
        self.choices = choices;
        self.circle.outdate();
        self.guard_what_is_accepted(now);
    }

    /// Gives up the guards over networks that the owner does not accept any more.
    fn guard_what_is_accepted(&mut self, now: Now) {
        let Self {
            recent, choices, ..
        } = self;
        let before = recent.guarded.len();
        recent.guarded.retain(|route| choices.guards(route));
        if before != recent.guarded.len() {
            self.saver.now(crate::FileName::Recent, now);
        }
    }

    fn plane_reported(&mut self, report: PlaneReport, now: Now) {
        match report {
            PlaneReport::Applied(order) => self.plane_applied(order),
            PlaneReport::Gone { order, why } => self.plane_gone(order, why, now),
            PlaneReport::Event(event) => self.plane_event(event, now),
            PlaneReport::Used(peers) => {
                for peer in peers {
                    self.note_use(peer, now);
                }
            }
        }
    }

    /// The authority's time, as well as it is known: what requests are signed with.
    pub fn time(&self, now: Now) -> UnixTime {
        self.clock.time(now)
    }

    /// Answers the challenge of the authority at `origin` over keys that [`Ask::Renew`](crate::Ask::Renew) or
    /// [`Ask::Enroll`](crate::Ask::Enroll) named.
    pub fn answer(
        &self,
        origin: &Origin,
        keys: &NodeKeys,
        challenge: &Challenge,
    ) -> Result<Answer, PossessionError> {
        let pair = self.keys.secrets_of(keys).ok_or(SealError::OtherKey)?;
        let place = Place {
            network: self.trust.chain().network(),
            origin,
        };
        keys.answer(place, challenge, &pair.wireguard, &pair.sealing)
    }

    /// The genesis in force: the authority's URLs and pins, and the network's name.
    pub fn genesis(&self) -> &Verified<Genesis> {
        self.trust.genesis()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Every name that counts, this node's own among them.
    pub fn names(&self) -> Arc<Names> {
        self.circle.names()
    }

    /// The keys that the genesis in force names, for whoever asks the authority; none once the root contradicts itself.
    pub fn authority_keys(&self) -> Option<Keyring<Authority>> {
        self.trust.keyring().ok()
    }

    /// The keys that sign for the authority; none where the chain cannot be trusted.
    fn keyring(&self) -> Option<Keyring<Authority>> {
        let floor = self.floors.of(crate::FileName::Genesis);
        let behind =
            floor.is_some_and(|(order, _)| self.genesis().revision.sequence() < order.sequence);
        self.trust.keyring().ok().filter(|_| !behind)
    }

    /// The certificate in force, if it counts now.
    fn own(&self, now: Now) -> Option<&Verified<Certificate>> {
        let time = self.clock.time(now);
        let counts = |own: &&Verified<Certificate>| own.validity().check(time).is_ok();
        self.certificate.current().filter(counts)
    }
}
