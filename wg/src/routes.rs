//! Which peer owns an address: longest-prefix match over an immutable table.

use crate::key::PeerId;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address range in prefix form, host bits cleared.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

impl Prefix {
    /// The prefix of this length that holds `address`, unless the length is too long for the family.
    pub fn new(address: IpAddr, len: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if len <= 32 => Ipv4Addr::from_bits(u32::from(v4) & mask4(len)).into(),
            IpAddr::V6(v6) if len <= 128 => Ipv6Addr::from_bits(u128::from(v6) & mask6(len)).into(),
            _ => return None,
        };
        Some(Self { address, len })
    }

    /// The prefix that holds this address alone.
    pub fn host(address: IpAddr) -> Self {
        let len = if address.is_ipv4() { 32 } else { 128 };
        Self { address, len }
    }

    /// The lowest address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits are fixed; zero is the default route.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a prefix always holds an address"
    )]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether the address lies in the range.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                u32::from(other) & mask4(self.len) == u32::from(own)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                u128::from(other) & mask6(self.len) == u128::from(own)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

fn mask4(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0)
}

fn mask6(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// All routes of one moment. Building sorts; a look-up is one binary search.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    v4: Table<u32>,
    v6: Table<u128>,
}

impl Routes {
    /// Builds the table; of two equal prefixes the later one wins.
    pub fn new(routes: impl IntoIterator<Item = (Prefix, PeerId)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (prefix, peer) in routes {
            match prefix.address {
                IpAddr::V4(a) => v4.push(Range {
                    first: u32::from(a),
                    last: u32::from(a) | !mask4(prefix.len),
                    peer,
                }),
                IpAddr::V6(a) => v6.push(Range {
                    first: u128::from(a),
                    last: u128::from(a) | !mask6(prefix.len),
                    peer,
                }),
            }
        }
        Self {
            v4: Table::new(v4),
            v6: Table::new(v6),
        }
    }

    /// The peer whose longest prefix holds the address.
    pub fn lookup(&self, address: IpAddr) -> Option<PeerId> {
        match address {
            IpAddr::V4(v4) => self.v4.lookup(u32::from(v4)),
            IpAddr::V6(v6) => self.v6.lookup(u128::from(v6)),
        }
    }
}

/// A number that addresses are compared as.
trait Key: Copy + Ord {
    fn successor(self) -> Option<Self>;
}

impl Key for u32 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Key for u128 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

struct Range<K> {
    first: K,
    last: K,
    peer: PeerId,
}

/// Prefixes nest or are apart, so together they cut the address space into spans with one owner each.
#[derive(Clone, Debug, Default)]
struct Table<K> {
    /// Where each span starts, ascending.
    starts: Vec<K>,
    /// Who owns it.
    owners: Vec<Option<PeerId>>,
}

impl<K: Key> Table<K> {
    fn new(mut ranges: Vec<Range<K>>) -> Self {
        // The wider range first, so that what nests in it comes later; the sort is stable, so equals keep order.
        ranges.sort_by(|a, b| a.first.cmp(&b.first).then(b.last.cmp(&a.last)));
        let mut table = Self {
            starts: Vec::with_capacity(ranges.len() * 2),
            owners: Vec::with_capacity(ranges.len() * 2),
        };
        let mut open: Vec<Range<K>> = Vec::new();
        for range in ranges {
            table.close(&mut open, Some(range.first));
            table.span(range.first, Some(range.peer));
            open.push(range);
        }
        table.close(&mut open, None);
        table
    }

    /// Ends every open range that lies before `next`, handing the rest to the range around it.
    fn close(&mut self, open: &mut Vec<Range<K>>, next: Option<K>) {
        while let Some(inner) = open.pop_if(|range| next.is_none_or(|next| range.last < next)) {
            if let Some(after) = inner.last.successor() {
                // An outer range that ends here as well is popped next and overwrites this span.
                self.span(after, open.last().map(|outer| outer.peer));
            }
        }
    }

    fn span(&mut self, start: K, owner: Option<PeerId>) {
        if self.starts.last() == Some(&start) {
            self.owners.pop();
            self.owners.push(owner);
        } else {
            self.starts.push(start);
            self.owners.push(owner);
        }
    }

    fn lookup(&self, key: K) -> Option<PeerId> {
        let place = self
            .starts
            .partition_point(|start| *start <= key)
            .checked_sub(1)?;
        self.owners[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, len) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), len.parse().unwrap()).unwrap()
    }

    fn routes(list: &[(&str, u64)]) -> Routes {
        Routes::new(
            list.iter()
                .map(|(text, peer)| (prefix(text), PeerId(*peer))),
        )
    }

    #[test]
    fn the_longest_prefix_wins_and_gaps_belong_to_nobody() {
        let routes = routes(&[
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("10.1.2.3/32", 3),
            ("fd00::/8", 4),
            ("fd00::1/128", 5),
        ]);
        let owner = |text: &str| routes.lookup(text.parse().unwrap()).map(|peer| peer.0);
        assert_eq!(owner("10.0.0.0"), Some(1));
        assert_eq!(owner("10.1.2.2"), Some(2));
        assert_eq!(owner("10.1.2.3"), Some(3));
        assert_eq!(owner("10.1.2.4"), Some(2));
        assert_eq!(owner("10.2.0.0"), Some(1));
        assert_eq!(owner("10.255.255.255"), Some(1));
        assert_eq!(owner("11.0.0.0"), None);
        assert_eq!(owner("9.255.255.255"), None);
        assert_eq!(owner("fd00::1"), Some(5));
        assert_eq!(owner("fd00::2"), Some(4));
        assert_eq!(owner("fe00::"), None);
    }

    #[test]
    fn default_routes_and_the_last_address_work() {
        let routes = routes(&[
            ("0.0.0.0/0", 1),
            ("255.255.255.255/32", 2),
            ("::/0", 3),
            ("128.0.0.0/1", 4),
        ]);
        assert_eq!(routes.lookup("1.2.3.4".parse().unwrap()), Some(PeerId(1)));
        assert_eq!(
            routes.lookup("255.255.255.255".parse().unwrap()),
            Some(PeerId(2))
        );
        assert_eq!(
            routes.lookup("255.255.255.254".parse().unwrap()),
            Some(PeerId(4))
        );
        assert_eq!(routes.lookup("ffff::".parse().unwrap()), Some(PeerId(3)));
    }

    #[test]
    fn of_equal_prefixes_the_later_wins() {
        let routes = routes(&[("10.0.0.0/8", 1), ("10.0.0.0/8", 2)]);
        assert_eq!(routes.lookup("10.9.9.9".parse().unwrap()), Some(PeerId(2)));
    }

    #[test]
    fn a_lookup_equals_a_scan_of_all_prefixes() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        for _ in 0..50 {
            let list: Vec<(Prefix, PeerId)> = (0..40)
                .map(|peer| {
                    let address =
                        Ipv4Addr::from_bits((random() & 0xff) << 24 | random() & 0x00ff_ffff);
                    (
                        Prefix::new(address.into(), (random() % 33) as u8).unwrap(),
                        PeerId(peer),
                    )
                })
                .collect();
            let routes = Routes::new(list.iter().copied());
            for _ in 0..200 {
                let near = list[random() as usize % list.len()].0.address();
                let IpAddr::V4(near) = near else {
                    unreachable!()
                };
                let address = IpAddr::V4(Ipv4Addr::from_bits(
                    u32::from(near).wrapping_add(random() % 5).wrapping_sub(2),
                ));
                let scan = list
                    .iter()
                    .filter(|(prefix, _)| prefix.contains(address))
                    .max_by_key(|(prefix, _)| prefix.len());
                assert_eq!(
                    routes.lookup(address),
                    scan.map(|(_, peer)| *peer),
                    "{address} in {list:?}"
                );
            }
        }
    }

    #[test]
    fn a_prefix_clears_its_host_bits_and_refuses_impossible_lengths() {
        assert_eq!(prefix("10.1.2.3/8"), prefix("10.0.0.0/8"));
        assert!(Prefix::new("10.0.0.0".parse().unwrap(), 33).is_none());
        assert!(Prefix::new("::".parse().unwrap(), 129).is_none());
        assert!(!prefix("0.0.0.0/0").contains("::".parse().unwrap()));
    }
}
