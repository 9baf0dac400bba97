//! Logging in to networks.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidegate::admin::{Credential, Profile, ProfileFile, Standing, read_genesis, table};
use tidegate::client::{GenesisChain, NodeFilter};
use tidegate_proto::Origin;
use tidegate_proto::api::SecretText;
use zeroize::Zeroizing;

use super::desk::{Console, reach, signed_in};
use crate::cli::Failure;

/// Logs in.
#[derive(Args, Debug)]
pub(super) struct Login {
    /// The authority, like https://authority.example:7443
    url: Origin,
    /// The file of the network's genesis, which you have by a way that you trust
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    #[command(flatten)]
    how: How,
    /// File whose first line is the passphrase of the key; mode 0600
    #[arg(long, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,
    /// The profile's name; otherwise the network's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct How {
    /// Your operator key; the profile keeps its path, never the key
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// With an API token, read from the first line of standard input
    #[arg(long)]
    token: bool,
}

#[derive(Serialize)]
struct LoggedIn {
    profile: String,
    network: String,
}

impl Login {
    /// The credential is tried before anything is kept.
    pub(super) async fn run(self, profile: Option<&str>, console: &Console) -> Result<(), Failure> {
        let mut file = ProfileFile::of_user().map_err(Failure::new)?;
        let genesis = read_genesis(&self.genesis).map_err(Failure::new)?;
        let mut chain = GenesisChain::trusting(genesis).map_err(Failure::new)?;
        let credential = self.credential()?;
        let mut kept = Profile {
            urls: vec![self.url],
            genesis: Vec::new(),
            credential,
        };
        let (client, _) = reach(&mut chain, &kept).await?;
        let operator = signed_in(&client, &kept.credential)?;
        let one = NodeFilter {
            limit: Some(1),
            ..NodeFilter::default()
        };
        match operator.nodes(one).await {
            Err(error) if error.code() == Some("forbidden") => {} // known, and may do something else
            other => drop(other?),
        }
        kept.genesis = chain.documents().to_vec();
        let network = chain.trust().genesis().name.to_string();
        let name = self.name.as_deref().or(profile).unwrap_or(&network);
        let standing = match file.names().next() {
            None => Standing::Default,
            Some(_) => Standing::Unchanged,
        };
        file.put(name, kept, standing).map_err(Failure::new)?;
        let done = LoggedIn {
            profile: name.to_owned(),
            network: network.clone(),
        };
        console.show(&done, || {
            format!("Logged in to the network {network}; the profile is '{name}'.\n")
        })
    }

    fn credential(&self) -> Result<Credential, Failure> {
        let Some(path) = &self.how.key else {
            return read_token().map(Credential::Token);
        };
        let absolute = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
        Ok(Credential::Key {
            path: absolute(path),
            passphrase: self.passphrase_file.as_ref().map(absolute),
        })
    }
}

fn read_token() -> Result<SecretText, Failure> {
    if std::io::stdin().is_terminal() {
        eprint!("Token: ");
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(Failure::new)?;
    let token = line.trim();
    if token.is_empty() {
        return Err(Failure::usage(
            "there is no token on standard input; write it there, in one line",
        ));
    }
    token.parse().map_err(Failure::usage)
}

#[derive(Serialize)]
struct Shown {
    name: String,
    default: bool,
    url: String,
    with: &'static str,
}

/// Lists the profiles.
pub(super) fn profiles(console: &Console) -> Result<(), Failure> {
    let file = ProfileFile::of_user().map_err(Failure::new)?;
    let shown: Vec<_> = file
        .profiles()
        .map(|(name, profile)| shown(&file, name, profile))
        .collect();
    console.show(&shown, || {
        let row = |shown: &Shown| {
            let mark = if shown.default { "*" } else { "" };
            [
                mark.to_owned(),
                shown.name.clone(),
                shown.url.clone(),
                shown.with.to_owned(),
            ]
        };
        let empty = "You have not logged in to any network.";
        table(
            ["", "name", "authority", "with"],
            shown.iter().map(row),
            empty,
        )
    })
}

fn shown(file: &ProfileFile, name: &str, profile: &Profile) -> Shown {
    Shown {
        name: name.to_owned(),
        default: file.is_default(name),
        url: profile
            .urls
            .first()
            .map(ToString::to_string)
            .unwrap_or_default(),
        with: match profile.credential {
            Credential::Key { .. } => "key",
            Credential::Token(_) => "token",
        },
    }
}
