//! IP packets: parsed once, strictly, into what routing and the filter ask for.

mod extension;

use crate::discard::Discard;
use extension::Chain;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol numbers that the engine knows by name.
pub mod protocol {
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

const TCP_HEADER: usize = 20;
const SHORT_HEADER: usize = 8;

/// What the headers of a packet say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Where it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// The protocol above IP and all its extension headers.
    pub protocol: u8,
    /// What that protocol's header says.
    pub transport: Transport,
    /// Where that protocol's header starts.
    pub offset: usize,
    /// Length of the whole packet by its own word; never more than the bytes at hand.
    pub len: usize,
    /// Set if this is a fragment.
    pub fragment: Option<Fragment>,
}

/// A piece of a larger packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fragment {
    /// What joins the pieces.
    pub id: u32,
    /// Where this piece belongs, in bytes.
    pub offset: u16,
    /// Whether more pieces follow.
    pub more: bool,
}

/// The start of the upper layer's header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// TCP.
    Tcp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
        /// The flag bits, FIN lowest.
        flags: u8,
    },
    /// UDP.
    Udp {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// An ICMP echo or its reply.
    Echo {
        /// Request or reply.
        request: bool,
        /// The identifier of the program that asked.
        id: u16,
    },
    /// An ICMP error, which quotes the packet it is about from this offset on.
    IcmpError {
        /// Offset of the quoted packet.
        quote: usize,
    },
    /// Any other ICMP message.
    Icmp {
        /// Its type.
        kind: u8,
    },
    /// A protocol without ports.
    Other,
    /// Not in this packet: it is a later fragment.
    Elsewhere,
}

impl Packet {
    /// Reads the headers. Refuses what a filter could be deceived with: lengths that lie, IPv4 options, IPv6
    /// extension headers that are unknown, repeated or out of order, fragments too small for their ports.
    pub fn parse(bytes: &[u8]) -> Result<Self, Discard> {
        match bytes.first().ok_or(Discard::Malformed)? >> 4 {
            4 => parse_v4(bytes),
            6 => parse_v6(bytes),
            _ => Err(Discard::Malformed),
        }
    }

    /// Reads the packet that an ICMP error quotes; it is cut off somewhere behind the ports.
    pub fn parse_quote(bytes: &[u8]) -> Result<Self, Discard> {
        match bytes.first().ok_or(Discard::Malformed)? >> 4 {
            4 => {
                let header = v4_header(bytes)?;
                upper(header, bytes, Quoted::Yes)
            }
            6 => {
                let header = v6_header(bytes, bytes.len())?;
                upper(header, bytes, Quoted::Yes)
            }
            _ => Err(Discard::Malformed),
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Quoted {
    Yes,
    No,
}

fn parse_v4(bytes: &[u8]) -> Result<Packet, Discard> {
    let header = v4_header(bytes)?;
    if header.len < header.offset || header.len > bytes.len() {
        return Err(Discard::Malformed);
    }
    upper(header, &bytes[..header.len], Quoted::No)
}

fn v4_header(bytes: &[u8]) -> Result<Packet, Discard> {
    let head: &[u8; 20] = bytes.first_chunk().ok_or(Discard::Malformed)?;
    match head[0] & 0xf {
        5 => {}
        0..5 => return Err(Discard::Malformed),
        _ => return Err(Discard::Extension),
    }
    let field = u16::from_be_bytes([head[6], head[7]]);
    if field & 0x8000 != 0 {
        return Err(Discard::Malformed);
    }
    let fragment = Fragment {
        id: u32::from(u16_at(head, 4)),
        offset: (field & 0x1fff) << 3,
        more: field & 0x2000 != 0,
    };
    Ok(Packet {
        source: IpAddr::V4(Ipv4Addr::new(head[12], head[13], head[14], head[15])),
        destination: IpAddr::V4(Ipv4Addr::new(head[16], head[17], head[18], head[19])),
        protocol: head[9],
        transport: Transport::Other,
        offset: 20,
        len: usize::from(u16_at(head, 2)),
        fragment: (fragment.more || fragment.offset > 0).then_some(fragment),
    })
}

fn parse_v6(bytes: &[u8]) -> Result<Packet, Discard> {
    let head: &[u8; 40] = bytes.first_chunk().ok_or(Discard::Malformed)?;
    let len = 40 + usize::from(u16_at(head, 4));
    if len > bytes.len() {
        return Err(Discard::Malformed);
    }
    let header = v6_header(&bytes[..len], len)?;
    upper(header, &bytes[..len], Quoted::No)
}

fn v6_header(bytes: &[u8], len: usize) -> Result<Packet, Discard> {
    let head: &[u8; 40] = bytes.first_chunk().ok_or(Discard::Malformed)?;
    let chain = Chain::walk(bytes, head[6])?;
    Ok(Packet {
        source: IpAddr::V6(Ipv6Addr::from(*chunk::<16>(head, 8)?)),
        destination: IpAddr::V6(Ipv6Addr::from(*chunk::<16>(head, 24)?)),
        protocol: chain.protocol,
        transport: Transport::Other,
        offset: chain.offset,
        len,
        fragment: chain.fragment,
    })
}

/// Reads the upper layer's header behind `packet.offset`.
fn upper(mut packet: Packet, bytes: &[u8], quoted: Quoted) -> Result<Packet, Discard> {
    let body = bytes.get(packet.offset..).ok_or(Discard::Malformed)?;
    if let Some(fragment) = packet.fragment {
        if fragment.offset > 0 {
            return later_fragment(packet, fragment, body);
        }
        if quoted == Quoted::No && body.len() < least_header(packet.protocol) {
            return Err(Discard::TinyFragment);
        }
    }
    if quoted == Quoted::No && body.len() < least_header(packet.protocol) {
        return Err(Discard::Malformed);
    }
    packet.transport = transport(&packet, body)?;
    Ok(packet)
}

/// A later fragment must not reach back into the header that the first one was judged by.
fn later_fragment(mut packet: Packet, fragment: Fragment, body: &[u8]) -> Result<Packet, Discard> {
    if usize::from(fragment.offset) < least_header(packet.protocol) {
        return Err(Discard::TinyFragment);
    }
    if usize::from(fragment.offset) + body.len() > usize::from(u16::MAX) {
        return Err(Discard::Malformed);
    }
    packet.transport = Transport::Elsewhere;
    Ok(packet)
}

fn least_header(protocol: u8) -> usize {
    match protocol {
        protocol::TCP => TCP_HEADER,
        protocol::UDP | protocol::ICMP | protocol::ICMPV6 => SHORT_HEADER,
        _ => 0,
    }
}

fn transport(packet: &Packet, body: &[u8]) -> Result<Transport, Discard> {
    let v4 = packet.source.is_ipv4();
    match packet.protocol {
        protocol::TCP => tcp(body),
        protocol::UDP => {
            let ports: &[u8; 4] = chunk(body, 0)?;
            Ok(Transport::Udp {
                source: u16_at(ports, 0),
                destination: u16_at(ports, 2),
            })
        }
        protocol::ICMP if v4 => icmp(packet, body, [8, 0], &[3, 4, 5, 11, 12]),
        protocol::ICMPV6 if !v4 => icmp(packet, body, [128, 129], &[1, 2, 3, 4]),
        protocol::ICMP | protocol::ICMPV6 => Err(Discard::Malformed),
        _ => Ok(Transport::Other),
    }
}

fn tcp(body: &[u8]) -> Result<Transport, Discard> {
    let ports: &[u8; 4] = chunk(body, 0)?;
    // A quote may end behind the ports.
    let flags = body.get(13).copied().unwrap_or(0);
    if let Some(words) = body.get(12) {
        let header = usize::from(words >> 4) * 4;
        if header < TCP_HEADER {
            return Err(Discard::Malformed);
        }
    }
    Ok(Transport::Tcp {
        source: u16_at(ports, 0),
        destination: u16_at(ports, 2),
        flags,
    })
}

fn icmp(packet: &Packet, body: &[u8], echo: [u8; 2], errors: &[u8]) -> Result<Transport, Discard> {
    let head: &[u8; 8] = chunk(body, 0)?;
    Ok(match head[0] {
        kind if echo.contains(&kind) => Transport::Echo {
            request: kind == echo[0],
            id: u16_at(head, 4),
        },
        kind if errors.contains(&kind) => Transport::IcmpError {
            quote: packet.offset + 8,
        },
        kind => Transport::Icmp { kind },
    })
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Result<&[u8; N], Discard> {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .ok_or(Discard::Malformed)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::extension::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, REFUSED};
    use super::*;
    use crate::samples::{complete, ip6, syn, udp4, udp6};

    /// An IPv6 packet of these extension headers in front of UDP.
    fn chained(first: u8, extensions: &[&[u8]]) -> Vec<u8> {
        let mut packet = ip6(first);
        extensions
            .iter()
            .for_each(|extension| packet.extend(*extension));
        packet.extend([0x04, 0xd2, 0x00, 0x35, 0, 8, 0, 0]);
        let len = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet
    }

    const TO_UDP: [u8; 8] = [17, 0, 1, 4, 0, 0, 0, 0];
    const TO_OPTIONS: [u8; 8] = [60, 0, 1, 4, 0, 0, 0, 0];

    #[test]
    fn ports_are_found_behind_the_headers_that_may_be_there() {
        let udp = Transport::Udp {
            source: 1234,
            destination: 53,
        };
        for (bytes, offset) in [
            (complete([udp4().bytes, vec![0; 8]].concat()), 20),
            (complete([udp6().bytes, vec![0; 8]].concat()), 40),
            (chained(HOP_BY_HOP, &[&TO_UDP]), 48),
            (chained(DESTINATION_OPTIONS, &[&TO_UDP]), 48),
            (chained(HOP_BY_HOP, &[&TO_OPTIONS, &TO_UDP]), 56),
        ] {
            let packet = Packet::parse(&bytes).unwrap();
            assert_eq!(
                (packet.transport, packet.offset, packet.len),
                (udp, offset, bytes.len())
            );
        }
    }

    #[test]
    fn extension_headers_out_of_order_repeated_or_unknown_are_refused() {
        let to_hop = [0, 0, 1, 4, 0, 0, 0, 0];
        let refused = |bytes: Vec<u8>| assert_eq!(Packet::parse(&bytes), Err(Discard::Extension));
        refused(chained(DESTINATION_OPTIONS, &[&to_hop, &TO_UDP]));
        refused(chained(DESTINATION_OPTIONS, &[&TO_OPTIONS, &TO_UDP]));
        refused(chained(FRAGMENT, &[&[17, 0, 0, 0, 0, 0, 0, 9]]));
        refused(chained(FRAGMENT, &[&[60, 0, 0, 1, 0, 0, 0, 9], &TO_UDP]));
        for unknown in REFUSED {
            refused(chained(unknown, &[&TO_UDP]));
            refused(chained(HOP_BY_HOP, &[&[unknown, 0, 1, 4, 0, 0, 0, 0]]));
        }
        let mut options = syn(&[]);
        options[0] = 0x46;
        refused(options);
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let malformed =
            |bytes: &[u8]| assert_eq!(Packet::parse(bytes), Err(Discard::Malformed), "{bytes:?}");
        let v4 = complete([udp4().bytes, vec![0; 8]].concat());
        malformed(&[]);
        malformed(&v4[..v4.len() - 1]);
        malformed(&[&[0x44], &v4[1..]].concat());
        malformed(&[&[0x75], &v4[1..]].concat());
        malformed(&[&[0x45, 0, 0, 19], &v4[4..]].concat());
        malformed(&chained(HOP_BY_HOP, &[&[17, 200, 1, 4, 0, 0, 0, 0]]));
        malformed(&complete([udp6().bytes, vec![0; 8]].concat())[..50]);
        let mut short = syn(&[]);
        short[32] = 0x40;
        malformed(&short);
        let mut seven = v4.clone();
        seven[3] = 27;
        malformed(&seven);
    }

    #[test]
    fn fragments_tell_their_place_and_small_or_overlapping_ones_are_refused() {
        let piece = |field: u16, body: usize| {
            let mut bytes = syn(&[]);
            bytes.resize(20 + body, 0);
            bytes[3] = (20 + body) as u8;
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            Packet::parse(&bytes)
        };
        let first = piece(0x2000, 24).unwrap();
        assert_eq!(
            first.fragment,
            Some(Fragment {
                id: 0xffff,
                offset: 0,
                more: true
            })
        );
        assert!(matches!(
            first.transport,
            Transport::Tcp {
                destination: 80,
                ..
            }
        ));
        assert_eq!(piece(0x2000, 16), Err(Discard::TinyFragment));
        assert_eq!(
            piece(0x2001, 24),
            Err(Discard::TinyFragment),
            "would reach into the TCP header"
        );
        let later = piece(3, 24).unwrap();
        assert_eq!(
            (later.transport, later.fragment.unwrap().offset),
            (Transport::Elsewhere, 24)
        );
        assert_eq!(piece(0x1fff, 24), Err(Discard::Malformed), "beyond 64 KiB");
    }
}
