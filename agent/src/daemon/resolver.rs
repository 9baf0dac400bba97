//! Names of nodes on this host, where its owner wants them.
//!
//! The resolver listens on the overlay addresses while they are there, and systemd-resolved is told to ask it. Where
//! systemd-resolved is not in charge, `tidegate-dns` has to be run as root; status and doctor say so.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::Names;
use tidegate_netconfig::Prefix;
use tidegate_netconfig::desired::LinkName;
use tidegate_netconfig::dns::{Mechanism, ResolvedNames, SplitDns, choose, observe};
use tokio::sync::{oneshot, watch};

use super::plane::Running;
use crate::dns::name::Name;
use crate::dns::server::Server;
use crate::dns::zone::Zone;

/// What could not be done is tried again after this.
const RETRY: Duration = Duration::from_millis(500);

/// How the names are resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NamesView {
    /// The owner does not want it.
    Off,
    /// Something is still to come.
    Waiting(String),
    /// The resolver answers, and this is why nobody asks it.
    Unasked(String),
    /// The resolver answers, and the host asks it.
    Asked,
}

impl NamesView {
    /// A line for people, where names are wanted.
    pub(crate) fn line(&self) -> Option<String> {
        match self {
            Self::Off => None,
            Self::Waiting(reason) | Self::Unasked(reason) => Some(reason.clone()),
            Self::Asked => Some("systemd-resolved asks for names of nodes".to_owned()),
        }
    }
}

/// Which names, and where.
#[derive(Clone)]
pub(super) struct ResolverSettings {
    pub(super) enabled: bool,
    pub(super) network: String,
    pub(super) ranges: Vec<Prefix>,
    pub(super) interface: LinkName,
    pub(super) port: u16,
    pub(super) state: PathBuf,
}

/// Where names are published.
pub(super) struct Resolver {
    settings: ResolverSettings,
    zone: watch::Sender<Arc<Zone>>,
    addresses: watch::Sender<BTreeSet<IpAddr>>,
    view: watch::Receiver<NamesView>,
    answered: Arc<AtomicU64>,
    end: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Resolver {
    /// Starts to answer as soon as there is an address to answer on, if that is wanted.
    pub(super) fn start(
        settings: ResolverSettings,
        plane: watch::Receiver<Option<Running>>,
    ) -> Self {
        let (zone, zones) = watch::channel(Arc::new(Zone::default()));
        let (addresses, seen) = watch::channel(BTreeSet::new());
        let (view_of, view) = watch::channel(NamesView::Off);
        let (end, ended) = oneshot::channel();
        let answered = Arc::new(AtomicU64::new(0));
        let task = settings.enabled.then(|| {
            let task = Task {
                settings: settings.clone(),
                zones,
                addresses: seen,
                plane,
                view: view_of,
                answered: Arc::clone(&answered),
            };
            tokio::spawn(task.run(ended))
        });
        Self {
            settings,
            zone,
            addresses,
            view,
            answered,
            end: Some(end),
            task,
        }
    }

    /// Publishes these names from now on; `own` are the addresses to answer on.
    pub(super) fn publish(&self, names: &Names, own: BTreeSet<IpAddr>) {
        let Some(domain) = Name::new(&format!("{}.internal", self.settings.network)) else {
            return;
        };
        let mut zone = Zone::new(domain, self.settings.ranges.iter().copied());
        for (name, addresses) in names {
            zone.add(name.as_str(), *addresses);
        }
        self.zone.send_replace(Arc::new(zone));
        self.addresses.send_if_modified(|before| {
            let changed = *before != own;
            *before = own;
            changed
        });
    }

    /// How it stands.
    pub(super) fn view(&self) -> watch::Receiver<NamesView> {
        self.view.clone()
    }

    /// Questions answered so far.
    pub(super) fn answered(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.answered)
    }

    /// Gives the host's name resolution back.
    pub(super) async fn end(mut self) {
        if let (Some(end), Some(task)) = (self.end.take(), self.task.take()) {
            let _ = end.send(());
            let _ = task.await;
            tracing::debug!(
                answered = self.answered.load(Ordering::Relaxed),
                "names end"
            );
        }
    }
}

struct Task {
    settings: ResolverSettings,
    zones: watch::Receiver<Arc<Zone>>,
    addresses: watch::Receiver<BTreeSet<IpAddr>>,
    plane: watch::Receiver<Option<Running>>,
    view: watch::Sender<NamesView>,
    answered: Arc<AtomicU64>,
}

impl Task {
    async fn run(mut self, mut ended: oneshot::Receiver<()>) {
        loop {
            let addresses = self.addresses.borrow_and_update().clone();
            let mut served = self.serve(&addresses).await.unwrap_or_else(|reason| {
                self.view.send_replace(NamesView::Waiting(reason));
                None
            });
            let over = tokio::select! {
                _ = &mut ended => true,
                _ = self.addresses.changed() => false,
                _ = self.plane.changed() => false,
                () = keep(&mut served) => false,
            };
            give_back(served).await;
            if over {
                return;
            }
        }
    }

    async fn serve(&self, addresses: &BTreeSet<IpAddr>) -> Result<Option<Served>, String> {
        if addresses.is_empty() || self.plane.borrow().is_none() {
            return Err("waiting for the overlay's addresses".to_owned());
        }
        let sockets: Vec<SocketAddr> = addresses
            .iter()
            .map(|address| SocketAddr::new(*address, self.settings.port))
            .collect();
        let server = Server::start(&sockets, self.zones.clone(), Arc::clone(&self.answered))
            .await
            .map_err(|error| format!("cannot answer on {}: {error}", sockets[0]))?;
        let (names, view) = match self.tell_host(sockets[0]).await {
            Ok(names) => (Some(names), NamesView::Asked),
            Err(reason) => (None, NamesView::Unasked(reason)),
        };
        self.view.send_replace(view);
        Ok(Some(Served {
            names,
            _server: server,
        }))
    }

    /// Has systemd-resolved ask us, where it is in charge.
    async fn tell_host(&self, resolver: SocketAddr) -> Result<ResolvedNames, String> {
        match choose(&observe().await) {
            Ok(Mechanism::Resolved) => self.tell_resolved(resolver).await,
            Ok(_) => Err(
                "nobody asks for names of nodes yet; 'tidegate doctor' prints how to change that"
                    .to_owned(),
            ),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    async fn tell_resolved(&self, resolver: SocketAddr) -> Result<ResolvedNames, String> {
        let domain = format!("{}.internal", self.settings.network);
        let domain = domain.parse().map_err(|error| format!("{error}"))?;
        let ranges = self.settings.ranges.iter().copied().collect();
        let wish = SplitDns::new(domain, &ranges, resolver).map_err(|error| error.to_string())?;
        let mut names = ResolvedNames::open(&self.settings.state)
            .await
            .map_err(|error| error.to_string())?;
        let link = self.settings.interface.clone();
        names
            .set(link, wish)
            .await
            .map_err(|error| error.to_string())?;
        Ok(names)
    }
}

/// What is held while names are answered.
struct Served {
    /// The host's name resolution, where it is told by us.
    names: Option<ResolvedNames>,
    _server: Server,
}

/// Keeps systemd-resolved informed; without an answer to give, returns when it is time to try again.
async fn keep(served: &mut Option<Served>) {
    match served {
        Some(Served {
            names: Some(names), ..
        }) => names.keep().await,
        Some(_) => std::future::pending().await,
        None => tokio::time::sleep(RETRY).await,
    }
}

async fn give_back(served: Option<Served>) {
    if let Some(mut names) = served.and_then(|served| served.names)
        && let Err(error) = names.clear().await
    {
        tracing::warn!(%error, "systemd-resolved was not told that our names end");
    }
}
