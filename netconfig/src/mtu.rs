//! The largest packet for the tunnel, given the way that its packets take.
//!
//! A path starts at what the route and its link allow. The kernel lowers it when a router complains (its own route
//! exception, seen by [`Host::path_to`](crate::Host::path_to)), a probe when nobody complains but large packets do
//! not arrive. What a probe found is believed for a while, since paths also get better.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::prefix::Family;

/// UDP header, and WireGuard's header and tag around a packet.
const AROUND: u32 = 8 + 16 + 16;

/// The least that IPv4 and IPv6 let a link have.
const LEAST: [u32; 2] = [576, 1280];

/// How long the finding of a probe is believed, as for path MTU discovery in general.
pub const BELIEVED: Duration = Duration::from_secs(600);

/// The way that packets to an address take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Path {
    /// Out of which link.
    pub link: u32,
    /// With which source address, if the kernel has chosen.
    pub source: Option<IpAddr>,
    /// The largest packet on that way that the kernel knows of.
    pub mtu: u32,
}

/// What fits into the tunnel if `underlay` fits on the way to a peer's endpoint, with `extra` bytes of relay header.
///
/// It is never less than the overlay's own families need; where the way is narrower than that, the tunnel's packets
/// have to be fragmented.
#[must_use]
pub fn tunnel_mtu(
    underlay: u32,
    endpoint: Family,
    extra: u32,
    overlay: impl IntoIterator<Item = Family>,
) -> u32 {
    let header = match endpoint {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let least = overlay
        .into_iter()
        .map(|family| LEAST[usize::from(family == Family::V6)])
        .max()
        .unwrap_or(LEAST[0]);
    underlay
        .min(65_535)
        .saturating_sub(header + AROUND + extra)
        .max(least)
}

/// The narrowest of all peers' ways, and what was learned about each.
#[derive(Clone, Debug, Default)]
pub struct PathMtus {
    probed: BTreeMap<IpAddr, Probed>,
}

#[derive(Clone, Copy, Debug)]
struct Probed {
    mtu: u32,
    until: Duration,
}

impl PathMtus {
    /// A packet of `mtu` bytes to `endpoint` arrives, larger ones do not.
    pub fn lower(&mut self, endpoint: IpAddr, mtu: u32, now: Duration) {
        let until = now.saturating_add(BELIEVED);
        let least = LEAST[usize::from(endpoint.is_ipv6())];
        self.probed.insert(
            endpoint,
            Probed {
                mtu: mtu.max(least),
                until,
            },
        );
    }

    /// Forgets an endpoint that is no peer's any more.
    pub fn forget(&mut self, endpoint: IpAddr) {
        self.probed.remove(&endpoint);
    }

    /// The largest packet to `endpoint`, given what the kernel says.
    #[must_use]
    pub fn of(&self, endpoint: IpAddr, path: Path, now: Duration) -> u32 {
        let probed = self
            .probed
            .get(&endpoint)
            .filter(|probed| now < probed.until);
        probed.map_or(path.mtu, |probed| path.mtu.min(probed.mtu))
    }

    /// When a belief ends, so that the caller asks again.
    #[must_use]
    pub fn next_change(&self, now: Duration) -> Option<Duration> {
        self.probed
            .values()
            .map(|probed| probed.until)
            .filter(|until| *until > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: Path = Path {
        link: 2,
        source: None,
        mtu: 1500,
    };

    #[test]
    fn an_ethernet_underlay_leaves_1440_over_ipv4_and_1420_over_ipv6() {
        for (underlay, endpoint, extra, expected) in [
            (1500, Family::V4, 0, 1440),
            (1500, Family::V6, 0, 1420),
            (1492, Family::V6, 0, 1412),
            (1500, Family::V6, 40, 1380),
            (9000, Family::V4, 0, 8940),
            (65_536, Family::V4, 0, 65_475),
        ] {
            assert_eq!(
                tunnel_mtu(underlay, endpoint, extra, Family::BOTH),
                expected,
                "{underlay} {endpoint}"
            );
        }
    }

    #[test]
    fn a_narrow_way_never_disables_a_family_of_the_overlay() {
        assert_eq!(tunnel_mtu(1280, Family::V6, 0, Family::BOTH), 1280);
        assert_eq!(tunnel_mtu(1280, Family::V6, 0, [Family::V4]), 1200);
        assert_eq!(tunnel_mtu(100, Family::V4, 0, [Family::V4]), 576);
    }

    #[test]
    fn a_probe_lowers_one_path_for_a_while() {
        let (endpoint, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut mtus = PathMtus::default();
        let now = Duration::from_secs(5);
        mtus.lower(endpoint, 1380, now);
        assert_eq!(
            (mtus.of(endpoint, PATH, now), mtus.of(other, PATH, now)),
            (1380, 1500)
        );
        let later = mtus.next_change(now).unwrap();
        assert_eq!(mtus.of(endpoint, PATH, later), 1500);
        assert_eq!(mtus.next_change(later), None);
    }

    #[test]
    fn the_kernel_wins_where_it_knows_of_less_and_lies_have_a_floor() {
        let endpoint = "192.0.2.1".parse().unwrap();
        let mut mtus = PathMtus::default();
        mtus.lower(endpoint, 1400, Duration::ZERO);
        assert_eq!(
            mtus.of(endpoint, Path { mtu: 1300, ..PATH }, Duration::ZERO),
            1300
        );
        mtus.lower(endpoint, 1, Duration::ZERO);
        assert_eq!(mtus.of(endpoint, PATH, Duration::ZERO), 576);
    }
}
