//! A data plane that only remembers what it was told, and refuses what the engine would refuse.

use std::collections::BTreeMap;

use tidegate_core::{PlaneOrder, PlaneReport, Token};
use tidegate_wg::{Command, Epoch, Mono, PeerConfig, PeerId, PublicKey};

pub type Key = [u8; 32];

#[derive(Debug)]
pub struct Peer {
    pub key: PublicKey,
    pub deadline: Mono,
    pub psks: BTreeMap<Epoch, Key>,
}

/// A running data plane.
#[derive(Debug, Default)]
pub struct Plane {
    pub peers: BTreeMap<PeerId, Peer>,
    pub epochs: BTreeMap<Epoch, Mono>,
    pub active: Option<Epoch>,
    pub connected: Vec<PeerId>,
    pub rules: usize,
}

/// An order, and when it was given.
pub type Given = (Mono, PlaneOrder);

/// Carries out an order on what may be a running data plane. One that comes too late for what it says is refused, as the
/// engine would; one that was just given never is.
pub fn carry_out(plane: &mut Option<Plane>, (given, order): Given, now: Mono) -> PlaneReport {
    let token = order.token();
    let done = match (order, plane.as_mut()) {
        (PlaneOrder::Start(_), _) => {
            *plane = Some(Plane::default());
            Ok(())
        }
        (PlaneOrder::Stop { .. }, _) => {
            *plane = None;
            Ok(())
        }
        (PlaneOrder::Apply { commands, .. }, Some(plane)) => commands
            .into_iter()
            .try_for_each(|command| plane.apply(command, now)),
        (PlaneOrder::Apply { .. }, None) => Err("none runs"),
    };
    match done {
        Ok(()) => PlaneReport::Applied(token),
        Err(why) => {
            assert!(given < now || plane.is_none(), "refused: {why}");
            *plane = None;
            gone(token, why)
        }
    }
}

/// What the shell says of a data plane that it has dropped.
pub fn gone(order: Token, why: &str) -> PlaneReport {
    let why = why.to_owned();
    PlaneReport::Gone { order, why }
}

impl Plane {
    fn apply(&mut self, command: Command, now: Mono) -> Result<(), &'static str> {
        let open = |deadline: Mono| deadline > now;
        match command {
            Command::AddPeer(config) => self.add(config),
            Command::RemovePeer(id) => {
                drop(self.peers.remove(&id).expect("a known peer is removed"))
            }
            Command::InstallEpoch(keys) => {
                if !open(keys.deadline) {
                    return Err("an epoch is installed before its deadline");
                }
                self.epochs.insert(keys.epoch, keys.deadline);
                assert!(
                    self.epochs.len() <= 3,
                    "the engine has room for three epochs"
                );
                self.peers
                    .values_mut()
                    .for_each(|peer| peer.psks.retain(|epoch, _| *epoch != keys.epoch));
                for (id, psk) in keys.psks {
                    let peer = self.peers.get_mut(&id).expect("keys are for known peers");
                    peer.psks.insert(keys.epoch, psk.0);
                }
            }
            Command::Activate(epoch) => {
                if !open(self.epochs[&epoch]) {
                    return Err("an epoch is used before its deadline");
                }
                self.active = Some(epoch);
            }
            Command::Retire(epoch) => {
                self.epochs
                    .remove(&epoch)
                    .expect("a known epoch is retired");
                self.peers
                    .values_mut()
                    .for_each(|peer| peer.psks.retain(|held, _| *held != epoch));
                self.active = self.active.filter(|active| *active != epoch);
            }
            Command::SetEpochDeadline(epoch, deadline) => {
                *self.epochs.get_mut(&epoch).expect("a known epoch is moved") = deadline;
            }
            Command::SetPeerDeadline(id, deadline) => self.known(id).deadline = deadline,
            Command::SetCandidates(id, _) => drop(self.known(id)),
            Command::Connect(id) => {
                let active = self.active.expect("hands are shaken in an epoch");
                if !open(self.epochs[&active]) || !open(self.known(id).deadline) {
                    return Err("hands are shaken before the deadlines");
                }
                assert!(
                    self.known(id).psks.contains_key(&active),
                    "hands are shaken with a key"
                );
                self.connected.push(id);
            }
            Command::SetFilter(_) => self.rules += 1,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, config: PeerConfig) {
        let by_key = self
            .peers
            .iter()
            .find(|(_, peer)| peer.key == config.key)
            .map(|(id, _)| *id);
        assert!(by_key.is_none_or(|id| id == config.id), "one peer, one key");
        let psks: BTreeMap<_, _> = config
            .psks
            .iter()
            .map(|(epoch, psk)| (*epoch, psk.0))
            .collect();
        assert!(
            psks.keys().all(|epoch| self.epochs.contains_key(epoch)),
            "keys are of installed epochs"
        );
        let peer = Peer {
            key: config.key,
            deadline: config.deadline,
            psks,
        };
        self.peers.insert(config.id, peer);
    }

    fn known(&mut self, id: PeerId) -> &mut Peer {
        self.peers.get_mut(&id).expect("a known peer")
    }

    /// The keys with which packets of `peer` are exchanged at `now`.
    pub fn keys_with(&self, peer: &PublicKey, now: Mono) -> BTreeMap<Epoch, Key> {
        let peer = self
            .peers
            .values()
            .find(|known| known.key == *peer && known.deadline > now);
        let open = |epoch: &Epoch| {
            self.epochs
                .get(epoch)
                .is_some_and(|deadline| *deadline > now)
        };
        peer.into_iter()
            .flat_map(|peer| &peer.psks)
            .filter(|(epoch, _)| open(epoch))
            .map(|(epoch, key)| (*epoch, *key))
            .collect()
    }
}
