//! What the data plane is wanted to know, what it was told, and the commands between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::{EpochNumber, GrantKey, KeyId, NetworkId, WgPublicKey, WgSecretKey};
use tidegate_wg::{
    Command, Epoch, EpochKeys, Filter, Local, Mono, PeerConfig, PeerId, PrivateKey, Psk, PublicKey,
    Routes, Rule,
};

use crate::output::{PlaneStart, Token};

/// A peer's own deadline is its certificate's end, which is not moved for less than this: clocks are never quite equal.
const DEADLINE_GRAIN: Duration = Duration::from_millis(250);
/// An epoch that ends this soon is not installed any more.
const TOO_SHORT: Duration = Duration::from_millis(20);

/// A peer, as the data plane is to know it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WantedPeer {
    pub(crate) key: WgPublicKey,
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) deadline: Mono,
}

/// An epoch, as the data plane is to know it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct WantedEpoch {
    /// Which drawing, and the key's id: changes exactly when every pair's key does.
    pub(crate) secret: (u32, KeyId),
    pub(crate) deadline: Mono,
    pub(crate) spread: Duration,
}

/// Everything that the data plane is to know.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) mtu: u16,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) peers: Arc<BTreeMap<PeerId, WantedPeer>>,
    pub(crate) epochs: BTreeMap<EpochNumber, WantedEpoch>,
    pub(crate) active: Option<EpochNumber>,
    pub(crate) routes: Arc<Vec<(tidegate_wg::Prefix, PeerId)>>,
    pub(crate) rules: Arc<Vec<Rule>>,
}

/// What pairs' keys are made from.
pub(crate) struct Secrets<'a> {
    pub(crate) network: NetworkId,
    pub(crate) own: &'a WgSecretKey,
    pub(crate) grants: BTreeMap<EpochNumber, &'a GrantKey>,
}

/// A data plane that was started, and what it was told since.
pub(crate) struct Plane {
    /// The order to start it.
    start: Token,
    key: WgPublicKey,
    /// Whether it has said that it runs.
    runs: bool,
    told: Wanted,
    /// Kept so that the data thread never frees a table.
    tables: (Arc<Routes>, Arc<Filter>),
}

impl Plane {
    /// A data plane that knows nothing but its key and addresses.
    pub(crate) fn started(start: Token, key: WgPublicKey, wanted: &Wanted) -> Self {
        Self {
            start,
            key,
            runs: false,
            told: Wanted {
                addresses: wanted.addresses.clone(),
                mtu: wanted.mtu,
                ..Wanted::default()
            },
            tables: (Arc::default(), Arc::default()),
        }
    }

    pub(crate) fn start(token: Token, own: &WgSecretKey, wanted: &Wanted) -> PlaneStart {
        PlaneStart {
            token,
            key: PrivateKey(*own.expose()),
            addresses: wanted.addresses.clone(),
            mtu: wanted.mtu,
        }
    }

    pub(crate) fn key(&self) -> WgPublicKey {
        self.key
    }

    /// Whether what is said of all orders up to this one is said of this data plane.
    pub(crate) fn is_meant_by(&self, order: Token) -> bool {
        self.start <= order
    }

    /// It runs: it has carried out an order.
    pub(crate) fn confirm(&mut self) {
        self.runs = true;
    }

    pub(crate) fn runs(&self) -> bool {
        self.runs
    }

    /// A peer's deadline: what was told, where that is near enough.
    pub(crate) fn steady(&self, peer: PeerId, deadline: Mono) -> Mono {
        let told = self.told.peers.get(&peer).map(|told| told.deadline);
        let near = |told: &Mono| told.since(deadline).max(deadline.since(*told)) < DEADLINE_GRAIN;
        told.filter(near).unwrap_or(deadline)
    }

    pub(crate) fn told(&self) -> &Wanted {
        &self.told
    }

    /// The commands that make what is wanted of what was told: what ends comes before what begins. With `lately` hands
    /// are shaken as soon as there is an epoch to send in.
    pub(crate) fn change(
        &mut self,
        mut wanted: Wanted,
        secrets: &Secrets<'_>,
        lately: &BTreeSet<PeerId>,
        now: Mono,
    ) -> Vec<Command> {
        wanted.epochs.retain(|epoch, want| {
            self.told.epochs.contains_key(epoch) || want.deadline > now + TOO_SHORT
        });
        wanted.active = wanted
            .active
            .filter(|epoch| wanted.epochs.contains_key(epoch));
        let mut commands = Vec::new();
        self.remove_peers(&wanted, &mut commands);
        self.end_epochs(&wanted, &mut commands);
        self.move_deadlines(&wanted, &mut commands);
        self.add_peers(&wanted, secrets, &mut commands);
        self.install_epochs(&wanted, secrets, &mut commands);
        self.activate(&wanted, lately, now, &mut commands);
        self.replace_tables(&wanted, &mut commands);
        self.told = wanted;
        commands
    }

    fn remove_peers(&self, wanted: &Wanted, commands: &mut Vec<Command>) {
        let gone = self
            .told
            .peers
            .keys()
            .filter(|id| !wanted.peers.contains_key(id));
        commands.extend(gone.map(|id| Command::RemovePeer(*id)));
    }

    fn end_epochs(&self, wanted: &Wanted, commands: &mut Vec<Command>) {
        let gone = self
            .told
            .epochs
            .keys()
            .filter(|epoch| !wanted.epochs.contains_key(epoch));
        commands.extend(gone.map(|epoch| Command::Retire(number(*epoch))));
    }

    fn move_deadlines(&self, wanted: &Wanted, commands: &mut Vec<Command>) {
        for (epoch, want) in &wanted.epochs {
            if self
                .told
                .epochs
                .get(epoch)
                .is_some_and(|told| told.deadline != want.deadline)
            {
                commands.push(Command::SetEpochDeadline(number(*epoch), want.deadline));
            }
        }
        let moved = |(id, want): &(&PeerId, &WantedPeer)| {
            let told = self.told.peers.get(id);
            told.is_some_and(|told| told.deadline != want.deadline)
        };
        let moved = wanted.peers.iter().filter(moved);
        commands.extend(moved.map(|(id, want)| Command::SetPeerDeadline(*id, want.deadline)));
    }

    fn add_peers(&self, wanted: &Wanted, secrets: &Secrets<'_>, commands: &mut Vec<Command>) {
        let anew = self.told.keepalive != wanted.keepalive;
        for (id, want) in wanted.peers.iter() {
            match self.told.peers.get(id) {
                Some(told) if !anew => {
                    if told.candidates != want.candidates {
                        commands.push(Command::SetCandidates(*id, want.candidates.clone()));
                    }
                }
                _ => commands.push(Command::AddPeer(self.config(*id, want, wanted, secrets))),
            }
        }
    }

    /// A peer with its keys of the epochs that are installed already, and stay what they are.
    fn config(
        &self,
        id: PeerId,
        want: &WantedPeer,
        wanted: &Wanted,
        secrets: &Secrets<'_>,
    ) -> PeerConfig {
        let stays = |epoch: &&EpochNumber| {
            let told = self.told.epochs.get(epoch).map(|told| told.secret);
            told.is_some() && told == wanted.epochs.get(epoch).map(|want| want.secret)
        };
        let psk = |epoch: &EpochNumber| Some((number(*epoch), secrets.psk(*epoch, &want.key)?));
        PeerConfig {
            id,
            key: PublicKey(*want.key.as_bytes()),
            candidates: want.candidates.clone(),
            keepalive: wanted.keepalive,
            mtu: None,
            deadline: want.deadline,
            psks: wanted.epochs.keys().filter(stays).filter_map(psk).collect(),
        }
    }

    fn install_epochs(&self, wanted: &Wanted, secrets: &Secrets<'_>, commands: &mut Vec<Command>) {
        for (epoch, want) in &wanted.epochs {
            let told = self.told.epochs.get(epoch);
            if told.is_some_and(|told| told.secret == want.secret) {
                continue;
            }
            let psk =
                |(id, peer): (&PeerId, &WantedPeer)| Some((*id, secrets.psk(*epoch, &peer.key)?));
            commands.push(Command::InstallEpoch(EpochKeys {
                epoch: number(*epoch),
                deadline: want.deadline,
                spread: want.spread,
                psks: wanted.peers.iter().filter_map(psk).collect(),
            }));
        }
    }

    /// Sends in an epoch; the first time also to whom this node talked before it was restarted.
    fn activate(
        &self,
        wanted: &Wanted,
        lately: &BTreeSet<PeerId>,
        now: Mono,
        commands: &mut Vec<Command>,
    ) {
        let Some(active) = wanted.active else {
            return;
        };
        let first = self.told.active.is_none();
        if self.told.active == Some(active) {
            return;
        }
        commands.push(Command::Activate(number(active)));
        let lately = lately
            .iter()
            .filter_map(|id| wanted.peers.get_key_value(id));
        let alive = lately.filter(|(_, peer)| first && peer.deadline > now + TOO_SHORT);
        commands.extend(alive.map(|(id, _)| Command::Connect(*id)));
    }

    fn replace_tables(&mut self, wanted: &Wanted, commands: &mut Vec<Command>) {
        if self.told.routes != wanted.routes {
            self.tables.0 = Arc::new(Routes::new(wanted.routes.iter().copied()));
            commands.push(Command::SetRoutes(Arc::clone(&self.tables.0)));
        }
        if self.told.rules != wanted.rules {
            self.tables.1 = Arc::new(Filter::new(wanted.rules.iter().cloned()));
            commands.push(Command::SetFilter(Arc::clone(&self.tables.1)));
        }
        if (self.told.mtu, &self.told.addresses) != (wanted.mtu, &wanted.addresses) {
            commands.push(Command::SetLocal(Local {
                addresses: wanted.addresses.clone(),
                mtu: wanted.mtu,
            }));
        }
    }
}

impl Secrets<'_> {
    /// The key of a pair in an epoch; `None` for a key that shares no secret, which then has no tunnel.
    fn psk(&self, epoch: EpochNumber, peer: &WgPublicKey) -> Option<Psk> {
        let grant = self.grants.get(&epoch)?;
        let key = grant.pairwise(self.network, epoch, self.own, peer).ok()?;
        Some(Psk(*key.expose()))
    }
}

/// The data plane's name of an epoch.
pub(crate) fn number(epoch: EpochNumber) -> Epoch {
    Epoch(epoch.value())
}
