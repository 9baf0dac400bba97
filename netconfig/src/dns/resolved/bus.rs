//! Talking to systemd-resolved.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep};
use zbus::DBusError;
use zbus::fdo::{DBusProxy, NameOwnerChangedStream};
use zbus::names::BusName;

use super::{Link, ResolvedError};
use crate::dns::domain::Domain;
use crate::dns::facts::Resolved;
use crate::dns::wish::SplitDns;

const SERVICE: &str = "org.freedesktop.resolve1";
/// How long one call may take; polkit may have to be started for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long resolved may take to notice a link that was just made.
const NOTICE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

/// None of these starts a service that the host does not run.
#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1"
)]
trait Resolve {
    #[zbus(name = "SetLinkDNSEx", no_autostart)]
    fn set_link_dns_ex(&self, link: i32, servers: &[(i32, &[u8], u16, &str)]) -> zbus::Result<()>;
    #[zbus(no_autostart)]
    fn set_link_domains(&self, link: i32, domains: &[(&str, bool)]) -> zbus::Result<()>;
    #[zbus(no_autostart)]
    fn set_link_default_route(&self, link: i32, enable: bool) -> zbus::Result<()>;
    #[zbus(name = "SetLinkLLMNR", no_autostart)]
    fn set_link_llmnr(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkMulticastDNS", no_autostart)]
    fn set_link_multicast_dns(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSOverTLS", no_autostart)]
    fn set_link_dns_over_tls(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSSEC", no_autostart)]
    fn set_link_dnssec(&self, link: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(no_autostart)]
    fn revert_link(&self, link: i32) -> zbus::Result<()>;
}

/// The connection, and the news of resolved's starts.
pub(super) struct Bus {
    resolve: ResolveProxy<'static>,
    owners: NameOwnerChangedStream,
}

impl Bus {
    pub(super) async fn connect() -> Result<Self, ResolvedError> {
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
    pub(super) async fn restarted(&mut self) -> bool {
        while let Some(change) = self.owners.next().await {
            if change.args().is_ok_and(|args| args.new_owner().is_some()) {
                return true;
            }
        }
        false
    }

    pub(super) async fn apply(&self, link: &Link, wish: &SplitDns) -> Result<(), ResolvedError> {
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

    /// A link that resolved does not know has nothing to revert. A resolved that does not run has: it remembers
    /// links, so that is an error.
    pub(super) async fn revert(&self, link: &Link) -> Result<(), ResolvedError> {
        let reverted = self.resolve.revert_link(link.index).await;
        match reverted.map_err(|error| judge("RevertLink", link, &error)) {
            Err(ResolvedError::NoLink(_)) => Ok(()),
            result => result,
        }
    }
}

/// Whether systemd-resolved runs, found out without starting it.
pub(in crate::dns) async fn presence() -> Resolved {
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
    match error {
        zbus::Error::MethodError(name, said, _) => name_error(call, link, name, said.as_deref()),
        zbus::Error::FDO(error) => {
            name_error(call, link, error.name().as_str(), error.description())
        }
        zbus::Error::InputOutput(error) => ResolvedError::NoBus(error.to_string()),
        error => failed(call, error.to_string()),
    }
}

fn name_error(call: &'static str, link: &Link, name: &str, said: Option<&str>) -> ResolvedError {
    match name {
        "org.freedesktop.DBus.Error.AccessDenied"
        | "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" => {
            ResolvedError::Refused(call)
        }
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => ResolvedError::Stopped,
        "org.freedesktop.DBus.Error.UnknownMethod" => ResolvedError::TooOld(call),
        "org.freedesktop.resolve1.NoSuchLink" => ResolvedError::NoLink(link.name.clone()),
        "org.freedesktop.resolve1.LinkBusy" => ResolvedError::Managed(link.name.clone()),
        other => failed(call, said.unwrap_or(other).to_owned()),
    }
}

fn failed(call: &'static str, said: String) -> ResolvedError {
    ResolvedError::Failed { call, said }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::LinkName;

    #[test]
    fn each_answer_becomes_one_error_that_says_what_to_do() {
        let name = LinkName::new("tg0").unwrap();
        let link = Link {
            index: 7,
            name: name.clone(),
        };
        let call = "SetLinkDNSEx";
        for (answer, error) in [
            ("DBus.Error.AccessDenied", ResolvedError::Refused(call)),
            (
                "DBus.Error.InteractiveAuthorizationRequired",
                ResolvedError::Refused(call),
            ),
            ("DBus.Error.ServiceUnknown", ResolvedError::Stopped),
            ("DBus.Error.NameHasNoOwner", ResolvedError::Stopped),
            ("DBus.Error.UnknownMethod", ResolvedError::TooOld(call)),
            ("resolve1.NoSuchLink", ResolvedError::NoLink(name.clone())),
            ("resolve1.LinkBusy", ResolvedError::Managed(name.clone())),
            ("DBus.Error.NoReply", failed(call, "late".to_owned())),
        ] {
            let answer = format!("org.freedesktop.{answer}");
            assert_eq!(name_error(call, &link, &answer, Some("late")), error);
            assert!(error.to_string().contains("DNS is unchanged: "));
        }
    }
}
