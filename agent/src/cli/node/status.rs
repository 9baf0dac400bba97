//! `status`, `peers`, `whois`, `routes`, `epoch`, `cert`: pages of one answer.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tidegate::admin::{facts, length, list, moment, or_dash, table};
use tidegate::exit::Exit;
use tidegate::local::{PeerView, StatusView};
use tidegate_netconfig::Prefix;
use tidegate_proto::UnixTime;

use super::{Talk, exit_of, page};
use crate::cli::{Failure, print};

/// Home, and clear the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Shows how it stands.
#[derive(Args, Debug)]
pub(crate) struct Status {
    /// Show it again each second; as JSON, one line each
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    talk: Talk,
}

impl Status {
    pub(crate) fn run(self) -> Result<(), Failure> {
        loop {
            let status = self.talk.status(true)?;
            if !self.watch {
                self.talk.show(&*status, || page::status(&status))?;
                return judge(&status);
            }
            let page = match self.talk.json {
                true => serde_json::to_string(&status).map_err(Failure::new)? + "\n",
                false => format!("{CLEAR}{}", page::status(&status)),
            };
            print(&page)?;
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// The page is printed; what is not as it should be is the exit code's to say.
fn judge(status: &StatusView) -> Result<(), Failure> {
    match exit_of(status.state) {
        Exit::Done => Ok(()),
        exit => Err(Failure {
            exit,
            message: status.explanation.clone(),
        }),
    }
}

/// Lists the peers.
#[derive(Args, Debug)]
pub(crate) struct Peers {
    #[command(flatten)]
    talk: Talk,
}

impl Peers {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(true)?;
        self.talk.show(&status.peers, || page::peers(&status))
    }
}

/// Tells who has an address.
#[derive(Args, Debug)]
pub(crate) struct Whois {
    /// An address of the overlay, or of a network behind a node
    address: IpAddr,
    #[command(flatten)]
    talk: Talk,
}

#[derive(Serialize)]
struct Owner<'a> {
    name: &'a str,
    node: &'a str,
    addresses: &'a [IpAddr],
    tags: &'a [String],
    /// The network behind it that holds the address.
    behind: Option<String>,
}

impl Whois {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(false)?;
        let owner = owner(&status, self.address).ok_or_else(|| {
            Failure::new(format!(
                "no node that this one may talk to has {}; others are known to the authority alone",
                self.address
            ))
        })?;
        self.talk.show(&owner, || {
            facts([
                ("name", owner.name.to_owned()),
                ("node", owner.node.to_owned()),
                ("addresses", list(owner.addresses)),
                ("tags", list(owner.tags)),
                ("behind it", owner.behind.clone().unwrap_or_default()),
            ])
        })
    }
}

fn owner(status: &StatusView, address: IpAddr) -> Option<Owner<'_>> {
    if let Some(own) = &status.certificate
        && own.addresses.contains(&address)
    {
        return Some(Owner {
            name: &own.name,
            node: &status.node,
            addresses: &own.addresses,
            tags: &own.tags,
            behind: None,
        });
    }
    let (peer, route) = longest(&status.peers, address)?;
    Some(Owner {
        name: &peer.name,
        node: &peer.node,
        addresses: &peer.addresses,
        tags: &peer.tags,
        behind: route.map(|route| route.to_string()),
    })
}

/// The peer that has the address, or the narrowest network behind a peer that holds it.
fn longest(peers: &[PeerView], address: IpAddr) -> Option<(&PeerView, Option<Prefix>)> {
    if let Some(peer) = peers.iter().find(|peer| peer.addresses.contains(&address)) {
        return Some((peer, None));
    }
    let routes = peers.iter().flat_map(|peer| {
        let prefixes = peer
            .routes
            .iter()
            .filter_map(|text| text.parse::<Prefix>().ok());
        prefixes.map(move |prefix| (peer, prefix))
    });
    routes
        .filter(|(_, prefix)| prefix.holds(address))
        .max_by_key(|(_, prefix)| prefix.length())
        .map(|(peer, prefix)| (peer, Some(prefix)))
}

/// Lists the routes into the overlay.
#[derive(Args, Debug)]
pub(crate) struct Routes {
    #[command(flatten)]
    talk: Talk,
}

impl Routes {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(false)?;
        self.talk.show(&status.host.routes, || {
            let rows = status.host.routes.iter().map(|route| {
                [
                    route.prefix.clone(),
                    or_dash(route.via.as_ref()),
                    route.refused.clone().unwrap_or_else(|| "taken".to_owned()),
                ]
            });
            table(
                ["NETWORK", "BEHIND", "STATE"],
                rows,
                "No networks behind other nodes.",
            )
        })
    }
}

/// Shows the epochs.
#[derive(Args, Debug)]
pub(crate) struct Epoch {
    #[command(flatten)]
    talk: Talk,
}

impl Epoch {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(false)?;
        let now = page::time(&status);
        self.talk.show(&status.epochs, || {
            let rows = status.epochs.iter().map(|epoch| {
                let at = |millis| moment(UnixTime::from_millis(millis), now);
                let state = match (epoch.active, epoch.held) {
                    (true, _) => "in use",
                    (false, true) => "held back",
                    (false, false) => "ready",
                };
                [
                    epoch.number.to_string(),
                    at(epoch.starts_ms),
                    at(epoch.ends_ms),
                    format!("in {}", length(epoch.left_ms)),
                    state.to_owned(),
                ]
            });
            let header = ["EPOCH", "STARTS", "ENDS", "LEASE ENDS", "STATE"];
            table(header, rows, "No key to any epoch.")
        })
    }
}

/// Shows this node's certificate.
#[derive(Args, Debug)]
pub(crate) struct Cert {
    #[command(flatten)]
    talk: Talk,
}

impl Cert {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let status = self.talk.status(false)?;
        let now = page::time(&status);
        let Some(own) = &status.certificate else {
            return Err(Failure {
                exit: exit_of(status.state),
                message: format!("there is no certificate: {}", status.explanation),
            });
        };
        self.talk.show(own, || {
            let at = |millis| moment(UnixTime::from_millis(millis), now);
            let failed = match (own.renewals_failed, &own.renewal_refused) {
                (0, _) => String::new(),
                (count, Some(refused)) => format!("{count} times; {refused}"),
                (count, None) => format!("{count} times"),
            };
            facts([
                ("name", own.name.clone()),
                ("node", status.node.clone()),
                ("addresses", list(&own.addresses)),
                ("roles", list(&own.roles)),
                ("tags", list(&own.tags)),
                ("routes", list(&own.routes)),
                ("serial", own.serial.to_string()),
                ("ends", at(own.not_after_ms)),
                ("renewed", at(own.renew_at_ms)),
                ("renewal failed", failed),
            ])
        })
    }
}
