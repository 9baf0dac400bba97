//! IP packets.

use std::net::IpAddr;
use tidegate_wg::packet::{Packet, Transport};

/// One packet, as a peer sends it and as an ICMP error quotes it.
pub fn packet(data: &[u8]) {
    let _ = Packet::parse_quote(data);
    let Ok(packet) = Packet::parse(data) else {
        return;
    };
    assert!(packet.offset <= packet.len && packet.len <= data.len());
    assert_eq!(
        Packet::parse(&data[..packet.len]),
        Ok(packet),
        "what lies behind a packet is no part of it"
    );
    check_addresses(data, &packet);
    check_transport(data, &packet);
}

fn check_addresses(data: &[u8], packet: &Packet) {
    let written = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (source, destination) = if data[0] >> 4 == 4 {
        (12..16, 16..20)
    } else {
        (8..24, 24..40)
    };
    assert_eq!(written(packet.source), data[source]);
    assert_eq!(written(packet.destination), data[destination]);
}

fn check_transport(data: &[u8], packet: &Packet) {
    let body = &data[packet.offset..packet.len];
    let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let first = packet.fragment.is_none_or(|fragment| fragment.offset == 0);
    match packet.transport {
        Transport::Tcp {
            source,
            destination,
            flags,
        } => {
            assert_eq!(
                (packet.protocol, source, destination, flags),
                (6, word(0), word(2), body[13])
            );
        }
        Transport::Udp {
            source,
            destination,
        } => {
            assert_eq!(
                (packet.protocol, source, destination),
                (17, word(0), word(2))
            );
        }
        Transport::Echo { request, id } => {
            assert_eq!((id, request), (word(4), body[0] == 8 || body[0] == 128));
        }
        Transport::IcmpError { quote } => assert_eq!(quote, packet.offset + 8),
        Transport::Icmp { kind } => assert_eq!(kind, body[0]),
        Transport::Other => assert!(![6, 17].contains(&packet.protocol)),
        Transport::Elsewhere => assert!(!first),
    }
    assert_eq!(first, packet.transport != Transport::Elsewhere);
}
