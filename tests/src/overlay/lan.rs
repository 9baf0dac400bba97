//! A network behind a node, with a host that knows nothing of the overlay.

use anyhow::Result;

use super::{Node, Overlay};
use crate::Host;

/// The network behind the router.
pub const LAN: &str = "192.168.7.0/24";
/// The host's address in it.
pub const BEHIND: &str = "192.168.7.5";

impl Overlay {
    /// A host behind `router`, which is its way to everywhere.
    pub fn behind(&self, router: &Node, name: &str) -> Result<Host> {
        let lan = self.lab.network("lan")?;
        let host = self.lab.host(name)?;
        lan.attach(router.host(), &["192.168.7.1/24"])?;
        lan.attach(&host, &[&format!("{BEHIND}/24")])?;
        host.route(["default", "via", "192.168.7.1"])?;
        Ok(host)
    }
}
