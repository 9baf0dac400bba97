//! The ICMP messages that the engine makes: "too big", and echoes.

use crate::checksum;
use crate::packet::{Packet, protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Marks the echoes that engines answer each other, ahead of any policy.
const MAGIC: [u8; 8] = *b"tidegate";
/// Headers of IPv6 and ICMP, the magic and the nonce.
pub(crate) const LEAST_ECHO: usize = 72;
/// RFC 4443 says 1280; IPv4 hosts accept as much.
const MOST_ERROR: usize = 1280;
const HOPS: u8 = 64;

/// What an engine's echo carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Echo {
    pub(crate) request: bool,
    pub(crate) id: u16,
    pub(crate) nonce: u64,
}

/// Writes the answer to a packet that is too big for `mtu`, as if its destination had sent it: a packet from
/// our own address would be refused by our own kernel. Tells the length.
pub(crate) fn write_too_big(
    packet: &Packet,
    bytes: &[u8],
    mtu: u16,
    target: &mut [u8; MOST_ERROR],
) -> usize {
    let headers = ip_len(packet.source) + 8;
    let quote = bytes.len().min(MOST_ERROR - headers);
    target[headers..headers + quote].copy_from_slice(&bytes[..quote]);
    let kind = if packet.source.is_ipv4() {
        [3, 4]
    } else {
        [2, 0]
    };
    let rest = u32::from(mtu).to_be_bytes();
    write_headers(
        packet.destination,
        packet.source,
        kind,
        rest,
        &mut target[..headers + quote],
    );
    headers + quote
}

/// Room for an answer.
pub(crate) fn error_buffer() -> [u8; MOST_ERROR] {
    [0; MOST_ERROR]
}

/// Writes an echo that fills `target`, which holds at least [`LEAST_ECHO`] bytes.
pub(crate) fn write_echo(echo: Echo, from: IpAddr, to: IpAddr, target: &mut [u8]) {
    let body = ip_len(from) + 8;
    target[body..body + 8].copy_from_slice(&MAGIC);
    target[body + 8..body + 16].copy_from_slice(&echo.nonce.to_be_bytes());
    target[body + 16..].fill(0);
    let kind = match (from.is_ipv4(), echo.request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    let [a, b] = echo.id.to_be_bytes();
    write_headers(from, to, [kind, 0], [a, b, 0, 0], target);
}

/// Reads an engine's echo; `None` if it is anybody else's.
pub(crate) fn read_echo(packet: &Packet, bytes: &[u8]) -> Option<Echo> {
    let crate::packet::Transport::Echo { request, id } = packet.transport else {
        return None;
    };
    let body: &[u8; 16] = bytes.get(packet.offset + 8..)?.first_chunk()?;
    let [magic @ .., _, _, _, _, _, _, _, _] = *body;
    if packet.fragment.is_some() || magic != MAGIC {
        return None;
    }
    let nonce = u64::from_be_bytes([
        body[8], body[9], body[10], body[11], body[12], body[13], body[14], body[15],
    ]);
    Some(Echo { request, id, nonce })
}

fn ip_len(address: IpAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

fn write_headers(from: IpAddr, to: IpAddr, kind: [u8; 2], rest: [u8; 4], target: &mut [u8]) {
    let start = ip_len(from);
    let len = target.len() - start;
    target[start..start + 2].copy_from_slice(&kind);
    target[start + 2..start + 4].fill(0);
    target[start + 4..start + 8].copy_from_slice(&rest);
    let pseudo = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            write_v4(from, to, target);
            0
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            write_v6(from, to, target);
            checksum::pseudo_header(target, protocol::ICMPV6, len)
        }
        _ => return,
    };
    let sum = !checksum::fold(pseudo + checksum::sum(&target[start..]));
    target[start + 2..start + 4].copy_from_slice(&sum.to_ne_bytes());
}

fn write_v4(from: Ipv4Addr, to: Ipv4Addr, target: &mut [u8]) {
    let len = target.len() as u16;
    target[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, HOPS, protocol::ICMP, 0, 0]);
    target[2..4].copy_from_slice(&len.to_be_bytes());
    target[12..16].copy_from_slice(&from.octets());
    target[16..20].copy_from_slice(&to.octets());
    let sum = !checksum::fold(checksum::sum(&target[..20]));
    target[10..12].copy_from_slice(&sum.to_ne_bytes());
}

fn write_v6(from: Ipv6Addr, to: Ipv6Addr, target: &mut [u8]) {
    let len = (target.len() - 40) as u16;
    target[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, protocol::ICMPV6, HOPS]);
    target[4..6].copy_from_slice(&len.to_be_bytes());
    target[8..24].copy_from_slice(&from.octets());
    target[24..40].copy_from_slice(&to.octets());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Transport;
    use crate::samples::{tcp4, tcp6};

    #[test]
    fn an_echo_is_read_as_it_was_written() {
        for (from, to) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            for request in [true, false] {
                let echo = Echo {
                    request,
                    id: 77,
                    nonce: 0x0102_0304_0506_0708,
                };
                let mut bytes = vec![0xff; 100];
                write_echo(echo, from.parse().unwrap(), to.parse().unwrap(), &mut bytes);
                let packet = Packet::parse(&bytes).unwrap();
                assert_eq!(
                    (packet.source.to_string(), packet.destination.to_string()),
                    (from.into(), to.into())
                );
                assert_eq!(read_echo(&packet, &bytes), Some(echo));
                assert!(icmp_verifies(&packet, &bytes));
                bytes[packet.offset + 8] ^= 1;
                assert_eq!(read_echo(&packet, &bytes), None, "somebody else's");
            }
        }
    }

    #[test]
    fn too_big_quotes_the_packet_and_names_the_mtu() {
        for headers in [tcp4(), tcp6()] {
            let mut bytes = headers.bytes.clone();
            bytes.resize(3000, 7);
            let len = if headers.start == 20 { 2..4 } else { 4..6 };
            let count = 3000 - if headers.start == 20 { 0 } else { 40 };
            bytes[len].copy_from_slice(&(count as u16).to_be_bytes());
            let packet = Packet::parse(&bytes).unwrap();
            let mut target = error_buffer();
            let len = write_too_big(&packet, &bytes, 1300, &mut target);
            let answer = Packet::parse(&target[..len]).unwrap();
            assert_eq!(
                (answer.source, answer.destination),
                (packet.destination, packet.source)
            );
            let Transport::IcmpError { quote } = answer.transport else {
                panic!("{answer:?}")
            };
            assert_eq!(target[quote..len], bytes[..len - quote]);
            assert_eq!(target[quote - 2..quote], 1300u16.to_be_bytes());
            assert!(icmp_verifies(&answer, &target[..len]));
        }
    }

    fn icmp_verifies(packet: &Packet, bytes: &[u8]) -> bool {
        let len = bytes.len() - packet.offset;
        let v6 = packet.source.is_ipv6();
        let pseudo = if v6 {
            checksum::pseudo_header(bytes, protocol::ICMPV6, len)
        } else {
            0
        };
        checksum::fold(pseudo + checksum::sum(&bytes[packet.offset..])) == u16::MAX
    }
}
