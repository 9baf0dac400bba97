//! Configures the overlay's names on hosts where systemd-resolved does not keep them. It runs as root: `tidegate-dns
//! keep` as long as names are wanted, whether or not the agent runs; `up` and `down` do one thing and end.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tidegate_netconfig::desired::LinkName;
use tidegate_netconfig::dns::{self, Domain, Fallback, Outcome, Presence};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
usage: tidegate-dns keep --interface NAME --domain NETWORK.internal --resolver ADDRESS:PORT [--state DIRECTORY]
       tidegate-dns up --interface NAME --domain NETWORK.internal --resolver ADDRESS:PORT [--state DIRECTORY]
       tidegate-dns down [--interface NAME] [--state DIRECTORY]

keep  has names asked at the resolver first whenever the interface has its address, until it is told to end
up    has names asked there now, where systemd-resolved is not in charge
down  puts everything back as it was, for one interface or for all

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 this host allows no mechanism. After 2 and 3 nothing was changed.";

const STATE: &str = "/var/lib/tidegate-dns";

/// What is wanted.
struct Names {
    link: LinkName,
    domain: Domain,
    resolver: SocketAddr,
}

enum Order {
    Up(Names),
    Keep(Names),
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
        Order::Up(names) => up(&call.state, &names).await,
        Order::Keep(names) => keep(&call.state, &names).await,
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

/// Up while the resolver's address is there, and down at the end in any case.
async fn keep(state: &Path, names: &Names) -> ExitCode {
    let (mut code, ended) = tokio::select! {
        biased; // or a signal could come before it is heard
        () = told_to_end() => (ExitCode::SUCCESS, "ends"),
        code = follow(state, names) => (code, "cannot go on"),
    };
    println!("{ended}; names are asked where they were before");
    if down(state, [names.link.clone()]) != ExitCode::SUCCESS {
        code = ExitCode::FAILURE;
    }
    code
}

/// Ends only when something fails.
async fn follow(state: &Path, names: &Names) -> ExitCode {
    let opened = Presence::open(names.link.clone(), names.resolver.ip());
    let mut presence = match opened {
        Ok(presence) => presence,
        Err(error) => return complain(1, error),
    };
    let mut there = presence.look();
    loop {
        let done = match &there {
            Ok(true) => up(state, names).await,
            Ok(false) => down(state, [names.link.clone()]),
            Err(error) => complain(1, error),
        };
        match there {
            Ok(was) if done == ExitCode::SUCCESS => there = presence.changed(was).await,
            _ => return done,
        }
    }
}

async fn told_to_end() {
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn up(state: &Path, names: &Names) -> ExitCode {
    let Names {
        link,
        domain,
        resolver,
    } = names;
    let mechanism = match dns::choose(&dns::observe().await) {
        Ok(mechanism) => mechanism,
        Err(refusal) => return complain(3, refusal),
    };
    let opened = Fallback::open(state, link.clone());
    match opened.and_then(|mut names| names.up(mechanism, domain, *resolver)) {
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
        let order = words.next().ok_or("say keep, up or down")?;
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
            "up" => Order::Up(Names::new(link, domain, resolver)?),
            "keep" => Order::Keep(Names::new(link, domain, resolver)?),
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

impl Names {
    fn new(
        link: Option<LinkName>,
        domain: Option<String>,
        resolver: Option<String>,
    ) -> Result<Self, String> {
        let domain = domain.ok_or("--domain is missing")?;
        let resolver = resolver.ok_or("--resolver is missing")?;
        Ok(Self {
            link: link.ok_or("--interface is missing")?,
            domain: domain.parse().map_err(|error| format!("{error}"))?,
            resolver: resolver
                .parse()
                .map_err(|_| format!("--resolver {resolver:?} is not ADDRESS:PORT"))?,
        })
    }
}
