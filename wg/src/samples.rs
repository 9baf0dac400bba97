//! Packets for the unit tests.

use crate::checksum;
use crate::split::{PADDING, Segments};
use crate::vnet::{Offload, SegmentKind};

/// Headers from which frames of any length are made.
#[derive(Clone)]
pub(crate) struct Headers {
    pub(crate) bytes: Vec<u8>,
    pub(crate) start: usize,
    pub(crate) kind: SegmentKind,
}

impl Headers {
    pub(crate) fn sequence(&self) -> u32 {
        u32::from_be_bytes(
            self.bytes[self.start + 4..self.start + 8]
                .try_into()
                .unwrap(),
        )
    }
}

fn ip4(protocol: u8) -> Vec<u8> {
    let mut ip = vec![0x45, 0, 0, 0, 0xff, 0xff, 0x40, 0, 64, protocol, 0, 0];
    ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    ip
}

pub(crate) fn ip6(protocol: u8) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
    ip.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    ip.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    ip
}

/// A TCP header with timestamps, ACK and PSH, close to the wrap of the sequence.
const TCP: [u8; 32] = [
    0x04, 0xd2, 0x00, 0x50, 0xff, 0xff, 0xf0, 0, 1, 2, 3, 4, 0x80, 0x18, 1, 0, 0, 0, 0, 0, 1, 1, 8,
    10, 5, 6, 7, 8, 9, 10, 11, 12,
];
const UDP: [u8; 8] = [0x04, 0xd2, 0x00, 0x35, 0, 0, 0, 0];

pub(crate) fn tcp4() -> Headers {
    Headers {
        bytes: [ip4(6), TCP.to_vec()].concat(),
        start: 20,
        kind: SegmentKind::Tcp4,
    }
}

pub(crate) fn tcp6() -> Headers {
    Headers {
        bytes: [ip6(6), TCP.to_vec()].concat(),
        start: 40,
        kind: SegmentKind::Tcp6,
    }
}

pub(crate) fn udp4() -> Headers {
    Headers {
        bytes: [ip4(17), UDP.to_vec()].concat(),
        start: 20,
        kind: SegmentKind::Udp,
    }
}

pub(crate) fn udp6() -> Headers {
    Headers {
        bytes: [ip6(17), UDP.to_vec()].concat(),
        start: 40,
        kind: SegmentKind::Udp,
    }
}

/// A frame as the TUN device hands it out: to be cut into segments of `size`.
pub(crate) fn frame(headers: &Headers, payload: usize, size: usize) -> Vec<u8> {
    let len = headers.bytes.len();
    let mut bytes = [vec![0; crate::vnet::LEN], headers.bytes.clone()].concat();
    let ip = &mut bytes[crate::vnet::LEN..];
    if headers.start == 40 {
        ip[4..6].copy_from_slice(&((len - 40 + payload) as u16).to_be_bytes());
    } else {
        ip[2..4].copy_from_slice(&((len + payload) as u16).to_be_bytes());
    }
    let (start, headers_len) = (headers.start as u16, len as u16);
    Offload::Segment {
        kind: headers.kind,
        size: size as u16,
        start,
        headers: headers_len,
    }
    .write(&mut bytes);
    bytes.extend((0..payload).map(|i| (i * 7 + i / 251) as u8));
    bytes
}

/// The packets that a frame stands for.
pub(crate) fn packets_of(frame: &[u8]) -> Vec<Vec<u8>> {
    let mut buffer = [frame, &[0; PADDING]].concat();
    let mut segments = Segments::new(&mut buffer, frame.len()).unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = segments.advance() {
        packets.push(packet.to_vec());
    }
    packets
}

/// Whether all checksums and lengths of a TCP or UDP packet are right.
pub(crate) fn verifies(packet: &[u8]) -> bool {
    let v4 = packet[0] >> 4 == 4;
    let (start, protocol) = if v4 { (20, packet[9]) } else { (40, packet[6]) };
    let len = if v4 {
        [packet[2], packet[3]]
    } else {
        [packet[4], packet[5]]
    };
    let len = usize::from(u16::from_be_bytes(len)) + if v4 { 0 } else { 40 };
    let upper = checksum::pseudo_header(packet, protocol, packet.len() - start)
        + checksum::sum(&packet[start..]);
    let ip = !v4 || checksum::fold(checksum::sum(&packet[..20])) == u16::MAX;
    ip && len == packet.len() && checksum::fold(upper) == u16::MAX
}

/// A TCP SYN with these options, checksums right.
pub(crate) fn syn(options: &[u8]) -> Vec<u8> {
    let options = [options, &[0; 3][..(4 - options.len() % 4) % 4]].concat();
    let mut packet = [ip4(6), TCP[..20].to_vec(), options.clone()].concat();
    packet[33] = 0x02;
    packet[32] = ((20 + options.len()) as u8 / 4) << 4;
    complete(packet)
}

/// Fills in lengths and checksums.
pub(crate) fn complete(mut packet: Vec<u8>) -> Vec<u8> {
    let v4 = packet[0] >> 4 == 4;
    let len = packet.len();
    let (start, number) = if v4 { (20, packet[9]) } else { (40, packet[6]) };
    if v4 {
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[10..12].fill(0);
        let sum = !checksum::fold(checksum::sum(&packet[..20]));
        packet[10..12].copy_from_slice(&sum.to_ne_bytes());
    } else {
        packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
    }
    let (field, pseudo) = match number {
        6 => (16, true),
        17 => {
            packet[start + 4..start + 6].copy_from_slice(&((len - start) as u16).to_be_bytes());
            (6, true)
        }
        1 => (2, false),
        58 => (2, true),
        _ => return packet,
    };
    packet[start + field..start + field + 2].fill(0);
    let pseudo = if pseudo {
        checksum::pseudo_header(&packet, number, len - start)
    } else {
        0
    };
    let sum = !checksum::fold(pseudo + checksum::sum(&packet[start..]));
    packet[start + field..start + field + 2].copy_from_slice(&sum.to_ne_bytes());
    packet
}
