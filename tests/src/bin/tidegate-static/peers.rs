//! The peers, with what is needed to make engine commands of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tidegate_wg::{
    Command, Direction, Epoch, EpochKeys, Filter, IcmpKind, Local, Mono, PeerConfig, PeerId, Ports,
    Prefix, Protocols, Psk, PublicKey, Routes, Rule,
};
use tidegate_wg_io::{Control, ControlError, DeviceStatus};

use crate::args::{Args, PeerSpec, Policy, address};

/// Handshakes of a new epoch are spread over this span.
const SPREAD: Duration = Duration::from_millis(100);

/// Numbers of peers that come without routes start here.
const BARE: u64 = 1 << 40;

/// All peers and all installed epochs.
pub(crate) struct Roll {
    policy: Policy,
    local: Local,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    peers: BTreeMap<PeerId, PeerSpec>,
    epochs: BTreeMap<Epoch, Mono>,
}

impl Roll {
    pub(crate) fn new(args: &Args) -> Result<Self> {
        let mut inner = Inner::default();
        for spec in &args.peers {
            inner.add(spec.clone())?;
        }
        let addresses = args
            .addresses
            .iter()
            .map(|text| address(text))
            .collect::<Result<_>>()?;
        Ok(Self {
            policy: args.policy,
            local: Local {
                addresses,
                mtu: args.mtu,
            },
            inner: Mutex::new(inner),
        })
    }

    /// Everything, into an empty engine.
    pub(crate) fn install(&self, control: &Control, first: Epoch, deadline: Mono) -> Result<()> {
        let mut inner = self.lock();
        let mut commands = vec![
            Command::SetLocal(self.local.clone()),
            Command::SetFilter(Arc::new(filter(self.policy))),
        ];
        commands.extend(
            inner
                .peers
                .values()
                .map(|spec| Command::AddPeer(inner.config(spec))),
        );
        commands.push(inner.routes());
        commands.push(inner.install(first, deadline));
        commands.push(Command::Activate(first));
        control
            .apply_all(commands)
            .context("cannot install the peers")
    }

    pub(crate) fn install_epoch(
        &self,
        control: &Control,
        epoch: Epoch,
        deadline: Mono,
    ) -> Result<()> {
        let command = self.lock().install(epoch, deadline);
        Ok(control.apply(command)?)
    }

    pub(crate) fn activate(&self, control: &Control, epoch: Epoch) -> Result<()> {
        Ok(control.apply(Command::Activate(epoch))?)
    }

    pub(crate) fn retire(&self, control: &Control, epoch: Epoch) -> Result<()> {
        self.lock().epochs.remove(&epoch);
        Ok(control.apply(Command::Retire(epoch))?)
    }

    pub(crate) fn add(&self, control: &Control, spec: PeerSpec) -> Result<PeerId> {
        let mut inner = self.lock();
        let id = inner.add(spec)?;
        let config = inner.config(&inner.peers[&id]);
        control.apply_all(vec![Command::AddPeer(config), inner.routes()])?;
        Ok(id)
    }

    /// Adds peers that nobody will ever hear of, with keys and addresses counted up.
    pub(crate) fn add_idle(&self, control: &Control, count: u64) -> Result<()> {
        let mut inner = self.lock();
        let first = inner.next_id().0;
        let mut commands = Vec::new();
        for number in first..first + count {
            let id = inner.add(idle_peer(number))?;
            commands.push(Command::AddPeer(inner.config(&inner.peers[&id])));
        }
        commands.push(inner.routes());
        Ok(control.apply_all(commands)?)
    }

    /// One peer by itself, without new routes: what the engine takes for it.
    pub(crate) fn add_bare(&self, control: &Control, number: u64) -> Result<()> {
        let config = self.lock().config(&idle_peer(BARE + number));
        Ok(control.apply(Command::AddPeer(config))?)
    }

    pub(crate) fn remove_bare(&self, control: &Control, number: u64) -> Result<()> {
        Ok(control.remove_peer(PeerId(BARE + number))?)
    }

    pub(crate) fn remove(&self, control: &Control, peer: PeerId) -> Result<()> {
        let mut inner = self.lock();
        if inner.peers.remove(&peer).is_none() {
            bail!("no peer {}", peer.0);
        }
        // First what matters, then what is only tidy.
        control.remove_peer(peer)?;
        Ok(control.apply(inner.routes())?)
    }

    pub(crate) fn set_endpoint(
        &self,
        control: &Control,
        peer: PeerId,
        to: SocketAddr,
    ) -> Result<()> {
        Ok(control.apply(Command::SetEndpoint(peer, to))?)
    }

    /// What `wg show` is told.
    pub(crate) fn device_status(
        &self,
        control: &Control,
        fwmark: Option<u32>,
    ) -> Result<DeviceStatus, ControlError> {
        let (status, io) = (control.status()?, control.io_status()?);
        let inner = self.lock();
        let allowed = |peer| {
            inner
                .peers
                .get(&peer)
                .map_or(Vec::new(), |spec| spec.allowed.clone())
        };
        Ok(DeviceStatus::new(&status, &io, fwmark, allowed))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, spec: PeerSpec) -> Result<PeerId> {
        let id = spec.id.unwrap_or(self.next_id());
        if self.peers.insert(id, spec).is_some() {
            bail!("peer {} is there already", id.0);
        }
        Ok(id)
    }

    fn next_id(&self) -> PeerId {
        self.peers
            .last_key_value()
            .map_or(PeerId(1), |(last, _)| PeerId(last.0 + 1))
    }

    fn id_of(&self, key: PublicKey) -> PeerId {
        let found = self.peers.iter().find(|(_, spec)| spec.key == key);
        found.map_or(PeerId(0), |(id, _)| *id)
    }

    fn config(&self, spec: &PeerSpec) -> PeerConfig {
        PeerConfig {
            id: spec.id.unwrap_or_else(|| self.id_of(spec.key)),
            key: spec.key,
            candidates: spec.endpoint.into_iter().collect(),
            keepalive: spec.keepalive,
            mtu: None,
            deadline: Mono::NEVER,
            psks: self
                .epochs
                .keys()
                .map(|epoch| (*epoch, mixed(&spec.psk, *epoch)))
                .collect(),
        }
    }

    fn install(&mut self, epoch: Epoch, deadline: Mono) -> Command {
        self.epochs.insert(epoch, deadline);
        let psks = self
            .peers
            .iter()
            .map(|(id, spec)| (*id, mixed(&spec.psk, epoch)))
            .collect();
        Command::InstallEpoch(EpochKeys {
            epoch,
            deadline,
            spread: SPREAD,
            psks,
        })
    }

    fn routes(&self) -> Command {
        let of_peer = |(id, spec): (&PeerId, &PeerSpec)| {
            let id = *id;
            spec.allowed
                .clone()
                .into_iter()
                .map(move |prefix| (prefix, id))
        };
        Command::SetRoutes(Arc::new(Routes::new(self.peers.iter().flat_map(of_peer))))
    }
}

/// Epoch 0 has the key as it is, later ones have their number mixed in.
fn mixed(base: &Psk, epoch: Epoch) -> Psk {
    let mut psk = base.clone();
    for (byte, number) in psk.0.iter_mut().zip(epoch.0.to_le_bytes()) {
        *byte ^= number;
    }
    psk
}

fn idle_peer(number: u64) -> PeerSpec {
    let mut key = [9; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    let address = std::net::Ipv4Addr::from_bits(0x6440_0000 | (number as u32 & 0x003f_ffff));
    PeerSpec {
        id: Some(PeerId(number)),
        key: PublicKey(key),
        endpoint: Some(SocketAddr::from(([192, 0, 2, 1], 9))),
        allowed: vec![Prefix::host(address.into())],
        psk: Psk([1; 32]),
        keepalive: None,
    }
}

/// The policy as rules; many rules that never match cost what a large policy costs.
fn filter(policy: Policy) -> Filter {
    let directions = [Direction::Incoming, Direction::Outgoing];
    let rules = match policy {
        Policy::All => directions.map(Rule::everything).to_vec(),
        Policy::Ping => directions
            .map(|direction| only(direction, Protocols::Icmp(IcmpKind::Echo)))
            .to_vec(),
        Policy::Many => (0..1000)
            .map(|port| {
                only(
                    Direction::Incoming,
                    Protocols::Tcp(Ports::Within(vec![port..=port])),
                )
            })
            .chain(directions.map(Rule::everything))
            .collect(),
    };
    Filter::new(rules)
}

fn only(direction: Direction, protocols: Protocols) -> Rule {
    Rule {
        protocols,
        ..Rule::everything(direction)
    }
}
