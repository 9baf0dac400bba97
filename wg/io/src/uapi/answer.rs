//! Requests and answers as text.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tidegate_wg::{PeerId, Prefix, Status};

use crate::counters::IoStatus;

/// `EPERM`: this program takes no configuration here.
const NOT_PERMITTED: u32 = 1;
/// `EIO`: the data plane did not answer.
const NO_ANSWER: u32 = 5;
/// `EINVAL`: not a request.
const INVALID: u32 = 22;

/// What the status socket tells about the interface.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceStatus {
    /// UDP port of both families.
    pub listen_port: u16,
    /// Mark on every datagram.
    pub fwmark: Option<u32>,
    /// All peers.
    pub peers: Vec<PeerStatus>,
}

/// What the status socket tells about one peer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerStatus {
    /// Its WireGuard key.
    pub public_key: [u8; 32],
    /// Where its packets go, once known.
    pub endpoint: Option<SocketAddr>,
    /// Wall time since 1970 of the last completed handshake.
    pub last_handshake: Option<Duration>,
    /// Bytes received from it.
    pub rx_bytes: u64,
    /// Bytes sent to it.
    pub tx_bytes: u64,
    /// Seconds between keepalives, where there are any.
    pub keepalive: Option<u16>,
    /// Prefixes that are routed to it.
    pub allowed_ips: Vec<(IpAddr, u8)>,
}

impl DeviceStatus {
    /// From what the data plane says, and from the prefixes that whoever made the routes gave each peer.
    pub fn new(
        status: &Status,
        io: &IoStatus,
        fwmark: Option<u32>,
        allowed: impl Fn(PeerId) -> Vec<Prefix>,
    ) -> Self {
        let peers = status.peers.iter();
        Self {
            listen_port: io.port,
            fwmark,
            peers: peers
                .map(|peer| PeerStatus::new(peer, allowed(peer.id)))
                .collect(),
        }
    }
}

impl PeerStatus {
    fn new(peer: &tidegate_wg::PeerStatus, allowed: Vec<Prefix>) -> Self {
        let seconds = |interval: Duration| u16::try_from(interval.as_secs()).unwrap_or(u16::MAX);
        Self {
            public_key: peer.key.0,
            endpoint: peer.endpoint,
            last_handshake: peer.last_handshake,
            rx_bytes: peer.traffic.received_bytes,
            tx_bytes: peer.traffic.sent_bytes,
            keepalive: peer.keepalive.map(seconds),
            allowed_ips: allowed
                .iter()
                .map(|prefix| (prefix.address(), prefix.len()))
                .collect(),
        }
    }
}

/// What a client asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Request {
    Get,
    Set,
    Unknown,
}

impl Request {
    /// A request is complete at its first empty line.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(2).position(|two| two == b"\n\n")?;
        Some(match &bytes[..end] {
            b"get=1" => Self::Get,
            set if set.starts_with(b"set=1") => Self::Set,
            _ => Self::Unknown,
        })
    }

    /// The whole answer; `status` is only asked where it is needed.
    pub(super) fn answer<E>(self, status: impl FnOnce() -> Result<DeviceStatus, E>) -> String {
        let errno = match self {
            Self::Get => match status() {
                Ok(status) => return format!("{status}errno=0\n\n"),
                Err(_) => NO_ANSWER,
            },
            Self::Set => NOT_PERMITTED,
            Self::Unknown => INVALID,
        };
        format!("errno={errno}\n\n")
    }
}

impl fmt::Display for DeviceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "listen_port={}", self.listen_port)?;
        if let Some(mark) = self.fwmark {
            writeln!(f, "fwmark={mark}")?;
        }
        self.peers.iter().try_for_each(|peer| peer.fmt(f))
    }
}

impl fmt::Display for PeerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("public_key=")?;
        for byte in self.public_key {
            write!(f, "{byte:02x}")?;
        }
        f.write_char('\n')?;
        writeln!(f, "protocol_version=1")?;
        if let Some(endpoint) = self.endpoint {
            writeln!(f, "endpoint={endpoint}")?;
        }
        let handshake = self.last_handshake.unwrap_or_default();
        writeln!(f, "last_handshake_time_sec={}", handshake.as_secs())?;
        writeln!(f, "last_handshake_time_nsec={}", handshake.subsec_nanos())?;
        writeln!(f, "tx_bytes={}", self.tx_bytes)?;
        writeln!(f, "rx_bytes={}", self.rx_bytes)?;
        let keepalive = self.keepalive.unwrap_or_default();
        writeln!(f, "persistent_keepalive_interval={keepalive}")?;
        for (address, length) in &self.allowed_ips {
            writeln!(f, "allowed_ip={address}/{length}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn status() -> DeviceStatus {
        DeviceStatus {
            listen_port: 51820,
            fwmark: Some(7),
            peers: vec![PeerStatus {
                public_key: [0xab; 32],
                endpoint: Some(SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 4500))),
                last_handshake: Some(Duration::new(1_700_000_000, 5)),
                rx_bytes: 10,
                tx_bytes: 20,
                keepalive: None,
                allowed_ips: vec![(Ipv4Addr::new(10, 0, 0, 2).into(), 32)],
            }],
        }
    }

    fn answer(request: &[u8]) -> Option<String> {
        Request::parse(request).map(|r| r.answer(|| Ok::<_, ()>(status())))
    }

    #[test]
    fn get_tells_what_there_is_and_no_secret() {
        let text = answer(b"get=1\n\n").unwrap();
        let expected = format!(
            "listen_port=51820\nfwmark=7\npublic_key={}\nprotocol_version=1\nendpoint=192.0.2.1:4500\n\
             last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=20\nrx_bytes=10\n\
             persistent_keepalive_interval=0\nallowed_ip=10.0.0.2/32\nerrno=0\n\n",
            "ab".repeat(32)
        );
        assert_eq!(text, expected);
        assert!(!text.contains("private_key") && !text.contains("preshared_key"));
    }

    #[test]
    fn set_is_refused() {
        let text = answer(b"set=1\nprivate_key=00\n\n").unwrap();
        assert_eq!(text, "errno=1\n\n");
    }

    #[test]
    fn anything_else_is_invalid() {
        for request in [&b"\n\n"[..], b"get=2\n\n", b"get=1\nfoo=1\n\n", b"\xff\n\n"] {
            assert_eq!(answer(request).unwrap(), "errno=22\n\n");
        }
    }

    #[test]
    fn an_unfinished_request_has_no_answer_yet() {
        assert_eq!(answer(b"get=1\n"), None);
        assert_eq!(answer(b""), None);
    }

    #[test]
    fn a_data_plane_that_does_not_answer_is_an_error() {
        let text = Request::Get.answer(|| Err(()));
        assert_eq!(text, "errno=5\n\n");
    }
}
