//! Connections of this host with a node that is out.

use std::net::IpAddr;

/// Destroys the sockets that talk to these addresses, so that no application waits for a node that is out.
pub(super) fn end(addresses: &[IpAddr]) {
    let addresses = addresses.to_vec();
    tokio::task::spawn_blocking(move || {
        for address in addresses {
            match tidegate_netconfig::local::destroy_sockets(address) {
                Ok(destroyed) if destroyed.refused > 0 => tracing::warn!(
                    refused = destroyed.refused,
                    "the kernel keeps connections with a node that is out; they get no packets"
                ),
                Ok(destroyed) => tracing::debug!(sockets = destroyed.sockets, "connections ended"),
                Err(error) => {
                    tracing::warn!(%error, "connections with a node that is out are not ended; they get no packets")
                }
            }
        }
    });
}
