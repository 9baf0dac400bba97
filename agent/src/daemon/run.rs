//! From a command line to a loop that turns, and back.

use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Files, Input, Member, Setup};
use tidegate_netconfig::desired::Marks;
use tidegate_netconfig::preflight::{TUN, check_tun};
use tidegate_netconfig::{Host, Prefix};
use tidegate_proto::api::StreamEvent;
use tidegate_proto::{Label, SigningKey};
use tokio::sync::mpsc;

use super::allowed::Allowed;
use super::clock::{boot_id, now};
use super::counters::Counters;
use super::error::DaemonError;
use super::inbox::{Inbox, MESSAGES, Message};
use super::network::Network;
use super::observer::Observer;
use super::parts::Parts;
use super::pending::{self, Waited};
use super::pings::Pings;
use super::plane::{Plane, PlaneSettings};
use super::resolver::{Resolver, ResolverSettings};
use super::session::Authority;
use super::store::Disk;
use super::turn::{End, Loop};
use super::{choices, page, session, signals, systemd, traffic};
use crate::client::{Client, Clock, Timeouts};
use crate::config::Config;
use crate::local::{Reply, Socket};
use crate::owner::Owner;
use crate::privileges;
use crate::state::{Membership, StateDirectory, StateError};

/// How long a start waits for the newest list.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// What `tidegate run` is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// The local socket.
    pub socket: PathBuf,
}

/// What is made while the process still has all its rights.
struct Ground {
    options: Options,
    config: Arc<Config>,
    directory: Arc<StateDirectory>,
    socket: Socket,
    metrics: Option<TcpListener>,
}

/// Runs the daemon until it is told to end. It must be called before there is any other thread: rights are given up
/// here, and every thread inherits them.
///
/// # Errors
/// When it cannot start, or cannot go on. Nothing of it is left then but guards against leaks, which
/// the next start or `tidegate leave` takes away.
pub fn run(options: Options) -> Result<(), DaemonError> {
    become_owner(&options)?;
    let ground = Ground::prepare(options)?;
    privileges::drop_to_net_admin()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(ground.live());
    // Threads that are still at a look-up must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Started as root in a directory of another user's, the daemon is that user, as it is under systemd.
fn become_owner(options: &Options) -> Result<(), DaemonError> {
    let Some(owner) = Owner::of(&options.state) else {
        return Ok(());
    };
    if let Some(folder) = options.socket.parent().filter(|folder| !folder.exists()) {
        let made = owner.make_folder(folder, 0o755);
        made.map_err(|error| {
            let folder = folder.display();
            io::Error::other(format!(
                "cannot make {folder}: {error}; give another --socket"
            ))
        })?;
    }
    Ok(owner.become_it(&options.state)?)
}

impl Ground {
    fn prepare(options: Options) -> Result<Self, DaemonError> {
        let config = Config::load(&options.config)?;
        crate::logs::start(&config.log, config.log_format);
        if !privileges::has_net_admin() {
            return Err(privileges::RightsError::NoNetAdmin.into());
        }
        check_tun(TUN.as_ref())?;
        let directory = StateDirectory::open(&options.state)?;
        if matches!(Membership::load(&directory)?, Membership::None) {
            return Err(StateError::NotJoined.into());
        }
        let link = format!("/sys/class/net/{}", config.interface);
        if std::path::Path::new(&link).exists() {
            return Err(DaemonError::Interface(config.interface.to_string()));
        }
        let socket = Socket::open(&options.socket)?;
        let metrics = config.metrics.map(|address| {
            page::bind(address).map_err(|error| DaemonError::Metrics(format!("{address}: {error}")))
        });
        Ok(Self {
            options,
            config: Arc::new(config),
            directory: Arc::new(directory),
            socket,
            metrics: metrics.transpose()?,
        })
    }

    async fn live(self) -> Result<(), DaemonError> {
        let (inbox, mut messages) = mpsc::channel(MESSAGES);
        let (asked, mut questions) = mpsc::channel(8);
        let Self {
            options,
            config,
            directory,
            socket,
            metrics,
        } = self;
        let listener = socket.serve(asked)?;
        let forward = inbox.clone();
        tokio::spawn(async move {
            while let Some((request, answer)) = questions.recv().await {
                if forward
                    .send(Message::Request(request, answer))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        if let Some(metrics) = metrics {
            page::serve(metrics, inbox.clone())?;
        }
        signals::listen(inbox.clone())?;
        systemd::ready();
        let life = Life {
            options,
            config,
            directory,
            inbox,
        };
        let result = life.go(&mut messages).await;
        drop(messages);
        listener.finish().await;
        result
    }
}

struct Life {
    options: Options,
    config: Arc<Config>,
    directory: Arc<StateDirectory>,
    inbox: Inbox,
}

impl Life {
    /// From what the directory holds to the end: a join goes on until the node is in.
    async fn go(&self, messages: &mut mpsc::Receiver<Message>) -> Result<(), DaemonError> {
        loop {
            match Membership::load(&self.directory)? {
                Membership::None => return Err(StateError::NotJoined.into()),
                Membership::Pending(identity, pending) => {
                    tracing::info!(name = %pending.name, "waiting to be admitted");
                    match pending::wait(Arc::new(identity), &pending, messages).await? {
                        Waited::Admitted(certificate) => {
                            Membership::complete(&self.directory, &pending, &certificate)?;
                        }
                        Waited::Stopped => return Ok(()),
                        Waited::Left(answer) => {
                            self.directory.forget_membership()?;
                            let _ = answer.send(Reply::Done);
                            return Ok(());
                        }
                    }
                }
                Membership::Member(identity, files) => {
                    return self.belong(Arc::new(identity), files, messages).await;
                }
            }
        }
    }

    async fn belong(
        &self,
        identity: Arc<SigningKey>,
        files: Files,
        messages: &mut mpsc::Receiver<Message>,
    ) -> Result<(), DaemonError> {
        let mut member = Member::read(self.setup(Arc::clone(&identity), files)?, now())?;
        let site = session::site(&member).ok_or(DaemonError::Siblings)?;
        let client = Client::new(site, Arc::new(Clock::system()), Timeouts::default())?;
        ask_first(&client, &mut member).await;
        let marks = Marks::default();
        let host = Host::open(self.directory.path(), marks.clone())?;
        tell_damage(host.damaged_records());
        let parts = self.parts(&member, client.as_node(identity), host, &marks)?;
        let traffic = traffic::watch(parts.plane.running(), self.inbox.clone());
        let traffic = tokio::spawn(traffic);
        let end = Loop::new(member, Arc::clone(&self.config), parts)?
            .run(messages)
            .await;
        traffic.abort();
        match end? {
            End::Stopped => {
                tracing::info!("ends; guards against leaks stay until `tidegate down` or `leave`")
            }
            End::Left => tracing::info!("left the network"),
        }
        Ok(())
    }

    fn setup(&self, identity: Arc<SigningKey>, files: Files) -> Result<Setup, DaemonError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Setup {
            identity,
            files,
            boot: boot_id()?,
            seed,
            program: program()?,
            choices: choices::of(&self.config),
        })
    }

    fn parts(
        &self,
        member: &Member,
        node: crate::client::NodeClient,
        host: Host,
        marks: &Marks,
    ) -> Result<Parts, DaemonError> {
        let (allowed, pings) = (Arc::new(Allowed::default()), Arc::new(Pings::default()));
        let inbox = || self.inbox.clone();
        let settings = self.plane(marks);
        let plane = Plane::start(settings, Arc::clone(&allowed), Arc::clone(&pings), inbox())?;
        let config = Arc::clone(&self.config);
        let network = Network::start(host, config, plane.running(), inbox())?;
        let disk = Disk::start(Arc::clone(&self.directory), inbox())?;
        let resolver = Resolver::start(self.names(member), plane.running());
        let authority = Authority::start(node, inbox());
        let counters = Arc::new(Counters::default());
        let observer = Observer {
            plane: plane.running(),
            network: network.view(),
            authority: authority.seen(),
            names: resolver.view(),
            questions: resolver.answered(),
            unknown: authority.unknown(),
            unwritten: disk.failed(),
            counters: Arc::clone(&counters),
            pings,
        };
        Ok(Parts {
            inbox: inbox(),
            plane,
            network,
            disk,
            authority,
            resolver,
            observer,
            allowed,
            counters,
            directory: Arc::clone(&self.directory),
            config_path: self.options.config.clone(),
            protocol: marks.protocol,
        })
    }

    fn plane(&self, marks: &Marks) -> PlaneSettings {
        PlaneSettings {
            interface: self.config.interface.clone(),
            port: self.config.port,
            fwmark: marks.fwmark,
        }
    }

    fn names(&self, member: &Member) -> ResolverSettings {
        let genesis = member.genesis();
        let ranges = genesis.prefixes();
        ResolverSettings {
            enabled: self.config.dns,
            network: genesis.name.to_string(),
            ranges: ranges
                .filter_map(|range| Prefix::around(range.address(), range.length()))
                .collect(),
            interface: self.config.interface.clone(),
            port: self.config.dns_port,
            state: self.directory.path().to_owned(),
        }
    }
}

/// Before anybody is spoken to, the newest list is asked for: the one on the disk may be from before somebody was put out,
/// if this node slept through it or a copy of the directory was put back. Without the authority, the disk's counts.
async fn ask_first(client: &Client, member: &mut Member) {
    match tokio::time::timeout(FIRST_WORD, client.revocation_list()).await {
        Ok(Ok(list)) => {
            let news = Input::News(Box::new(StreamEvent::List(list)));
            member.handle(news, now());
        }
        _ => member.handle_timeout(now()),
    }
}

/// Routes of ours are found by their marks all the same; what else was changed, only the journal knows.
fn tell_damage(lines: &[usize]) {
    if !lines.is_empty() {
        tracing::error!(
            ?lines,
            "lines of network.journal cannot be read: see whether kernel settings and firewall are as they were before"
        );
    }
}

/// The program's name and version, as heartbeats tell it.
fn program() -> Result<Label, DaemonError> {
    let text = format!("tidegate-{}", super::view::VERSION);
    text.parse()
        .map_err(|_| std::io::Error::other("the program's version is no label").into())
}
