//! Names in systemd-resolved, over D-Bus.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use zbus::DBusError;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::BusName;

use super::domain::Domain;
use super::facts::Resolved;
use super::wish::SplitDns;
use crate::desired::LinkName;
use crate::journal::{Journal, JournalError, Step};

const SERVICE: &str = "org.freedesktop.resolve1";
/// How long one call may take; polkit may have to be started for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long resolved may take to notice a link that was just made.
const NOTICE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
/// Between attempts to reach a service that went away, at first and at most.
const BACKOFF: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(10)];

/// Why systemd-resolved does not have the names.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolvedError {
    /// There is no system bus.
    #[error(
        "the system bus cannot be reached ({0}); DNS is unchanged: start dbus, or use the tidegate-dns service"
    )]
    NoBus(String),
    /// It is not running.
    #[error(
        "systemd-resolved does not run; DNS is unchanged: run systemctl enable --now systemd-resolved, or use the tidegate-dns service"
    )]
    Stopped,
    /// polkit has no rule for us.
    #[error(
        "systemd-resolved refuses {0} to this user; DNS is unchanged: install Tidegate's polkit rule (tidegate.rules), or run as root"
    )]
    Refused(&'static str),
    /// The link is not there.
    #[error("systemd-resolved knows no link {0}; DNS is unchanged: create the interface first")]
    NoLink(LinkName),
    /// systemd-networkd keeps the link.
    #[error(
        "link {0} is configured by systemd-networkd; DNS is unchanged: set Unmanaged=yes for it"
    )]
    Managed(LinkName),
    /// It cannot ask other ports.
    #[error(
        "systemd-resolved is too old for {0}; DNS is unchanged: it takes systemd 246, or use the tidegate-dns service"
    )]
    TooOld(&'static str),
    /// Anything else that it answers.
    #[error(
        "systemd-resolved failed in {call}: {said}; DNS is unchanged: see journalctl -u systemd-resolved"
    )]
    Failed {
        /// Which call.
        call: &'static str,
        /// Its own words.
        said: String,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1"
)]
trait Resolve {
    #[zbus(name = "SetLinkDNSEx")]
    fn set_link_dns_ex(&self, link: i32, servers: &[(i32, &[u8], u16, &str)]) -> zbus::Result<()>;
    fn set_link_domains(&self, link: i32, domains: &[(&str, bool)]) -> zbus::Result<()>;
    fn set_link_default_route(&self, link: i32, enable: bool) -> zbus::Result<()>;
    #[zbus(name = "SetLinkLLMNR")]
    fn set_link_llmnr(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkMulticastDNS")]
    fn set_link_multicast_dns(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSOverTLS")]
    fn set_link_dns_over_tls(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSSEC")]
    fn set_link_dnssec(&self, link: i32, mode: &str) -> zbus::Result<()>;
    fn revert_link(&self, link: i32) -> zbus::Result<()>;
}

/// The overlay's names in systemd-resolved, for as long as it runs and whenever it runs again.
pub struct ResolvedNames {
    bus: Bus,
    journal: Journal<Revert>,
    wanted: Option<(Link, SplitDns)>,
}

/// A link by index and name: an index alone may be another link's after a restart of the container.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    index: i32,
    name: LinkName,
}

/// Give a link back to its own settings. Nothing of ours outlives a boot.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revert {
    boot: String,
    link: Link,
}

impl Step for Revert {
    fn key(&self) -> String {
        format!("{} {} {}", self.boot, self.link.index, self.link.name)
    }
}

struct Bus {
    resolve: ResolveProxy<'static>,
    owners: NameOwnerChangedStream,
}

impl ResolvedNames {
    /// Connects, and undoes what an earlier run left.
    ///
    /// # Errors
    /// When there is no system bus or the journal cannot be used.
    pub async fn open(state: &Path) -> Result<Self, ResolvedError> {
        let journal = Journal::open(state, "resolved.journal")?;
        let bus = Bus::connect().await?;
        let mut names = Self {
            bus,
            journal,
            wanted: None,
        };
        names.clear().await?;
        Ok(names)
    }

    /// Has the names asked over this link, and no others. Replaces what was wanted before.
    ///
    /// # Errors
    /// When it cannot be done; then the link is given back to its own settings.
    pub async fn set(&mut self, link: LinkName, wish: SplitDns) -> Result<(), ResolvedError> {
        let link = Link::find(link)?;
        if self.wanted.as_ref().is_some_and(|(old, _)| *old != link) {
            self.clear().await?;
        }
        self.journal.record([Revert {
            boot: boot_id(),
            link: link.clone(),
        }])?;
        let done = self.bus.apply(&link, &wish).await;
        self.journal.changed();
        if let Err(error) = done {
            // The error says why; should reverting fail too, the journal keeps it.
            let _ = self.clear().await;
            return Err(error);
        }
        self.wanted = Some((link, wish));
        Ok(())
    }

    /// Gives the link back to its own settings.
    ///
    /// # Errors
    /// When systemd-resolved does not do it; the journal keeps it.
    pub async fn clear(&mut self) -> Result<(), ResolvedError> {
        self.wanted = None;
        let pending: Vec<Revert> = self.journal.pending().iter().rev().cloned().collect();
        let boot = boot_id();
        for step in pending {
            if step.boot == boot && step.link.is_there() {
                self.bus.revert(&step.link).await?;
                self.journal.changed();
            }
            self.journal.forget([step.key().as_str()])?;
        }
        Ok(())
    }

    /// Configures the names again whenever systemd-resolved, or the bus itself, comes back. Never returns; drop it to stop.
    pub async fn keep(&mut self) {
        loop {
            if !self.bus.restarted().await {
                self.reconnect().await;
            }
            self.reapply().await;
        }
    }

    async fn reconnect(&mut self) {
        let mut pause = BACKOFF[0];
        loop {
            match Bus::connect().await {
                Ok(bus) => break self.bus = bus,
                Err(error) => tracing::warn!(%error, "the system bus is gone"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF[1]);
        }
    }

    async fn reapply(&mut self) {
        let Some((link, wish)) = &self.wanted else {
            return;
        };
        let mut pause = BACKOFF[0];
        while link.is_there() {
            match self.bus.apply(link, wish).await {
                Ok(()) => {
                    tracing::info!(link = %link.name, "systemd-resolved came back and has the names again");
                    return;
                }
                // Another start of it will be announced.
                Err(ResolvedError::Stopped | ResolvedError::NoBus(_)) => return,
                Err(error) => tracing::warn!(%error, "names are not configured"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(BACKOFF[1]);
        }
    }
}

impl Bus {
    async fn connect() -> Result<Self, ResolvedError> {
        let connection = connection().await?;
        let gone = |error: zbus::Error| ResolvedError::NoBus(error.to_string());
        let resolve = ResolveProxy::new(&connection).await.map_err(gone)?;
        let dbus = DBusProxy::new(&connection).await.map_err(gone)?;
        let owners = dbus
            .receive_name_owner_changed_with_args(&[(0, SERVICE)])
            .await
            .map_err(gone)?;
        Ok(Self { resolve, owners })
    }

    /// Waits until resolved was started; false when the bus is gone.
    async fn restarted(&mut self) -> bool {
        while let Some(change) = self.owners.next().await {
            if change.args().is_ok_and(|args| args.new_owner().is_some()) {
                return true;
            }
        }
        false
    }

    async fn apply(&self, link: &Link, wish: &SplitDns) -> Result<(), ResolvedError> {
        let deadline = Instant::now() + NOTICE;
        loop {
            match self.try_apply(link, wish).await {
                Err(ResolvedError::NoLink(_)) if Instant::now() < deadline && link.is_there() => {
                    sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// The servers come last: until then nothing is asked there, and from then on only our names.
    async fn try_apply(&self, link: &Link, wish: &SplitDns) -> Result<(), ResolvedError> {
        let (resolve, index) = (&self.resolve, link.index);
        let said = |call: &'static str| move |error| judge(call, link, &error);
        let default = resolve.set_link_default_route(index, false).await;
        default.map_err(said("SetLinkDefaultRoute"))?;
        let domains = routing_only(wish.domains());
        let domains = resolve.set_link_domains(index, &domains).await;
        domains.map_err(said("SetLinkDomains"))?;
        let llmnr = resolve.set_link_llmnr(index, "no").await;
        llmnr.map_err(said("SetLinkLLMNR"))?;
        let multicast = resolve.set_link_multicast_dns(index, "no").await;
        multicast.map_err(said("SetLinkMulticastDNS"))?;
        // The tunnel encrypts and authenticates; the overlay's zone has no chain of signatures above it.
        let tls = resolve.set_link_dns_over_tls(index, "no").await;
        tls.map_err(said("SetLinkDNSOverTLS"))?;
        let dnssec = resolve.set_link_dnssec(index, "no").await;
        dnssec.map_err(said("SetLinkDNSSEC"))?;
        let (family, address) = octets(wish.resolver());
        let servers = [(family, address.as_slice(), wish.resolver().port(), "")];
        let servers = resolve.set_link_dns_ex(index, &servers).await;
        servers.map_err(said("SetLinkDNSEx"))
    }

    /// A resolved that does not run, or does not know the link, has nothing to revert.
    async fn revert(&self, link: &Link) -> Result<(), ResolvedError> {
        let reverted = self.resolve.revert_link(link.index).await;
        match reverted.map_err(|error| judge("RevertLink", link, &error)) {
            Err(ResolvedError::NoLink(_)) => Ok(()),
            result => result,
        }
    }
}

impl Link {
    fn find(name: LinkName) -> Result<Self, ResolvedError> {
        match index_of(&name) {
            Some(index) => Ok(Self { index, name }),
            None => Err(ResolvedError::NoLink(name)),
        }
    }

    fn is_there(&self) -> bool {
        index_of(&self.name) == Some(self.index)
    }
}

/// Whether systemd-resolved runs, found out without starting it.
pub(super) async fn presence() -> Resolved {
    let Ok(connection) = connection().await else {
        return Resolved::NoBus;
    };
    let Ok(name) = BusName::try_from(SERVICE) else {
        return Resolved::Stopped;
    };
    let owned = match DBusProxy::new(&connection).await {
        Ok(dbus) => dbus.name_has_owner(name).await.unwrap_or(false),
        Err(_) => return Resolved::NoBus,
    };
    if owned {
        Resolved::Running
    } else {
        Resolved::Stopped
    }
}

async fn connection() -> Result<zbus::Connection, ResolvedError> {
    let gone = |error: zbus::Error| ResolvedError::NoBus(error.to_string());
    zbus::connection::Builder::system()
        .method_timeout(PATIENCE)
        .build()
        .await
        .map_err(gone)
}

fn routing_only(domains: &BTreeSet<Domain>) -> Vec<(&str, bool)> {
    domains
        .iter()
        .map(|domain| (domain.as_str(), true))
        .collect()
}

/// The address family as the kernel numbers it, and the address.
fn octets(resolver: SocketAddr) -> (i32, Vec<u8>) {
    match resolver.ip() {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}

fn judge(call: &'static str, link: &Link, error: &zbus::Error) -> ResolvedError {
    let (name, said) = match error {
        zbus::Error::MethodError(name, said, _) => (name.to_string(), said.clone()),
        zbus::Error::FDO(error) => (
            error.name().to_string(),
            error.description().map(str::to_owned),
        ),
        zbus::Error::InputOutput(error) => return ResolvedError::NoBus(error.to_string()),
        error => return failed(call, error.to_string()),
    };
    match name.as_str() {
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
            ResolvedError::Refused(call)
        }
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner"
        | "org.freedesktop.systemd1.NoSuchUnit"
        | "org.freedesktop.systemd1.UnitMasked" => ResolvedError::Stopped,
        "org.freedesktop.DBus.Error.UnknownMethod" => ResolvedError::TooOld(call),
        "org.freedesktop.resolve1.NoSuchLink" => ResolvedError::NoLink(link.name.clone()),
        "org.freedesktop.resolve1.LinkBusy" => ResolvedError::Managed(link.name.clone()),
        other => failed(call, said.unwrap_or_else(|| other.to_owned())),
    }
}

fn failed(call: &'static str, said: String) -> ResolvedError {
    ResolvedError::Failed { call, said }
}

fn index_of(name: &LinkName) -> Option<i32> {
    let path = format!("/sys/class/net/{name}/ifindex");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
