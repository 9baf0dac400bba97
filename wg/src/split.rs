//! Segmentation in software: one TUN frame becomes the packets it stands for, in place.
//!
//! The headers of each segment are written over the end of the payload before it, which has been sealed by
//! then. Nothing is copied but headers.

mod cut;

use crate::checksum;
use crate::vnet::{self, Offload, UnknownOffload};
use cut::Cut;
use std::ops::Range;

/// Plaintext is padded to a multiple of this.
pub const PADDING: usize = 16;

/// The frame's offload header contradicts its packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// The offload header itself.
    #[error(transparent)]
    Unknown(#[from] UnknownOffload),
    /// The packet is shorter than its headers, or of another kind than announced.
    #[error("the frame's offload header does not fit its packet")]
    Mismatch,
}

/// The packets of one frame, one after another.
#[derive(Debug)]
pub struct Segments<'a> {
    /// The packet without its offload header, and the spare bytes behind it.
    buffer: &'a mut [u8],
    /// Where the packet ends and the spare bytes start.
    end: usize,
    plan: Plan,
    /// Bytes that padding displaced, to be put back before the next segment.
    displaced: Option<(Range<usize>, [u8; PADDING])>,
}

#[derive(Debug)]
enum Plan {
    /// One packet as it is.
    Whole,
    Cut(Cut),
    Done,
}

impl<'a> Segments<'a> {
    /// Prepares the frame in `buffer[..len]`, offload header first. The bytes behind it are spare: with
    /// [`PADDING`] of them the last segment can be padded in place.
    pub fn new(buffer: &'a mut [u8], len: usize) -> Result<Self, SplitError> {
        let offload = Offload::read(buffer.get(..len).ok_or(SplitError::Mismatch)?)?;
        let buffer = &mut buffer[vnet::LEN..];
        let end = len - vnet::LEN;
        let packet = &mut buffer[..end];
        let plan = match offload {
            Offload::None => Plan::Whole,
            Offload::Checksum { start, offset } => {
                complete_checksum(packet, usize::from(start), usize::from(offset))?;
                Plan::Whole
            }
            Offload::Segment {
                kind, size, start, ..
            } => Plan::Cut(Cut::new(
                packet,
                kind,
                usize::from(size),
                usize::from(start),
            )?),
        };
        Ok(Self {
            buffer,
            end,
            plan,
            displaced: None,
        })
    }

    /// The whole packet before it is cut, to be routed and filtered once.
    pub fn packet(&self) -> &[u8] {
        &self.buffer[..self.end]
    }

    /// The packet, to be changed before the first segment is taken. `None` if it is going to be cut.
    pub fn whole_mut(&mut self) -> Option<&mut [u8]> {
        matches!(self.plan, Plan::Whole).then_some(&mut self.buffer[..self.end])
    }

    /// Length of the longest segment, headers included.
    pub fn longest(&self) -> usize {
        match &self.plan {
            Plan::Whole => self.end,
            Plan::Cut(cut) => self.end.min(cut.headers + cut.size),
            Plan::Done => 0,
        }
    }

    /// How many segments are still to come.
    pub fn remaining(&self) -> usize {
        match &self.plan {
            Plan::Whole => 1,
            Plan::Cut(cut) => (self.end - cut.at)
                .div_ceil(cut.size)
                .max(usize::from(cut.index == 0)),
            Plan::Done => 0,
        }
    }

    /// The next segment.
    pub fn advance(&mut self) -> Option<&[u8]> {
        let range = self.next_range()?;
        Some(&self.buffer[range])
    }

    /// The next segment, with zeros behind it up to a multiple of [`PADDING`], but not beyond `most` bytes in
    /// all. Also tells the length without padding.
    pub fn advance_padded(&mut self, most: usize) -> Option<(&[u8], usize)> {
        let range = self.next_range()?;
        let len = range.len();
        let padded = len
            .next_multiple_of(PADDING)
            .min(most.max(len))
            .min(self.buffer.len() - range.start);
        if padded > len {
            self.displace(range.end, range.start + padded);
        }
        Some((&self.buffer[range.start..range.start + padded], len))
    }

    fn displace(&mut self, from: usize, to: usize) {
        let mut saved = [0; PADDING];
        saved[..to - from].copy_from_slice(&self.buffer[from..to]);
        self.buffer[from..to].fill(0);
        self.displaced = Some((from..to, saved));
    }

    fn next_range(&mut self) -> Option<Range<usize>> {
        if let Some((range, saved)) = self.displaced.take() {
            let len = range.len();
            self.buffer[range].copy_from_slice(&saved[..len]);
        }
        match &mut self.plan {
            Plan::Done => None,
            Plan::Whole => {
                self.plan = Plan::Done;
                Some(0..self.end)
            }
            Plan::Cut(cut) => {
                let range = cut.next(&mut self.buffer[..self.end]);
                if cut.at >= self.end {
                    self.plan = Plan::Done;
                }
                Some(range)
            }
        }
    }
}

/// Does what the device was left to do for a single packet: the field holds the pseudo header's sum already.
fn complete_checksum(packet: &mut [u8], start: usize, offset: usize) -> Result<(), SplitError> {
    let field = start + offset;
    if start < 20 || field + 2 > packet.len() {
        return Err(SplitError::Mismatch);
    }
    let sum = !checksum::fold(checksum::sum(&packet[start..]));
    // Zero would mean "no checksum" for UDP; for TCP both spellings are right.
    let sum = if sum == 0 { u16::MAX } else { sum };
    packet[field..field + 2].copy_from_slice(&sum.to_ne_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{frame, packets_of, tcp4, tcp6, udp4, verifies};

    #[test]
    fn every_segment_is_a_packet_whose_checksums_verify() {
        for (header, size) in [(tcp4(), 1368), (tcp6(), 1348), (udp4(), 1200), (tcp4(), 3)] {
            for payload in [0, 1, size, size * 5 + 1] {
                let bytes = frame(&header, payload, size);
                let packets = packets_of(&bytes);
                let headers = header.bytes.len();
                let joined: Vec<u8> = packets
                    .iter()
                    .flat_map(|packet| packet[headers..].to_vec())
                    .collect();
                assert_eq!(joined, bytes[vnet::LEN + headers..]);
                assert!(packets.iter().all(|packet| verifies(packet)));
            }
        }
    }

    #[test]
    fn sequence_numbers_and_flags_follow_the_payload() {
        let packets = packets_of(&frame(&tcp4(), 3000, 1000));
        let flags: Vec<u8> = packets.iter().map(|packet| packet[33]).collect();
        assert_eq!(flags, [0x10, 0x10, 0x18]);
        let sequence = |packet: &Vec<u8>| u32::from_be_bytes(packet[24..28].try_into().unwrap());
        assert_eq!(sequence(&packets[2]), tcp4().sequence().wrapping_add(2000));
    }

    #[test]
    fn padding_is_zero_and_leaves_the_next_segment_whole() {
        let bytes = frame(&tcp4(), 3000, 1001);
        let plain = packets_of(&bytes);
        let mut buffer = [bytes.clone(), vec![0xee; PADDING]].concat();
        let mut segments = Segments::new(&mut buffer, bytes.len()).unwrap();
        assert_eq!(
            (segments.longest(), segments.remaining()),
            (plain[0].len(), 3)
        );
        for packet in &plain {
            let (padded, len) = segments.advance_padded(1420).unwrap();
            assert_eq!((&padded[..len], padded.len() % PADDING), (&packet[..], 0));
            assert!(padded[len..].iter().all(|byte| *byte == 0));
        }
        assert!(segments.advance_padded(1420).is_none());
    }

    #[test]
    fn padding_never_exceeds_the_mtu_or_the_buffer() {
        let bytes = frame(&udp4(), 100, 1001);
        let mut buffer = bytes.clone();
        assert_eq!(
            Segments::new(&mut buffer, bytes.len())
                .unwrap()
                .advance_padded(1420)
                .unwrap()
                .0
                .len(),
            128
        );
        let mut buffer = [bytes.clone(), vec![0; PADDING]].concat();
        assert_eq!(
            Segments::new(&mut buffer, bytes.len())
                .unwrap()
                .advance_padded(130)
                .unwrap()
                .0
                .len(),
            128
        );
        let bytes = frame(&udp4(), 101, 1001);
        let mut buffer = [bytes.clone(), vec![0; PADDING]].concat();
        assert_eq!(
            Segments::new(&mut buffer, bytes.len())
                .unwrap()
                .advance_padded(130)
                .unwrap()
                .0
                .len(),
            130
        );
    }

    #[test]
    fn a_frame_that_contradicts_its_offload_header_is_refused() {
        let good = frame(&tcp4(), 3000, 1000);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            let len = bytes.len();
            Segments::new(&mut bytes, len).is_err()
        };
        assert!(!refused(&|_| {}));
        assert!(refused(&|bytes| bytes.truncate(40)));
        assert!(
            refused(&|bytes| bytes[4..6].fill(0)),
            "segments of no length"
        );
        assert!(refused(&|bytes| bytes[6] = 24), "another start of TCP");
        assert!(refused(&|bytes| bytes[1] = 4), "announced as IPv6");
        assert!(
            refused(&|bytes| bytes[vnet::LEN + 32] = 0x10),
            "a TCP header of 4 bytes"
        );
        assert!(
            refused(&|bytes| (bytes[1], bytes[7]) = (0, 0xff)),
            "a sum out of range"
        );
    }
}
