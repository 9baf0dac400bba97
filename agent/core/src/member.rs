//! The member: one node of one network, as it sees itself.

mod founding;
mod trust;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use tidegate_proto::{
    Answer, Challenge, Genesis, Label, NodeId, NodeKeys, NodeName, Origin, Place, PossessionError,
    SigningKey, TrustChain, UnixTime, Verified,
};

pub use founding::{Founding, RestoreError};

use crate::file::Files;
use crate::input::{Choices, Input};
use crate::keys::Keys;
use crate::output::Output;
use crate::status::{ClockSource, ClockView, State, Status, Waiting};
use crate::time::{BootId, Now, Timeout};

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
    chain: TrustChain,
    keys: Keys,
    choices: Choices,
    names: Arc<Names>,
    outputs: VecDeque<Output>,
}

impl Member {
    /// Carries out one mutation. Drain [`Self::poll_output`] after it.
    pub fn handle(&mut self, input: Input, _now: Now) {
        if let Input::Choices(choices) = input {
            self.choices = choices;
        }
    }

    /// Does what is due. Call it at [`Self::poll_timeout`], and whenever the wall clock was set.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// The next thing to do, until there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`] at the latest.
    pub fn poll_timeout(&self) -> Option<Timeout> {
        None
    }

    /// The authority's time, as well as it is known: what requests are signed with.
    pub fn time(&self, now: Now) -> UnixTime {
        now.unix
    }

    /// Answers the challenge of the authority at `origin` over keys that [`Ask::Renew`](crate::Ask::Renew) or
    /// [`Ask::Enroll`](crate::Ask::Enroll) named.
    pub fn answer(
        &self,
        origin: &Origin,
        keys: &NodeKeys,
        challenge: &Challenge,
    ) -> Result<Answer, PossessionError> {
        let other = tidegate_proto::SealError::OtherKey;
        let pair = self.keys.secrets_of(keys).ok_or(other)?;
        let place = Place {
            network: self.chain.network(),
            origin,
        };
        keys.answer(place, challenge, &pair.wireguard, &pair.sealing)
    }

    /// How the member is, for people.
    pub fn status(&self, now: Now) -> Status {
        let genesis = self.chain.genesis();
        Status {
            state: State::Waiting(Waiting::Time),
            network: genesis.name.to_string(),
            revision: genesis.revision,
            node: self.node(),
            certificate: None,
            epochs: Vec::new(),
            clock: ClockView {
                source: ClockSource::None,
                time: self.time(now),
                wall_ahead: 0,
                age: None,
            },
            list: None,
            policy: None,
            roster: None,
            stream: false,
            peers: Vec::new(),
            loops: Vec::new(),
            renewals_failed: 0,
            renewal_refused: None,
        }
    }

    /// The genesis in force: the authority's URLs and pins, and the network's name.
    pub fn genesis(&self) -> &Verified<Genesis> {
        self.chain.genesis()
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        NodeId::of(&self.identity.public_key())
    }

    /// Every name that counts, this node's own among them.
    pub fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names)
    }
}

impl Member {
    /// The member that the files hold. Everything in them is verified again; what is refused is told as an event, and
    /// costs what it held.
    pub fn restore(setup: Setup, _now: Now) -> Result<Self, RestoreError> {
        let (chain, _) = founding::chain(&setup.files)?;
        let keys = founding::keys(&setup.files)?;
        Ok(Self {
            identity: setup.identity,
            chain,
            keys,
            choices: setup.choices,
            names: Arc::default(),
            outputs: VecDeque::new(),
        })
    }
}
