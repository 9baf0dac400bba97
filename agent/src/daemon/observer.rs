//! Answers about how everything stands, gathered beside the loop so that nobody who asks holds it up.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::{PeerView, State, Status};
use tidegate_wg::{Command, PeerId, Ping};
use tidegate_wg_io::IoStatus;
use tokio::sync::{oneshot, watch};

use super::counters::Counters;
use super::network::NetworkView;
use super::pings::Pings;
use super::plane::Running;
use super::resolver::NamesView;
use super::session::Seen;
use super::store::Failed;
use super::{health, metrics, view};
use crate::client::Unknown;
use crate::config::Config;
use crate::exit::Exit;
use crate::local::{PingView, Refusal, Reply};

/// How long a page waits for the answers of all peers.
const MEASURE: Duration = Duration::from_millis(400);
/// How long a ping waits, a first handshake included.
const PATIENCE: Duration = Duration::from_secs(5);
/// A peer that shook hands this lately can be measured without waking it up.
const CONNECTED: Duration = Duration::from_secs(180);
/// Length of a ping inside the tunnel.
const PING: u16 = 84;

/// Sees all parts.
#[derive(Clone)]
pub(crate) struct Observer {
    pub(super) plane: watch::Receiver<Option<Running>>,
    pub(super) network: watch::Receiver<NetworkView>,
    pub(super) authority: watch::Receiver<Seen>,
    pub(super) names: watch::Receiver<NamesView>,
    pub(super) questions: Arc<AtomicU64>,
    pub(super) unknown: Arc<Unknown>,
    pub(super) unwritten: Arc<Failed>,
    pub(super) counters: Arc<Counters>,
    pub(super) pings: Arc<Pings>,
}

/// Everything at one moment.
pub(crate) struct Snapshot {
    pub(super) core: Status,
    pub(super) config: Arc<Config>,
    pub(super) plane: Option<PlaneSnapshot>,
    pub(super) network: NetworkView,
    pub(super) authority: Seen,
    pub(super) names: NamesView,
    pub(super) questions: u64,
    pub(super) unknown_events: u64,
    pub(super) unwritten: u64,
    /// Whether the disk refused the last file.
    pub(super) disk_refuses: bool,
    pub(super) counters: Arc<Counters>,
    pub(super) latencies: HashMap<PeerId, Duration>,
}

/// The data plane at one moment.
pub(crate) struct PlaneSnapshot {
    pub(super) status: tidegate_wg::Status,
    pub(super) io: IoStatus,
    pub(super) starts: u64,
}

impl Observer {
    pub(super) fn answer_status(
        &self,
        core: Status,
        config: &Arc<Config>,
        measure: bool,
        answer: oneshot::Sender<Reply>,
    ) {
        self.answer(core, config, measure, answer, |snapshot| {
            Reply::Status(Box::new(view::status(snapshot)))
        });
    }

    pub(super) fn answer_health(
        &self,
        core: Status,
        config: &Arc<Config>,
        answer: oneshot::Sender<Reply>,
    ) {
        self.answer(core, config, false, answer, |snapshot| {
            Reply::Health(health::of(snapshot))
        });
    }

    pub(super) fn answer_metrics(
        &self,
        core: Status,
        config: &Arc<Config>,
        answer: oneshot::Sender<Reply>,
    ) {
        self.answer(core, config, false, answer, |snapshot| {
            Reply::Metrics(metrics::text(snapshot))
        });
    }

    fn answer(
        &self,
        core: Status,
        config: &Arc<Config>,
        measure: bool,
        answer: oneshot::Sender<Reply>,
        reply: fn(&Snapshot) -> Reply,
    ) {
        let (this, config) = (self.clone(), Arc::clone(config));
        tokio::spawn(async move {
            let snapshot = this.snapshot(core, config, measure).await;
            let _ = answer.send(reply(&snapshot)); // whoever asked has gone
        });
    }

    async fn snapshot(self, core: Status, config: Arc<Config>, measure: bool) -> Snapshot {
        let running = self.plane.borrow().clone();
        let latencies = match &running {
            Some(running) if measure => self.measure(&core, running).await,
            _ => HashMap::new(),
        };
        let plane = match running {
            Some(running) => look(running).await,
            None => None,
        };
        Snapshot {
            core,
            config,
            plane,
            network: self.network.borrow().clone(),
            authority: self.authority.borrow().clone(),
            names: self.names.borrow().clone(),
            questions: self.questions.load(Ordering::Relaxed),
            unknown_events: self.unknown.seen(),
            unwritten: self.unwritten.count.load(Ordering::Relaxed),
            disk_refuses: self.unwritten.now.load(Ordering::Relaxed),
            counters: self.counters,
            latencies,
        }
    }

    /// Round trips to all peers that are connected anyway, as many as the engine takes at once.
    async fn measure(&self, core: &Status, running: &Running) -> HashMap<PeerId, Duration> {
        let Some(seen) = look(running.clone()).await else {
            return HashMap::new();
        };
        let connected = seen.status.peers.iter().filter(|peer| is_connected(peer));
        let connected: HashSet<PeerId> = connected.map(|peer| peer.id).collect();
        let peers = core
            .peers
            .iter()
            .filter(|peer| connected.contains(&peer.id));
        let (pings, pongs): (Vec<_>, Vec<_>) = peers
            .filter_map(|peer| self.ping(core, peer))
            .map(|(ping, pong)| (ping, (ping.peer, pong)))
            .unzip();
        let control = running.control.clone();
        let sent = tokio::task::spawn_blocking(move || {
            for ping in pings {
                // A session that has just ended is no reason not to ask the others.
                let _ = control.apply(Command::Ping(ping));
            }
        });
        let _ = sent.await;
        let mut found = HashMap::new();
        let deadline = tokio::time::Instant::now() + MEASURE;
        for (peer, pong) in pongs {
            if let Ok(Ok(round_trip)) = tokio::time::timeout_at(deadline, pong).await {
                found.insert(peer, round_trip);
            }
        }
        found
    }

    /// A ping, and where its round trip will come, if there is room for one.
    fn ping(&self, core: &Status, peer: &PeerView) -> Option<(Ping, oneshot::Receiver<Duration>)> {
        let ends = ends(core, peer, None)?;
        let (token, pong) = self.pings.begin()?;
        Some((one_ping(peer.id, token, ends), pong))
    }

    pub(super) fn answer_ping(&self, core: &Status, node: &str, answer: oneshot::Sender<Reply>) {
        let Some((peer, to)) = find(core, node) else {
            let message = match &core.state {
                State::Up => format!(
                    "there is no peer {node}; `tidegate peers` lists those that the policy lets this node talk to"
                ),
                state => format!("no data flows now: {state}"),
            };
            let _ = answer.send(Reply::Refused(Refusal::new(Exit::Failed, message)));
            return;
        };
        let (Some((from, to)), Some(running)) = (ends(core, peer, to), self.plane.borrow().clone())
        else {
            let refusal = Refusal::new(Exit::Failed, format!("no data flows now: {}", core.state));
            let _ = answer.send(Reply::Refused(refusal));
            return;
        };
        let (peer, pings) = (peer.clone(), Arc::clone(&self.pings));
        tokio::spawn(async move {
            let reply = ping_with_patience(&peer, from, to, &running, &pings).await;
            let _ = answer.send(reply); // whoever asked has gone
        });
    }
}

/// Shakes hands if need be, and pings until an answer comes or patience ends.
async fn ping_with_patience(
    peer: &PeerView,
    from: IpAddr,
    to: IpAddr,
    running: &Running,
    pings: &Pings,
) -> Reply {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut asked = false;
    let mut round_trip = None;
    while round_trip.is_none() && tokio::time::Instant::now() < deadline {
        let Some((token, pong)) = pings.begin() else {
            break;
        };
        let ping = one_ping(peer.id, token, (from, to));
        if !applied(running, Command::Ping(ping)).await && !asked {
            asked = true;
            applied(running, Command::Connect(peer.id)).await;
        }
        let patience = Duration::from_millis(if asked { 100 } else { 1000 });
        round_trip = tokio::time::timeout(patience, pong)
            .await
            .ok()
            .and_then(Result::ok);
    }
    let endpoint = look(running.clone()).await.and_then(|seen| {
        let found = seen.status.peers.iter().find(|one| one.id == peer.id);
        found.and_then(|one| one.endpoint)
    });
    Reply::Ping(PingView {
        name: peer.certificate.name.to_string(),
        address: to,
        endpoint,
        round_trip_us: round_trip.map(view::micros),
    })
}

const fn one_ping(peer: PeerId, token: u64, (from, to): (IpAddr, IpAddr)) -> Ping {
    Ping {
        peer,
        token,
        from,
        to,
        len: PING,
    }
}

async fn applied(running: &Running, command: Command) -> bool {
    let control = running.control.clone();
    let applied = tokio::task::spawn_blocking(move || control.apply(command));
    matches!(applied.await, Ok(Ok(())))
}

async fn look(running: Running) -> Option<PlaneSnapshot> {
    let looked = tokio::task::spawn_blocking(move || {
        Some(PlaneSnapshot {
            status: running.control.status().ok()?,
            io: running.control.io_status().ok()?,
            starts: running.generation(),
        })
    });
    looked.await.ok().flatten()
}

fn is_connected(peer: &tidegate_wg::PeerStatus) -> bool {
    let now = tidegate_wg_io::now().unix;
    peer.last_handshake
        .is_some_and(|at| now.saturating_sub(at) < CONNECTED)
}

/// Our address and the peer's, of one family.
fn ends(core: &Status, peer: &PeerView, to: Option<IpAddr>) -> Option<(IpAddr, IpAddr)> {
    let to = to.unwrap_or(peer.certificate.addresses[0]);
    let own = core.certificate.as_ref()?.addresses;
    let from = own
        .into_iter()
        .find(|from| from.is_ipv4() == to.is_ipv4())?;
    Some((from, to))
}

/// The peer of this name or overlay address.
fn find<'a>(core: &'a Status, node: &str) -> Option<(&'a PeerView, Option<IpAddr>)> {
    let address: Option<IpAddr> = node.parse().ok();
    core.peers.iter().find_map(|peer| {
        let named = peer.certificate.name.as_str() == node;
        let meant = address.filter(|one| peer.certificate.addresses.contains(one));
        (named || meant.is_some()).then_some((peer, meant))
    })
}
