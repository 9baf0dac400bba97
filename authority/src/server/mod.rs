//! The server: it opens the authority of a data directory, listens, and stops in good order.
//!
//! SIGTERM or SIGINT: streams end, requests under way are finished, a checkpoint is written, the database is closed.
//! SIGHUP: settings, TLS key and genesis files are read again; what cannot be used is logged, and all stays as it was.

mod listener;
mod log;
mod patience;
mod signals;
mod systemd;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tidegate_proto::api::{RecoveryEnd, RecoveryView};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError, Work};
use crate::http::{self, App};
use crate::service::{Actor, Authority, Entry, Event, Notice, OpenError};
use crate::store::StoreError;

use listener::{Door, Gatekeeper, Service};
use log::LogError;
use signals::{Signal, Signals};
use tls::{Tls, TlsError};

/// How long requests under way may take once the server stops.
const FAREWELL: Duration = Duration::from_secs(10);

/// Why the server does not serve.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data directory does not do.
    #[error(transparent)]
    Dir(#[from] DataDirError),
    /// The authority does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The TLS key pair does not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The log cannot be set up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The address is not free, or not ours.
    #[error(
        "cannot listen on {address}: {reason}; is another server running, or the address of another machine?"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The system does not hand out signals.
    #[error("cannot wait for signals: {0}")]
    Signals(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Serves the authority in `dir` until it is told to stop.
pub async fn serve(dir: DataDir, settings: Option<PathBuf>) -> Result<(), ServeError> {
    let config = dir.config(settings.as_deref())?;
    let logging = log::start(&config.log)?;
    let _lock = dir.lock(Work::Serve)?;
    let mut signals = Signals::new().map_err(|error| ServeError::Signals(error.to_string()))?;
    let tls = Tls::load(&dir, &config)?;
    let authority = Authority::open(dir.options(&config, Clock::system())?).await?;
    let app = App::new(authority.clone(), &config);
    let started = of_itself(Event::Started).with("tls-pin", tls.pin());
    authority.log(started).await?;
    if let Some(recovery) = authority.recovery().await? {
        warn_of_recovery(&recovery);
    }
    let mut running = Running::start(&config, &tls, &app).await?;
    let (folder, watched) = (dir.clone(), authority.clone());
    running
        .tasks
        .spawn(async move { folder.watch(&watched).await });
    systemd::ready();
    loop {
        match signals.next().await {
            Signal::Stop => break,
            Signal::Reload => match reload(&dir, settings.as_deref(), &authority).await {
                Ok((config, fresh)) => {
                    app.reload(&config);
                    replace(&tls, fresh, &authority).await;
                    // Said under the level of before: the new one may hide it.
                    tracing::info!("settings, TLS key and genesis were read again");
                    logging.reload(&config.log);
                }
                Err(error) => tracing::error!(%error, "not reloaded; all stays as it was"),
            },
        }
    }
    systemd::stopping();
    tracing::info!("stopping");
    running.stop(&app).await;
    if let Err(error) = authority.log(of_itself(Event::Stopped)).await {
        tracing::warn!(%error, "the audit log does not mention the stop");
    }
    authority.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn warn_of_recovery(recovery: &RecoveryView) {
    let (backup_at, awaited) = (recovery.backup_at, recovery.awaited.len());
    match recovery.ends {
        RecoveryEnd::Reports => {
            tracing::warn!(%backup_at, awaited, "restored from a backup; nothing is issued until the nodes have reported");
        }
        RecoveryEnd::Override => {
            tracing::warn!(%backup_at, awaited, "restored from a backup with fewer than two members; nothing is issued until a sovereign ends the recovery with 'tidegate admin recovery override'");
        }
    }
}

/// An event of this program's own.
fn of_itself(event: Event) -> Entry {
    Entry::new(event, &Actor::System, env!("CARGO_PKG_VERSION"))
}

/// Has connections from now on use `fresh`. That the key is another one is on record.
async fn replace(tls: &Tls, fresh: tls::Pair, authority: &Authority) {
    let pin = fresh.pin();
    let before = tls.replace(fresh);
    if before == pin {
        return;
    }
    let entry = Entry::new(Event::TlsKeyChanged, &Actor::System, pin).with("before", before);
    if let Err(error) = authority.log(entry).await {
        tracing::warn!(%error, %pin, "the audit log does not mention the new TLS key");
    }
}

/// Reads again what may change, and puts successions of genesis in force. Nothing has changed if it fails early.
async fn reload(
    dir: &DataDir,
    settings: Option<&std::path::Path>,
    authority: &Authority,
) -> Result<(Config, tls::Pair), ServeError> {
    let config = dir.config(settings)?;
    let fresh = tls::Pair::load(dir, &config)?;
    authority.adopt(dir.genesis()?, dir.keys()?).await?;
    Ok((config, fresh))
}

/// What runs while the server does.
struct Running {
    doors: Vec<Gatekeeper>,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(config: &Config, tls: &Tls, app: &App) -> Result<Self, ServeError> {
        let service = Service {
            app: app.clone(),
            router: http::router(app.clone()),
            most: config.limits.connections as usize,
        };
        let main = Door::Tls(tls.clone());
        let mut doors = vec![listen(config.listen, main, service.clone()).await?];
        if let Some(address) = config.metrics.listen {
            let router = http::metrics_router(app.clone());
            let service = Service { router, ..service };
            doors.push(listen(address, Door::Plain, service).await?);
        }
        let mut tasks = JoinSet::new();
        let (authority, watched) = (app.authority().clone(), app.clone());
        tasks.spawn(async move { authority.run().await });
        tasks.spawn(async move { watch(&watched).await });
        tasks.spawn(systemd::live(app.clone()));
        Ok(Self { doors, tasks })
    }

    async fn stop(mut self, app: &App) {
        app.stop();
        for door in self.doors {
            door.close(FAREWELL).await;
        }
        self.tasks.shutdown().await;
    }
}

async fn listen(
    address: SocketAddr,
    door: Door,
    service: Service,
) -> Result<Gatekeeper, ServeError> {
    let refused = |error: std::io::Error| ServeError::Listen {
        address,
        reason: error.to_string(),
    };
    let socket = TcpListener::bind(address).await.map_err(refused)?;
    let bound = socket.local_addr().map_err(refused)?;
    tracing::info!(address = %bound, tls = matches!(door, Door::Tls(_)), "listening");
    Ok(Gatekeeper::start(socket, door, service))
}

/// Counts what the authority does by itself.
async fn watch(app: &App) {
    loop {
        let mut changes = app.authority().follow();
        while let Some(notice) = changes.next().await {
            match notice {
                Notice::Grants(_, nodes) => app.metrics().granted(nodes.len()),
                Notice::CutOff(_, after) => app.metrics().cut_off(after),
                _ => {}
            }
        }
        if *app.stopping().borrow() {
            return;
        }
    }
}
