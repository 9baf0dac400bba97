//! What every handler shares.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use tidegate_proto::Origin;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, watch};

use super::gate::{Gate, Kind, Place};
use super::health::Health;
use super::metrics::Metrics;
use super::problem::Refusal;
use super::room::Rooms;
use crate::config::Config;
use crate::service::{Actor, Alarm, Authority};
use crate::store::StoreError;

/// A node's streams at once: one, and those that it does not know yet to be dead.
const STREAMS_PER_NODE: u8 = 4;
/// An operator's or a token's streams and exports at once.
const STREAMS_PER_OPERATOR: u8 = 16;

/// Handles to one application are clones.
#[derive(Clone)]
pub struct App(Arc<Shared>);

struct Shared {
    authority: Authority,
    gate: Gate,
    metrics: Metrics,
    /// Origins beside those that the genesis names.
    urls: RwLock<Arc<[Origin]>>,
    streams: Arc<Semaphore>,
    open: Mutex<BTreeMap<Actor, u8>>,
    rooms: Rooms,
    stopping: watch::Sender<bool>,
    serves_metrics: bool,
    readiness: AsyncMutex<Option<(Instant, Arc<Health>)>>,
}

impl App {
    /// The application over `authority`.
    pub fn new(authority: Authority, config: &Config) -> Self {
        Self(Arc::new(Shared {
            metrics: Metrics::new(),
            authority,
            gate: Gate::new(&config.rates),
            urls: RwLock::new(config.urls.clone().into()),
            streams: Arc::new(Semaphore::new(config.limits.streams as usize)),
            open: Mutex::default(),
            rooms: Rooms::new(),
            stopping: watch::Sender::new(false),
            serves_metrics: config.metrics.listen.is_none(),
            readiness: AsyncMutex::default(),
        }))
    }

    /// Goes by what of `config` can change while it runs.
    pub fn reload(&self, config: &Config) {
        self.0.gate.reload(&config.rates);
        *self.0.urls.write().unwrap_or_else(PoisonError::into_inner) = config.urls.clone().into();
    }

    /// The measurements.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Ends every stream, and refuses new ones.
    pub fn stop(&self) {
        self.0.stopping.send_replace(true);
    }

    /// Turns true when the server stops.
    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// What is served.
    pub fn authority(&self) -> &Authority {
        &self.0.authority
    }

    /// Room for large bodies.
    pub(super) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    /// Room for one more stream.
    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let streams = Arc::clone(&self.0.streams);
        streams
            .try_acquire_owned()
            .map_err(|_| Refusal::too_many("too-many-streams", 5))
    }

    /// Room for one more stream of this caller.
    pub(super) fn stream_place(&self, who: &Actor) -> Result<StreamPlace, Refusal> {
        let most = match who {
            Actor::Node(_) => STREAMS_PER_NODE,
            _ => STREAMS_PER_OPERATOR,
        };
        let mut open = self.open_streams();
        let count = open.entry(who.clone()).or_insert(0);
        if *count >= most {
            return Err(Refusal::too_many("too-many-streams", 5));
        }
        *count += 1;
        drop(open);
        Ok(StreamPlace {
            app: self.clone(),
            who: who.clone(),
        })
    }

    fn open_streams(&self) -> MutexGuard<'_, BTreeMap<Actor, u8>> {
        let open = self.0.open.lock();
        open.unwrap_or_else(PoisonError::into_inner) // each statement leaves it whole
    }

    /// The last answer about readiness, and when it was found.
    pub(super) fn readiness(&self) -> &AsyncMutex<Option<(Instant, Arc<Health>)>> {
        &self.0.readiness
    }

    /// The measurements as text, brought up to date.
    pub async fn measure(&self) -> Result<String, StoreError> {
        self.0.metrics.look(&self.0.authority).await?;
        Ok(self.0.metrics.text())
    }

    /// Whether `/metrics` is on the main address.
    pub(super) fn serves_metrics(&self) -> bool {
        self.0.serves_metrics
    }

    /// The origin among ours that `host` names.
    pub(super) fn origin(&self, host: &str) -> Option<Origin> {
        let named = |origin: &&Origin| origin.authority().eq_ignore_ascii_case(host);
        let own = Arc::clone(&self.0.urls.read().unwrap_or_else(PoisonError::into_inner));
        let genesis = self.0.authority.urls();
        genesis.iter().chain(&*own).find(named).cloned()
    }

    /// Takes one of what of `kind` is `source`'s share, or says how long to wait.
    pub(super) fn admit(&self, source: SocketAddr, kind: Kind) -> Result<(), Refusal> {
        let now = Instant::now();
        let taken = self.0.gate.take(Place::of(source.ip()), kind, now);
        taken.map_err(|wait| self.limited(source.ip(), kind, wait))
    }

    /// Refuses a source that failed too often to prove who it is.
    pub(super) fn check_failures(&self, source: IpAddr) -> Result<(), Refusal> {
        let left = self
            .0
            .gate
            .check(Place::of(source), Kind::Failure, Instant::now());
        left.map_err(|wait| self.limited(source, Kind::Failure, wait))
    }

    /// Gives back to `source` what came to nothing.
    pub(super) fn give_back(&self, source: SocketAddr, kind: Kind) {
        self.0.gate.give_back(Place::of(source.ip()), kind);
    }

    /// Takes one of what of `kind` somebody may do who is known.
    pub(super) fn take_known(
        &self,
        source: IpAddr,
        who: &Actor,
        kind: Kind,
    ) -> Result<(), Refusal> {
        let place = Place::of_known(who);
        let taken = self.0.gate.take(place, kind, Instant::now());
        taken.map_err(|wait| self.too_often(who.clone(), source, kind, wait))
    }

    fn limited(&self, source: IpAddr, kind: Kind, wait: u32) -> Refusal {
        self.too_often(Actor::Stranger, source, kind, wait)
    }

    fn too_often(&self, who: Actor, source: IpAddr, kind: Kind, wait: u32) -> Refusal {
        self.metrics().limited(kind.as_str());
        let authority = &self.0.authority;
        authority.alarm(Alarm::RateLimited, who, Some(source));
        match kind {
            Kind::Waiting => Refusal::too_many_newcomers(wait),
            _ => Refusal::too_many("too-many-requests", wait),
        }
    }
}

/// One of the streams that somebody may have open.
pub(super) struct StreamPlace {
    app: App,
    who: Actor,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.app.open_streams();
        if let Some(count) = open.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.who);
            }
        }
    }
}
