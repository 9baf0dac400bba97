//! Addresses, prefixes and where an authority is found.

mod endpoint;
mod origin;
mod prefix;
mod range;
mod tls;

use std::net::IpAddr;

use crate::bytes::printable;

pub use endpoint::Endpoint;
pub use origin::Origin;
pub use prefix::Prefix;
pub(crate) use range::canonical_ipv6;
pub use range::{Ipv4Range, Ipv6Range};
pub use tls::{TlsPin, TlsTrust};

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
    printable(text, 80)
}

/// IPv4 in IPv6 clothes would let one address have two prefixes.
fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}
