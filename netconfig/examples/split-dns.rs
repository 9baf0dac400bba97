//! Keeps an overlay's names in systemd-resolved until it is told to end (SIGTERM), as the agent does:
//!
//! `split-dns STATE INTERFACE NETWORK.internal RANGE ADDRESS:PORT`; with STATE alone it only undoes what a crash left.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use tidegate_netconfig::desired::LinkName;
use tidegate_netconfig::dns::{ResolvedNames, SplitDns};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        [state] => ResolvedNames::open(Path::new(state)).await.map(drop),
        [state, link, domain, range, resolver] => {
            let ranges = BTreeSet::from([range.parse()?]);
            let wish = SplitDns::new(domain.parse()?, &ranges, resolver.parse()?)?;
            return keep(state, LinkName::new(link)?, wish).await;
        }
        _ => return Err("see the first lines of the source".into()),
    };
    result.map_err(|error| error.to_string().into())
}

async fn keep(state: &str, link: LinkName, wish: SplitDns) -> Result<(), Box<dyn Error>> {
    let mut told = signal(SignalKind::terminate())?;
    let mut names = ResolvedNames::open(Path::new(state)).await?;
    if let Err(error) = names.set(link, wish).await {
        return Err(error.to_string().into());
    }
    println!("the names are set");
    tokio::select! {
        () = names.keep() => {}
        _ = told.recv() => {}
    }
    Ok(names.clear().await?)
}
