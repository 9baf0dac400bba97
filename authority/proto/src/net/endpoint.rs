//! Where packets can be sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::{NetError, excerpt, is_mapped};
use crate::bytes::text_serde;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
