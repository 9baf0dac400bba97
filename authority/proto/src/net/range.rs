//! The overlay's addresses.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, de};

use super::{NetError, Prefix, excerpt};
use crate::bytes::text_serde;

/// The overlay's IPv4 addresses: a private or shared (RFC 6598) prefix of 8 to 29 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv4Range(Ipv4Net);

/// The overlay's IPv6 addresses: a /48 out of the unique local fd00::/8.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ipv6Range(Ipv6Net);

impl Ipv4Range {
    /// Whether a node may have `address`: within, and neither the network's nor the broadcast address.
    pub fn admits(&self, address: Ipv4Addr) -> bool {
        self.0.contains(&address) && address != self.0.network() && address != self.0.broadcast()
    }

    /// How many nodes find an address here.
    pub fn capacity(&self) -> u64 {
        (1 << (32 - u32::from(self.0.prefix_len()))) - 2
    }

    /// The range as a prefix.
    pub fn prefix(&self) -> Prefix {
        Prefix(self.0.into())
    }
}

impl Ipv6Range {
    /// The /48 with these 40 bits behind `fd`.
    pub fn from_random(bits: [u8; 5]) -> Self {
        let mut octets = [0; 16];
        octets[0] = 0xfd;
        octets[1..6].copy_from_slice(&bits);
        Self(Ipv6Net::new_assert(octets.into(), 48))
    }

    /// Whether a node may have `address`: within, and not the subnet-router anycast address.
    pub fn admits(&self, address: Ipv6Addr) -> bool {
        self.0.contains(&address) && address != self.0.network()
    }

    /// The range as a prefix.
    pub fn prefix(&self) -> Prefix {
        Prefix(self.0.into())
    }
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Ipv6Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ipv4Range {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        const HOMES: [(Ipv4Addr, u8); 4] = [
            (Ipv4Addr::new(10, 0, 0, 0), 8),
            (Ipv4Addr::new(172, 16, 0, 0), 12),
            (Ipv4Addr::new(192, 168, 0, 0), 16),
            (Ipv4Addr::new(100, 64, 0, 0), 10),
        ];
        let prefix: Prefix = text.parse()?;
        let at_home = |net: &Ipv4Net| {
            HOMES
                .iter()
                .any(|&(home, length)| Ipv4Net::new_assert(home, length).contains(net))
        };
        match prefix.0 {
            IpNet::V4(net) if net.prefix_len() <= 29 && at_home(&net) => Ok(Self(net)),
            _ => Err(NetError::Range(
                excerpt(text),
                "IPv4 range; take a prefix of at most 29 bits inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
            )),
        }
    }
}

impl FromStr for Ipv6Range {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let prefix: Prefix = text.parse()?;
        match prefix.0 {
            IpNet::V6(net) if net.prefix_len() == 48 && net.network().octets()[0] == 0xfd => {
                Ok(Self(net))
            }
            _ => Err(NetError::Range(
                excerpt(text),
                "IPv6 range; take a /48 inside fd00::/8",
            )),
        }
    }
}

text_serde!(Ipv4Range);
text_serde!(Ipv6Range);

/// Reads an IPv6 address in the one text that it is written as.
pub(crate) fn canonical_ipv6<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Ipv6Addr, D::Error> {
    let text = <Cow<'de, str>>::deserialize(deserializer)?;
    let address: Option<Ipv6Addr> = text.parse().ok();
    address
        .filter(|address| address.to_string() == *text)
        .ok_or_else(|| de::Error::custom(NetError::Ipv6(excerpt(&text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_ranges_are_private() {
        for good in [
            "10.211.0.0/16",
            "100.64.0.0/10",
            "192.168.7.0/29",
            "172.16.0.0/12",
        ] {
            assert!(good.parse::<Ipv4Range>().is_ok(), "{good}");
        }
        for bad in [
            "8.8.8.0/24",
            "10.0.0.0/30",
            "0.0.0.0/0",
            "172.0.0.0/8",
            "fd00::/48",
            "10.0.0.1/16",
        ] {
            assert!(bad.parse::<Ipv4Range>().is_err(), "{bad}");
        }
        assert!("fd12:3456:789a::/48".parse::<Ipv6Range>().is_ok());
        for bad in ["2001:db8::/48", "fd00::/64", "fc00::/48", "10.0.0.0/8"] {
            assert!(bad.parse::<Ipv6Range>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_keeps_its_edges() {
        let range: Ipv4Range = "10.0.0.0/29".parse().unwrap();
        assert_eq!(range.capacity(), 6);
        assert!(
            range.admits("10.0.0.1".parse().unwrap()) && range.admits("10.0.0.6".parse().unwrap())
        );
        assert!(
            !range.admits("10.0.0.0".parse().unwrap())
                && !range.admits("10.0.0.7".parse().unwrap())
        );
        let drawn = Ipv6Range::from_random([1, 2, 3, 4, 5]);
        assert_eq!(drawn.to_string(), "fd01:203:405::/48");
        assert!(!drawn.admits("fd01:203:405::".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_address_in_a_document_has_one_text() {
        #[derive(Debug, Deserialize, Eq, PartialEq)]
        struct Holder(#[serde(deserialize_with = "canonical_ipv6")] Ipv6Addr);
        let read = |text: &str| {
            crate::strict::read::<Holder>(format!("\"{text}\"").as_bytes(), 100).is_ok()
        };
        assert!(read("fd01:203:405::3:7") && read("::1"));
        for other in [
            "FD01:203:405::3:7",
            "fd01:203:405:0::3:7",
            "fd01:0203:405::3:7",
            "10.0.0.1",
            "",
        ] {
            assert!(!read(other), "{other}");
        }
    }
}
