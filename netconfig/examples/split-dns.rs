//! Keeps an overlay's names in systemd-resolved until it is told to end (SIGTERM), as the agent does:
//!
//! `split-dns STATE INTERFACE NETWORK.internal RANGE ADDRESS:PORT`; with STATE alone it only undoes what a crash left.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use tidegate_netconfig::desired::LinkName;
use tidegate_netconfig::dns::{ResolvedNames, SplitDns};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("split-dns: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [state] => ResolvedNames::open(Path::new(state)).await.map(drop)?,
        [state, link, domain, range, resolver] => {
            let ranges = BTreeSet::from([range.parse()?]);
            let wish = SplitDns::new(domain.parse()?, &ranges, resolver.parse()?)?;
            keep(Path::new(state), LinkName::new(link)?, wish).await?;
        }
        _ => return Err("see the first lines of the source".into()),
    }
    Ok(())
}

async fn keep(state: &Path, link: LinkName, wish: SplitDns) -> Result<(), Box<dyn Error>> {
    let mut told = signal(SignalKind::terminate())?;
    let mut names = ResolvedNames::open(state).await?;
    names.set(link, wish).await?;
    println!("the names are set");
    tokio::select! {
        () = names.keep() => {}
        _ = told.recv() => {}
    }
    Ok(names.clear().await?)
}
