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
       tidegate-dns down --interface NAME [--state DIRECTORY]

up    has names asked at the resolver first, where systemd-resolved is not in charge
down  puts everything back as it was

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this host allows no mechanism. After 2 and 3 nothing was changed.";

const STATE: &str = "/var/lib/tidegate-dns";

enum Order {
    Up {
        domain: Domain,
        resolver: SocketAddr,
    },
    Down,
}

struct Call {
    order: Order,
    link: LinkName,
    state: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let call = match Call::parse(std::env::args().skip(1)) {
        Ok(call) => call,
        Err(error) => return complain(2, format_args!("{error}\n\n{USAGE}")),
    };
    match call.order {
        Order::Down => down(&call.state, call.link),
        Order::Up { domain, resolver } => up(&call.state, call.link, &domain, resolver).await,
    }
}

fn down(state: &Path, link: LinkName) -> ExitCode {
    match Fallback::open(state, link).and_then(|mut names| names.down()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(1, error),
    }
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
        let link = LinkName::new(link.ok_or("--interface is missing")?);
        let order = match order.as_str() {
            "up" => Order::up(domain, resolver)?,
            "down" if domain.is_none() && resolver.is_none() => Order::Down,
            "down" => return Err("down takes only --interface and --state".to_owned()),
            other => return Err(format!("unknown command {other:?}")),
        };
        Ok(Self {
            order,
            link: link.map_err(|error| error.to_string())?,
            state: state.map_or_else(|| PathBuf::from(STATE), PathBuf::from),
        })
    }
}

impl Order {
    fn up(domain: Option<String>, resolver: Option<String>) -> Result<Self, String> {
        let domain = domain.ok_or("--domain is missing")?;
        let resolver = resolver.ok_or("--resolver is missing")?;
        Ok(Self::Up {
            domain: domain.parse().map_err(|error| format!("{error}"))?,
            resolver: resolver
                .parse()
                .map_err(|_| format!("--resolver {resolver:?} is not ADDRESS:PORT"))?,
        })
    }
}
