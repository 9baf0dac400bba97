//! Configures the overlay's names on hosts where systemd-resolved does not keep them. It runs as root, does one
//! thing and ends: `tidegate-dns up` before the agent's resolver is needed, `tidegate-dns down` after.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate_netconfig::desired::LinkName;
use tidegate_netconfig::dns::{self, Domain, Fallback, Outcome};

const USAGE: &str = "\
usage: tidegate-dns up --interface NAME --domain NETWORK.internal --resolver ADDRESS:PORT [--state DIRECTORY]
       tidegate-dns down [--interface NAME] [--state DIRECTORY]

up    has names asked at the resolver first, where systemd-resolved is not in charge
down  puts everything back as it was, for one interface or for all

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this host allows no mechanism. After 2 and 3 nothing was changed.";

const STATE: &str = "/var/lib/tidegate-dns";

enum Order {
    Up {
        link: LinkName,
        domain: Domain,
        resolver: SocketAddr,
    },
    /// One link, or all of them.
    Down(Option<LinkName>),
}

struct Call {
    order: Order,
    state: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let call = match Call::parse(std::env::args().skip(1)) {
        Ok(call) => call,
        Err(error) => return complain(2, format_args!("{error}\n\n{USAGE}")),
    };
    match call.order {
        Order::Down(Some(link)) => down(&call.state, [link]),
        Order::Down(None) => match Fallback::links(&call.state) {
            Ok(links) => down(&call.state, links),
            Err(error) => complain(1, error),
        },
        Order::Up {
            link,
            domain,
            resolver,
        } => up(&call.state, link, &domain, resolver).await,
    }
}

/// One link's trouble does not hold up the others.
fn down(state: &Path, links: impl IntoIterator<Item = LinkName>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for link in links {
        if let Err(error) = Fallback::open(state, link).and_then(|mut names| names.down()) {
            code = complain(1, error);
        }
    }
    code
}

async fn up(state: &Path, link: LinkName, domain: &Domain, resolver: SocketAddr) -> ExitCode {
    let mechanism = match dns::choose(&dns::observe().await) {
        Ok(mechanism) => mechanism,
        Err(refusal) => return complain(3, refusal),
    };
    match Fallback::open(state, link).and_then(|mut names| names.up(mechanism, domain, resolver)) {
        Ok(Outcome::Up(mechanism)) => {
            println!("names under {domain} are asked at {resolver}, by {mechanism}")
        }
        Ok(Outcome::LeftToResolved) => {
            println!("systemd-resolved is in charge here, and the agent tells it the names")
        }
        Err(error) => return complain(1, error),
    }
    ExitCode::SUCCESS
}

fn complain(code: u8, what: impl fmt::Display) -> ExitCode {
    eprintln!("tidegate-dns: {what}");
    ExitCode::from(code)
}

impl Call {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let order = words.next().ok_or("say up or down")?;
        let (mut link, mut domain, mut resolver, mut state) = (None, None, None, None);
        while let Some(option) = words.next() {
            let place = match option.as_str() {
                "--interface" => &mut link,
                "--domain" => &mut domain,
                "--resolver" => &mut resolver,
                "--state" => &mut state,
                other => return Err(format!("unknown option {other:?}")),
            };
            let value = words.next().ok_or(format!("{option} needs a value"))?;
            if place.replace(value).is_some() {
                return Err(format!("{option} is there twice"));
            }
        }
        let link = link.map(LinkName::new).transpose();
        let link = link.map_err(|error| error.to_string())?;
        let order = match order.as_str() {
            "up" => Order::up(link, domain, resolver)?,
            "down" if domain.is_none() && resolver.is_none() => Order::Down(link),
            "down" => return Err("down takes only --interface and --state".to_owned()),
            other => return Err(format!("unknown command {other:?}")),
        };
        Ok(Self {
            order,
            state: state.map_or_else(|| PathBuf::from(STATE), PathBuf::from),
        })
    }
}

impl Order {
    fn up(
        link: Option<LinkName>,
        domain: Option<String>,
        resolver: Option<String>,
    ) -> Result<Self, String> {
        let domain = domain.ok_or("--domain is missing")?;
        let resolver = resolver.ok_or("--resolver is missing")?;
        Ok(Self::Up {
            link: link.ok_or("--interface is missing")?,
            domain: domain.parse().map_err(|error| format!("{error}"))?,
            resolver: resolver
                .parse()
                .map_err(|_| format!("--resolver {resolver:?} is not ADDRESS:PORT"))?,
        })
    }
}
