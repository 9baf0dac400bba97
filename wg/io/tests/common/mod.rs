//! Two data planes in this process, on two hosts of a lab.
#![allow(clippy::unwrap_used, reason = "a test panics where its set-up fails")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate_tests::LabError;
use tidegate_tests::wireguard::{Endpoint, Pair, Side};
use tidegate_wg::{
    Command, Direction, Epoch, EpochKeys, Filter, Mono, PeerConfig, PeerId, Prefix, PrivateKey,
    Psk, PublicKey, Routes, Rule,
};
use tidegate_wg_io::{Config, DataPlane, Families, Link, Notice, Offload, TunConfig, UdpConfig};
use tokio::sync::mpsc::Receiver;

const PEER: PeerId = PeerId(1);

fn key(text: &str) -> [u8; 32] {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

pub(crate) fn config(end: &Endpoint) -> Config {
    Config {
        tun: TunConfig {
            name: Endpoint::DEVICE.to_owned(),
            mtu: end.mtu,
            link: Link::Up,
            offload: Offload::Try,
        },
        udp: UdpConfig {
            port: end.port,
            families: Families::Both,
            fwmark: None,
            offload: Offload::Try,
        },
        key: PrivateKey(key(&end.keys.private)),
        addresses: end.overlay.to_vec(),
        flows: 1 << 12,
    }
}

fn commands(pair: &Pair, side: Side) -> Vec<Command> {
    let (_, peer) = pair.seen_from(side);
    let epoch = Epoch(0);
    let routes = peer.overlay.map(|ip: IpAddr| (Prefix::host(ip), PEER));
    let rules = [Direction::Incoming, Direction::Outgoing].map(Rule::everything);
    vec![
        Command::SetFilter(Arc::new(Filter::new(rules))),
        Command::AddPeer(PeerConfig {
            id: PEER,
            key: PublicKey(key(&peer.keys.public)),
            candidates: vec![SocketAddr::new(peer.underlay, peer.port)],
            keepalive: None,
            mtu: None,
            deadline: Mono::NEVER,
            psks: Vec::new(),
        }),
        Command::SetRoutes(Arc::new(Routes::new(routes))),
        Command::InstallEpoch(EpochKeys {
            epoch,
            deadline: Mono::NEVER,
            spread: Duration::ZERO,
            psks: vec![(PEER, Psk(key(&pair.psk)))],
        }),
        Command::Activate(epoch),
    ]
}

pub(crate) fn start(pair: &Pair, side: Side) -> Result<(DataPlane, Receiver<Notice>), LabError> {
    let (end, _) = pair.seen_from(side);
    let config = config(end);
    let (plane, notices) = end.host.enter(|| DataPlane::start(config).unwrap())?;
    plane.control().apply_all(commands(pair, side)).unwrap();
    end.configure_device()?;
    Ok((plane, notices))
}
