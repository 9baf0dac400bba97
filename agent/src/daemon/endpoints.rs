//! Where this host may be reached: what its owner says, and its interfaces.

use std::net::{IpAddr, SocketAddr};

use tidegate_proto::Endpoint;

use crate::config::{Config, MOST_ENDPOINTS};

/// The endpoints to announce, best first. Addresses that carry `protocol` are the overlay's own.
pub(super) fn here(config: &Config, port: u16, protocol: u8) -> Vec<Endpoint> {
    let found = if config.announce_interfaces {
        tidegate_netconfig::local::addresses(protocol)
            .inspect_err(|error| tracing::warn!(%error, "the host's addresses cannot be read"))
            .unwrap_or_default()
    } else {
        Default::default()
    };
    chosen(&config.endpoints, found, port)
}

fn chosen(
    configured: &[Endpoint],
    found: impl IntoIterator<Item = IpAddr>,
    port: u16,
) -> Vec<Endpoint> {
    let mut found: Vec<IpAddr> = found.into_iter().collect();
    // What is reachable from further away is more likely to be reachable at all.
    found.sort_by_key(|address| is_private(*address));
    let found = found
        .into_iter()
        .filter_map(|address| Endpoint::new(SocketAddr::new(address, port)).ok());
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for endpoint in configured.iter().copied().chain(found) {
        if !endpoints.contains(&endpoint) && endpoints.len() < MOST_ENDPOINTS {
            endpoints.push(endpoint);
        }
    }
    endpoints
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private(),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owners_word_comes_first_and_far_addresses_before_near_ones() {
        let configured = ["203.0.113.9:4000".parse().unwrap()];
        let found = ["10.0.0.5", "198.51.100.5", "fd00::5"].map(|ip| ip.parse().unwrap());
        let all: Vec<String> = chosen(&configured, found, 51_820)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            all,
            [
                "203.0.113.9:4000",
                "198.51.100.5:51820",
                "10.0.0.5:51820",
                "[fd00::5]:51820"
            ]
        );
    }

    #[test]
    fn a_record_has_room_for_eight() {
        let found = (1..=20).map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(chosen(&[], found, 1).len(), MOST_ENDPOINTS);
    }
}
