//! Connections of this host with a node that is out.

use std::net::IpAddr;

use tidegate_netconfig::Prefix;
use tidegate_netconfig::local::destroy_sockets;

/// Destroys the sockets that talk to these addresses, so that no application waits for a node that is out.
pub(super) fn end(addresses: &[IpAddr]) {
    end_within(addresses.iter().copied().map(Prefix::host).collect());
}

/// Destroys the sockets that talk to anybody within these ranges, because this node itself is out.
pub(super) fn end_within(ranges: Vec<Prefix>) {
    tokio::task::spawn_blocking(move || {
        for range in ranges {
            match destroy_sockets(range) {
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
