//! Names in systemd-resolved, over D-Bus.

mod bus;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use bus::Bus;
pub(super) use bus::presence;

use super::wish::SplitDns;
use crate::desired::LinkName;
use crate::journal::{Journal, JournalError, Step};

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
        let step = Revert {
            boot: boot_id(),
            link: link.clone(),
        };
        if !self.journal.pending().contains(&step.key()) {
            // Nothing is done that we have no right to take back.
            self.bus.revert(&link).await?;
        }
        self.journal.record([step])?;
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

fn index_of(name: &LinkName) -> Option<i32> {
    let path = format!("/sys/class/net/{name}/ifindex");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
