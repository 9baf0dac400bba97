//! Where this host may be reached: what its owner says, and its interfaces.

use std::collections::BTreeMap;
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
    let found = in_order(found)
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

/// What is reachable from further away is more likely to be reachable at all. Many addresses of one family do not crowd
/// out the other.
fn in_order(found: impl IntoIterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut counts = BTreeMap::new();
    let mut ranked: Vec<_> = found
        .into_iter()
        .map(|address| {
            let kind = (is_private(address), address.is_ipv4());
            let count = counts.entry(kind).or_insert(0);
            *count += 1;
            ((kind.0, *count), address)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, address)| address).collect()
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
    fn many_bridges_do_not_crowd_out_the_other_family() {
        let bridges = (17..=30).map(|net| IpAddr::from([172, net, 0, 1]));
        let found = bridges.chain(["fd00::5".parse().unwrap()]);
        let all = chosen(&[], found, 1);
        assert_eq!(all.len(), MOST_ENDPOINTS);
        assert!(all.contains(&"[fd00::5]:1".parse().unwrap()), "{all:?}");
    }

    #[test]
    fn a_record_has_room_for_eight() {
        let found = (1..=20).map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(chosen(&[], found, 1).len(), MOST_ENDPOINTS);
    }
}
