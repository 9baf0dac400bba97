//! The headers of one segment after the other.

use super::SplitError;
use crate::checksum;
use crate::packet::protocol;
use crate::vnet::SegmentKind;
use std::ops::Range;

const MOST_HEADERS: usize = 128;
const FIN_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

#[derive(Debug)]
pub(super) struct Cut {
    kind: SegmentKind,
    /// The headers of the frame, from which each segment's are made.
    template: [u8; MOST_HEADERS],
    pub(super) headers: usize,
    /// Where TCP or UDP starts.
    start: usize,
    pub(super) size: usize,
    /// Where the next segment's payload starts.
    pub(super) at: usize,
    pub(super) index: usize,
}

impl Cut {
    pub(super) fn new(
        packet: &[u8],
        kind: SegmentKind,
        size: usize,
        start: usize,
    ) -> Result<Self, SplitError> {
        let headers = headers_len(packet, kind, start).ok_or(SplitError::Mismatch)?;
        if size == 0
            || headers > MOST_HEADERS
            || headers > packet.len()
            || packet.len() > usize::from(u16::MAX)
        {
            return Err(SplitError::Mismatch);
        }
        let mut template = [0; MOST_HEADERS];
        template[..headers].copy_from_slice(&packet[..headers]);
        Ok(Self {
            kind,
            template,
            headers,
            start,
            size,
            at: headers,
            index: 0,
        })
    }

    /// Writes the next segment's headers in front of its payload.
    pub(super) fn next(&mut self, packet: &mut [u8]) -> Range<usize> {
        let payload = self.at..packet.len().min(self.at + self.size);
        let mut headers = self.template;
        let headers = &mut headers[..self.headers];
        self.write_ip(headers, payload.len());
        self.write_upper(headers, payload.len(), payload.end == packet.len());
        self.write_checksum(headers, &packet[payload.clone()]);
        let begin = self.at - self.headers;
        packet[begin..self.at].copy_from_slice(headers);
        self.at = payload.end;
        self.index += 1;
        begin..payload.end
    }

    fn write_ip(&self, headers: &mut [u8], payload: usize) {
        let len = self.headers + payload;
        if headers[0] >> 4 == 6 {
            headers[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
            return;
        }
        let id = u16::from_be_bytes([headers[4], headers[5]]).wrapping_add(self.index as u16);
        headers[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        headers[4..6].copy_from_slice(&id.to_be_bytes());
        headers[10..12].fill(0);
        let sum = !checksum::fold(checksum::sum(&headers[..self.start]));
        headers[10..12].copy_from_slice(&sum.to_ne_bytes());
    }

    fn write_upper(&self, headers: &mut [u8], payload: usize, last: bool) {
        let upper = &mut headers[self.start..];
        if self.kind == SegmentKind::Udp {
            upper[4..6].copy_from_slice(&((8 + payload) as u16).to_be_bytes());
            return;
        }
        let sequence = u32::from_be_bytes([upper[4], upper[5], upper[6], upper[7]]);
        let sequence = sequence.wrapping_add((self.index * self.size) as u32);
        upper[4..8].copy_from_slice(&sequence.to_be_bytes());
        // FIN and PSH belong to the last byte, CWR to the first.
        if !last {
            upper[13] &= !FIN_PSH;
        }
        if self.index > 0 {
            upper[13] &= !CWR;
        }
    }

    fn write_checksum(&self, headers: &mut [u8], payload: &[u8]) {
        let number = if self.kind == SegmentKind::Udp {
            protocol::UDP
        } else {
            protocol::TCP
        };
        let field = self.start + self.kind.checksum_offset();
        headers[field..field + 2].fill(0);
        let pseudo =
            checksum::pseudo_header(headers, number, headers.len() - self.start + payload.len());
        let sum = !checksum::fold(
            pseudo + checksum::sum(&headers[self.start..]) + checksum::sum(payload),
        );
        // For UDP zero means "no checksum"; its other spelling is all ones.
        let sum = if sum == 0 && self.kind == SegmentKind::Udp {
            u16::MAX
        } else {
            sum
        };
        headers[field..field + 2].copy_from_slice(&sum.to_ne_bytes());
    }
}

/// Length of all headers, if the packet is what its offload header says.
fn headers_len(packet: &[u8], kind: SegmentKind, start: usize) -> Option<usize> {
    let version = packet.first()? >> 4;
    let (least, number) = match (version, kind) {
        (4, SegmentKind::Tcp4) => (20, protocol::TCP),
        (6, SegmentKind::Tcp6) => (40, protocol::TCP),
        (4, SegmentKind::Udp) => (20, protocol::UDP),
        (6, SegmentKind::Udp) => (40, protocol::UDP),
        _ => return None,
    };
    // Only IPv6 can have extension headers; the filter has judged those.
    let fits = if version == 4 {
        start == usize::from(packet[0] & 0xf) * 4 && *packet.get(9)? == number
    } else {
        true
    };
    if start < least || !fits {
        return None;
    }
    if kind == SegmentKind::Udp {
        return Some(start + 8);
    }
    let upper = usize::from(*packet.get(start + 12)? >> 4) * 4;
    (upper >= 20).then_some(start + upper)
}
