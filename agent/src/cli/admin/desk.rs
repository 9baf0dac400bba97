//! The operator's desk: a profile, a client, and a place to print.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use serde::Serialize;
use tidegate::admin::{Credential, Profile, ProfileError, ProfileFile, Standing, read_signing_key};
use tidegate::client::{Client, ClientError, Clock, GenesisChain, OperatorClient, Timeouts};
use tidegate_proto::{Accepted, Genesis, Signed, UnixTime};

use crate::cli::Failure;

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    json: bool,
}

impl Console {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` as JSON for programs, or what `text` makes of it for people.
    pub(super) fn show(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let line = serde_json::to_string(value).map_err(Failure::new)?;
            print(&format!("{line}\n"))
        } else {
            print(&text())
        }
    }

    /// Tells a person how far it is, on standard error. On a terminal the line replaces the one before.
    pub(super) fn progress(&self, line: &str) {
        let mut out = std::io::stderr();
        let _ = if out.is_terminal() {
            write!(out, "\r\u{1b}[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        }; // nothing depends on it
    }

    /// Ends a line of progress.
    pub(super) fn end_progress(&self) {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr()); // nothing depends on it
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| {
        Failure::new(format!(
            "what was asked for is done, but cannot be printed: {error}"
        ))
    })
}

/// An operator's place at a network.
pub(super) struct Desk {
    pub(super) operator: OperatorClient,
    pub(super) console: Console,
    chain: GenesisChain,
}

impl Desk {
    /// Sits down at the network of the profile, and follows its genesis if there is a newer one.
    pub(super) async fn open(profile: Option<&str>, console: Console) -> Result<Self, Failure> {
        let mut file = ProfileFile::of_user().map_err(Failure::new)?;
        let (name, profile) = file.choose(profile).map_err(Failure::new)?;
        let (name, mut profile) = (name.to_owned(), profile.clone());
        let mut chain = chain_of(&name, &profile).map_err(Failure::new)?;
        let (client, moved) = reach(&mut chain, &profile).await?;
        let operator = signed_in(&client, &profile.credential)?;
        if moved == Accepted::New {
            profile.genesis = chain.documents().to_vec();
            file.put(&name, profile, Standing::Unchanged)
                .map_err(Failure::new)?;
        }
        Ok(Self {
            operator,
            console,
            chain,
        })
    }

    /// The chain that the authority offers, from its first revision on, if it leads to the genesis in force here: each
    /// revision names the one before.
    pub(super) async fn whole_chain(&self) -> Result<Vec<Signed<Genesis>>, Failure> {
        let offered = self.operator.client().genesis_chain().await?;
        let whole = GenesisChain::along(&offered)
            .transpose()
            .map_err(Failure::new)?;
        let known = self.chain.trust().genesis().digest();
        let leads_here = offered.iter().any(|document| document.digest() == known);
        if whole.is_none() || !leads_here {
            return Err(Failure::new(
                "the authority offers a genesis chain that does not lead to the genesis of this profile; ask its operator why",
            ));
        }
        Ok(offered)
    }

    /// The authority's time, as well as it is known.
    pub(super) fn now(&self) -> UnixTime {
        self.operator.client().clock().now()
    }
}

fn chain_of(name: &str, profile: &Profile) -> Result<GenesisChain, ProfileError> {
    let chain = GenesisChain::along(&profile.genesis).ok_or(ProfileError::None)?;
    chain.map_err(|reason| ProfileError::Chain {
        name: name.to_owned(),
        reason,
    })
}

/// A client of the authority of `profile`, once its genesis chain has been followed to the end.
pub(super) async fn reach(
    chain: &mut GenesisChain,
    profile: &Profile,
) -> Result<(Client, Accepted), Failure> {
    let timeouts = Timeouts::default();
    let site = |chain: &GenesisChain| {
        let site = chain.site().map_err(Failure::new)?;
        let preferred = profile.urls.iter().rev();
        Ok::<_, Failure>(preferred.fold(site, |site, url| site.preferring(url)))
    };
    let client = Client::new(site(chain)?, Arc::new(Clock::system()), timeouts)?;
    let moved = match client.genesis_chain().await {
        Ok(offered) => chain.catch_up(&offered).map_err(Failure::new)?,
        Err(error @ ClientError::Untrusted { .. }) => {
            if chain.refresh(&profile.urls, timeouts).await? == Accepted::Known {
                return Err(error.into());
            }
            Accepted::New
        }
        Err(error) => return Err(error.into()),
    };
    if moved == Accepted::New {
        client.move_to(site(chain)?)?;
    }
    Ok((client, moved))
}

/// The client as whoever the credential makes it.
pub(super) fn signed_in(
    client: &Client,
    credential: &Credential,
) -> Result<OperatorClient, Failure> {
    Ok(match credential {
        Credential::Key { path, passphrase } => {
            let key = read_signing_key(path, passphrase.as_deref()).map_err(Failure::new)?;
            client.as_operator(Arc::new(key))
        }
        Credential::Token(token) => client.with_token(token.clone()),
    })
}
