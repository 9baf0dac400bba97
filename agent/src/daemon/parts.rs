//! Everything that the loop drives.

use std::path::PathBuf;
use std::sync::Arc;

use tidegate_netconfig::Ending;

use super::allowed::Allowed;
use super::counters::Counters;
use super::error::DaemonError;
use super::inbox::Inbox;
use super::network::Network;
use super::observer::Observer;
use super::plane::Plane;
use super::resolver::Resolver;
use super::session::Authority;
use super::store::Disk;
use super::turn::End;
use crate::state::StateDirectory;

/// Everything that the loop drives.
pub(super) struct Parts {
    pub(super) inbox: Inbox,
    pub(super) plane: Plane,
    pub(super) network: Network,
    pub(super) disk: Disk,
    pub(super) authority: Authority,
    pub(super) resolver: Resolver,
    pub(super) observer: Observer,
    pub(super) allowed: Arc<Allowed>,
    pub(super) counters: Arc<Counters>,
    pub(super) directory: Arc<StateDirectory>,
    pub(super) config_path: PathBuf,
    /// The protocol number of our own addresses and routes.
    pub(super) protocol: u8,
}

impl Parts {
    /// Ends them: data first, then the host, and the identity if the user has left. What could not be undone on the host
    /// stays in its journal.
    pub(super) async fn end(self, ending: Ending, end: End) -> Result<(), DaemonError> {
        self.plane.stop();
        drop(self.authority);
        self.resolver.end().await;
        let left_as_wanted = self.network.end(ending).await;
        self.disk.end().await;
        self.plane.end().await;
        match (end, left_as_wanted) {
            (End::Stopped, _) => Ok(()),
            (End::Left, Ok(())) => Ok(self.directory.empty()?),
            (End::Left, Err(error)) => {
                self.directory.forget_membership()?;
                Err(DaemonError::NotUndone(error))
            }
        }
    }
}
