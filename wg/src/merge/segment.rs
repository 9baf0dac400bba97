//! A packet that can be merged with its neighbours.

use super::Merges;
use crate::checksum;
use crate::packet::protocol;
use crate::vnet::SegmentKind;

const ACK: u8 = 0x10;
pub(super) const PSH: u8 = 0x08;

/// A packet that can be merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) kind: SegmentKind,
    /// Where TCP or UDP starts.
    pub(super) start: usize,
    pub(super) headers: usize,
    pub(super) payload: usize,
    pub(super) sequence: u32,
    pub(super) push: bool,
}

impl Segment {
    /// The packet as a segment, if it is a plain one with payload and its checksum verifies.
    pub(super) fn parse(packet: &[u8], merges: Merges) -> Option<Self> {
        let (start, number) = match *packet.first()? {
            // No options, no fragment, and a length that is true.
            0x45 if packet.len() >= 28 && (packet[6] & 0xbf, packet[7]) == (0, 0) => {
                let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                (len == packet.len()).then_some((20, packet[9]))?
            }
            first if first >> 4 == 6 && packet.len() >= 48 => {
                let len = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
                (len == packet.len()).then_some((40, packet[6]))?
            }
            _ => return None,
        };
        let segment = match number {
            protocol::TCP if merges.tcp => Self::tcp(packet, start)?,
            protocol::UDP if merges.udp => Self::udp(packet, start)?,
            _ => return None,
        };
        let pseudo = checksum::pseudo_header(packet, number, packet.len() - start);
        let ip_verifies = start == 40 || checksum::fold(checksum::sum(&packet[..20])) == u16::MAX;
        (ip_verifies && checksum::fold(pseudo + checksum::sum(&packet[start..])) == u16::MAX)
            .then_some(segment)
    }

    fn tcp(packet: &[u8], start: usize) -> Option<Self> {
        let header: &[u8; 20] = packet.get(start..)?.first_chunk()?;
        let headers = start + usize::from(header[12] >> 4) * 4;
        let plain = header[13] & !PSH == ACK && header[12] & 0xf == 0;
        if !plain || headers < start + 20 || headers >= packet.len() {
            return None;
        }
        let kind = if start == 20 {
            SegmentKind::Tcp4
        } else {
            SegmentKind::Tcp6
        };
        let sequence = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        Some(Self {
            kind,
            start,
            headers,
            payload: packet.len() - headers,
            sequence,
            push: header[13] & PSH != 0,
        })
    }

    fn udp(packet: &[u8], start: usize) -> Option<Self> {
        let header: &[u8; 8] = packet.get(start..)?.first_chunk()?;
        let headers = start + 8;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        // Without a checksum it must stay without one.
        if len != packet.len() - start || headers >= packet.len() || header[6..8] == [0, 0] {
            return None;
        }
        let payload = packet.len() - headers;
        Some(Self {
            kind: SegmentKind::Udp,
            start,
            headers,
            payload,
            sequence: 0,
            push: false,
        })
    }
}

/// Whether two packets differ in nothing that cutting could not restore.
pub(super) fn same_flow(a: &[u8], b: &[u8], segment: &Segment) -> bool {
    let ip = if segment.start == 20 {
        // All but length, id and checksum.
        a[..2] == b[..2] && a[6..10] == b[6..10] && a[12..20] == b[12..20]
    } else {
        a[..4] == b[..4] && a[6..40] == b[6..40]
    };
    let (a, b) = (&a[segment.start..], &b[segment.start..]);
    let ports = a[..4] == b[..4];
    if segment.kind == SegmentKind::Udp {
        return ip && ports;
    }
    // Acknowledgement, header length, window, urgent pointer and options.
    ip && ports && a[8..13] == b[8..13] && a[14..16] == b[14..16] && a[18..] == b[18..]
}
