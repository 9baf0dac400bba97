//! Addresses, prefixes and where an authority is found.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::bounded::BoundedSet;
use crate::bytes::{BytesError, base64_array, base64_bytes, text_serde};
use crate::id::Digest;

/// Why a text is no address, prefix or URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NetError {
    /// Not address/length, or bits set behind the length.
    #[error(
        "'{0}' is no network prefix; write it like 10.1.2.0/24 or fd00::/48, with no bit set behind its length"
    )]
    Prefix(String),
    /// Not an IPv6 address, or a second text of one.
    #[error("'{0}' is no IPv6 address in its shortest form")]
    Ipv6(String),
    /// A prefix that cannot be an overlay range.
    #[error("'{0}' cannot be the overlay's {1}")]
    Range(String, &'static str),
    /// Not an address and port that a packet could be sent to.
    #[error("'{0}' is no endpoint; write it like 192.0.2.7:51820 or [2001:db8::7]:51820")]
    Endpoint(String),
    /// Not the origin of an HTTPS service.
    #[error(
        "'{0}' is no authority URL; write it like https://authority.example.org:7443, in lower case and without a path"
    )]
    Origin(String),
}

/// What of a refused text an error may repeat.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

/// A network prefix in its canonical form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix(IpNet);

impl Prefix {
    /// The prefix that holds just this address.
    pub fn host(address: IpAddr) -> Self {
        Self(address.into())
    }

    /// The address part.
    pub fn address(&self) -> IpAddr {
        self.0.network()
    }

    /// The number of fixed bits.
    pub fn length(&self) -> u8 {
        self.0.prefix_len()
    }

    /// Whether its addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address().is_ipv4()
    }

    /// Whether `address` lies within.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Whether all of `other` lies within.
    pub fn contains_prefix(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The part that two prefixes share: the longer one, or nothing.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (short, long) = if self.length() <= other.length() {
            (self, other)
        } else {
            (other, self)
        };
        short.0.contains(&long.0).then_some(*long)
    }

    /// Whether the two share an address.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.intersection(other).is_some()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Prefix {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let prefix: Option<IpNet> = text.parse().ok();
        let canonical =
            |p: &IpNet| p.trunc() == *p && !is_mapped(p.network()) && p.to_string() == text;
        prefix
            .filter(canonical)
            .map(Self)
            .ok_or_else(|| NetError::Prefix(excerpt(text)))
    }
}

text_serde!(Prefix);

/// IPv4 in IPv6 clothes would let one address have two prefixes.
fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

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

/// Where WireGuard packets can be sent: a unicast address and a port.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint(SocketAddr);

impl Endpoint {
    /// The endpoint at `address`, unless nothing can be sent there.
    pub fn new(address: SocketAddr) -> Result<Self, NetError> {
        let ip = address.ip();
        let scoped =
            matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.flowinfo() != 0);
        let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
        if address.port() == 0
            || ip.is_unspecified()
            || ip.is_multicast()
            || is_mapped(ip)
            || scoped
            || broadcast
        {
            return Err(NetError::Endpoint(address.to_string()));
        }
        Ok(Self(address))
    }

    /// The socket address.
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Endpoint {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let refused = || NetError::Endpoint(excerpt(text));
        let endpoint = Self::new(text.parse().map_err(|_| refused())?)?;
        if endpoint.to_string() == text {
            Ok(endpoint)
        } else {
            Err(refused())
        }
    }
}

text_serde!(Endpoint);

/// The origin of an authority: `https://` with a host in lower case and, unless it is 443, a port.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Origin(Box<str>);

impl Origin {
    /// The greatest length in bytes.
    pub const LONGEST: usize = 280;
    const SCHEME: &'static str = "https://";

    /// The origin as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Host and port, as a `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.0[Self::SCHEME.len()..]
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Origin {
    type Err = NetError;

    fn from_str(text: &str) -> Result<Self, NetError> {
        let authority = text
            .strip_prefix(Self::SCHEME)
            .filter(|_| text.len() <= Self::LONGEST);
        if authority.is_some_and(is_authority) {
            Ok(Self(text.into()))
        } else {
            Err(NetError::Origin(excerpt(text)))
        }
    }
}

text_serde!(Origin);

/// Whether `text` is `host` or `host:port` in its one canonical form.
fn is_authority(text: &str) -> bool {
    if is_host(text) {
        return true;
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let number = port.parse::<u16>().ok().filter(|&n| n != 0 && n != 443);
    is_host(host) && number.is_some_and(|n| n.to_string() == port)
}

fn is_host(text: &str) -> bool {
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return v6
            .parse::<Ipv6Addr>()
            .is_ok_and(|a| a.to_string() == v6 && !is_mapped(a.into()));
    }
    if ends_in_number(text) {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    let label = |l: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        l.len() <= 63
            && l.starts_with(plain)
            && l.ends_with(plain)
            && l.chars().all(|c| plain(c) || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Whether the last label is a number, decimal or hexadecimal, so that a URL's reader takes the host for IPv4.
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last
        .strip_prefix("0x")
        .is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    hexadecimal || (!last.is_empty() && last.bytes().all(|digit| digit.is_ascii_digit()))
}

/// SHA-256 of a TLS certificate's SubjectPublicKeyInfo.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TlsPin([u8; 32]);

base64_bytes!(TlsPin, 32);

impl TlsPin {
    /// The pin of a key, from its DER-encoded SubjectPublicKeyInfo.
    pub fn of(spki: &[u8]) -> Self {
        Self(*Digest::of(spki).as_bytes())
    }

    /// A pin that was kept as bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl FromStr for TlsPin {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, BytesError> {
        base64_array(text).map(Self)
    }
}

/// How a client knows that it speaks to the authority.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsTrust {
    /// One of these keys: the one in use and a spare one.
    Pins(BoundedSet<TlsPin, 2>),
    /// Any certificate for the name that the system's roots vouch for.
    SystemRoots,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_one_text() {
        for good in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "fd00::/48",
            "::/0",
            "192.0.2.1/32",
        ] {
            assert_eq!(good.parse::<Prefix>().unwrap().to_string(), good);
        }
        for bad in [
            "10.0.0.1/8",
            "10.0.0.0/08",
            "10.0.0.0",
            "10.0.0.0/33",
            "FD00::/48",
            "fd00:0::/48",
            "::ffff:10.0.0.0/104",
            "",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn prefixes_share_the_longer_one_or_nothing() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        assert_eq!(
            prefix("10.0.0.0/8").intersection(&prefix("10.1.0.0/16")),
            Some(prefix("10.1.0.0/16"))
        );
        assert_eq!(
            prefix("10.1.0.0/16").intersection(&prefix("10.2.0.0/16")),
            None
        );
        assert!(!prefix("0.0.0.0/0").overlaps(&prefix("::/0")));
    }

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
    fn an_endpoint_is_somewhere_a_packet_can_go() {
        assert!(
            "192.0.2.7:51820".parse::<Endpoint>().is_ok()
                && "[2001:db8::7]:1".parse::<Endpoint>().is_ok()
        );
        for bad in [
            "192.0.2.7",
            "192.0.2.7:0",
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "[::ffff:1.2.3.4]:1",
            "[fe80::1%2]:1",
            "192.0.2.7:051820",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
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

    #[test]
    fn an_origin_has_one_text_and_no_path() {
        for good in [
            "https://a.example",
            "https://a.example:7443",
            "https://127.0.0.1:7443",
            "https://[::1]:7443",
            "https://localhost",
            "https://authority1:7443",
            "https://0xyz.example",
            "https://1.2.3.example",
        ] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "https://A.example",
            "https://a.example/",
            "https://a.example:443",
            "https://a.example:",
            "https://a.example:07",
            "https://u@a.example",
            "https://a..example",
            "https://1.2.3",
            "https://a.1",
            "https://0x7f",
            "https://127.0x1",
            "https://0x",
            "https://[::1",
            "https://",
            "https://a.example?x",
            "https://a.example:70000",
            "https://-a.example",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
