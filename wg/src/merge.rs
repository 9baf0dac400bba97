//! Reassembly in software: neighbouring segments of one flow become one frame for the TUN device.
//!
//! A packet is put where its payload directly follows the payload before it; the headers that it thereby
//! covers are kept aside and put back. So a merged frame is never copied together. Only segments
//! whose checksums verify are merged, since the merged frame tells the kernel not to look again.

mod segment;

use crate::checksum;
use crate::packet::protocol;
use crate::sink::PacketSink;
use crate::vnet::{self, Offload, SegmentKind};
use segment::{PSH, Segment, same_flow};

const MOST_PACKET: usize = u16::MAX as usize;
const MOST_HEADERS: usize = 128;
/// The kernel refuses a UDP frame of more segments.
const MOST_DATAGRAMS: usize = 64;

/// Takes finished frames, offload header first.
pub trait FrameWriter {
    /// Writes one frame to the device; what cannot be written is the writer's to count.
    fn write(&mut self, frame: &[u8]);
}

impl<F: FnMut(&[u8])> FrameWriter for F {
    fn write(&mut self, frame: &[u8]) {
        self(frame);
    }
}

/// What the device can cut again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Merges {
    /// TCP of both families.
    pub tcp: bool,
    /// UDP of both families (the kernel can since 6.2).
    pub udp: bool,
}

/// A [`PacketSink`] that merges. Packets leave in the order they came.
///
/// What is pending stays until [`Merger::flush`], which belongs at the end of every batch.
#[derive(Debug)]
pub struct Merger<W> {
    writer: W,
    merges: Merges,
    buffers: [Vec<u8>; 2],
    /// Which buffer is being filled.
    current: usize,
    group: Option<Group>,
    /// Where the latest place begins.
    place: usize,
    /// The bytes that the latest place covers, until it is committed or forgotten.
    covered: Option<[u8; MOST_HEADERS]>,
}

/// Segments of one flow that wait to become one frame.
#[derive(Clone, Debug)]
struct Group {
    first: Segment,
    headers: [u8; MOST_HEADERS],
    /// End of the payload so far.
    end: usize,
    count: usize,
    next_sequence: u32,
}

impl<W: FrameWriter> Merger<W> {
    /// A merger that hands its frames to `writer`.
    pub fn new(writer: W, merges: Merges) -> Self {
        let buffer = || vec![0; vnet::LEN + MOST_PACKET + MOST_HEADERS];
        Self {
            writer,
            merges,
            buffers: [buffer(), buffer()],
            current: 0,
            group: None,
            place: vnet::LEN,
            covered: None,
        }
    }

    /// The writer.
    pub fn writer_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Changes what is merged, from the next packet on: for a kernel that refused a merged frame.
    pub fn set_merges(&mut self, merges: Merges) {
        self.flush();
        self.merges = merges;
    }

    /// Writes what is pending.
    pub fn flush(&mut self) {
        self.uncover();
        if let Some(group) = self.group.take() {
            let frame = &mut self.buffers[self.current][..group.end];
            group.seal(frame);
            self.writer.write(frame);
        }
    }

    fn uncover(&mut self) {
        if let (Some(covered), Some(group)) = (self.covered.take(), &self.group) {
            let len = group.first.headers;
            self.buffers[self.current][self.place..group.end].copy_from_slice(&covered[..len]);
        }
    }

    /// Writes the packet in the latest place by itself, or makes it the first of a new group.
    fn begin(&mut self, segment: Option<Segment>, len: usize) {
        let end = vnet::LEN + len;
        let buffer = &mut self.buffers[self.current];
        match segment.filter(|segment| !segment.push) {
            Some(first) => self.group = Some(Group::new(first, &buffer[vnet::LEN..end])),
            None => {
                Offload::None.write(buffer);
                self.writer.write(&buffer[..end]);
            }
        }
    }

    /// Moves the packet in the latest place to the other buffer, and writes what was before it.
    fn replace(&mut self, len: usize) {
        let [a, b] = &mut self.buffers;
        let (from, to) = if self.current == 0 { (a, b) } else { (b, a) };
        to[vnet::LEN..vnet::LEN + len].copy_from_slice(&from[self.place..self.place + len]);
        self.flush();
        self.current ^= 1;
    }
}

impl<W: FrameWriter> PacketSink for Merger<W> {
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.uncover();
        if self
            .group
            .as_ref()
            .is_some_and(|group| group.end + len > vnet::LEN + MOST_PACKET)
        {
            self.flush();
        }
        self.place = vnet::LEN;
        if let Some(group) = &self.group {
            self.place = group.end - group.first.headers;
            let mut covered = [0; MOST_HEADERS];
            covered[..group.first.headers]
                .copy_from_slice(&self.buffers[self.current][self.place..group.end]);
            self.covered = Some(covered);
        }
        &mut self.buffers[self.current][self.place..]
    }

    fn commit(&mut self, len: usize) {
        let packet = &self.buffers[self.current][self.place..self.place + len];
        let segment = Segment::parse(packet, self.merges);
        let Some(group) = &mut self.group else {
            return self.begin(segment, len);
        };
        if let Some(segment) = segment.filter(|segment| group.accepts(segment, packet)) {
            let full = group.add(&segment);
            self.uncover_behind(&segment);
            if full {
                self.flush();
            }
            return;
        }
        self.replace(len);
        self.begin(segment, len);
    }
}

impl<W: FrameWriter> Merger<W> {
    /// Puts back the end of the payload that the headers of the merged segment covered.
    fn uncover_behind(&mut self, segment: &Segment) {
        if let Some(covered) = self.covered.take() {
            let end = self.place + segment.headers;
            self.buffers[self.current][self.place..end]
                .copy_from_slice(&covered[..segment.headers]);
        }
    }
}

impl Group {
    fn new(first: Segment, packet: &[u8]) -> Self {
        let mut headers = [0; MOST_HEADERS];
        headers[..first.headers].copy_from_slice(&packet[..first.headers]);
        let next_sequence = first.sequence.wrapping_add(first.payload as u32);
        Self {
            first,
            headers,
            end: vnet::LEN + packet.len(),
            count: 1,
            next_sequence,
        }
    }

    fn accepts(&self, segment: &Segment, packet: &[u8]) -> bool {
        segment.kind == self.first.kind
            && segment.start == self.first.start
            && segment.headers == self.first.headers
            && segment.payload <= self.first.payload
            && (segment.kind == SegmentKind::Udp || segment.sequence == self.next_sequence)
            && same_flow(
                &self.headers[..segment.headers],
                &packet[..segment.headers],
                segment,
            )
    }

    /// Counts the segment in; true if no other can follow it.
    fn add(&mut self, segment: &Segment) -> bool {
        self.end += segment.payload;
        self.count += 1;
        self.next_sequence = self.next_sequence.wrapping_add(segment.payload as u32);
        if segment.push {
            self.headers[self.first.start + 13] |= PSH;
        }
        let many = segment.kind == SegmentKind::Udp && self.count == MOST_DATAGRAMS;
        many || segment.push || segment.payload < self.first.payload
    }

    /// Writes the headers of the whole frame.
    fn seal(mut self, frame: &mut [u8]) {
        if self.count == 1 {
            return Offload::None.write(frame);
        }
        let Segment {
            kind,
            start,
            headers,
            payload,
            ..
        } = self.first;
        Offload::Segment {
            kind,
            size: payload as u16,
            start: start as u16,
            headers: headers as u16,
        }
        .write(frame);
        let len = frame.len() - vnet::LEN;
        self.write_lengths(len);
        let number = if kind == SegmentKind::Udp {
            protocol::UDP
        } else {
            protocol::TCP
        };
        // Not inverted: the kernel adds the rest to it.
        let sum = checksum::fold(checksum::pseudo_header(&self.headers, number, len - start));
        let field = start + kind.checksum_offset();
        self.headers[field..field + 2].copy_from_slice(&sum.to_ne_bytes());
        frame[vnet::LEN..vnet::LEN + headers].copy_from_slice(&self.headers[..headers]);
    }

    fn write_lengths(&mut self, len: usize) {
        let start = self.first.start;
        if self.headers[0] >> 4 == 6 {
            self.headers[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        } else {
            self.headers[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            self.headers[10..12].fill(0);
            let sum = !checksum::fold(checksum::sum(&self.headers[..start]));
            self.headers[10..12].copy_from_slice(&sum.to_ne_bytes());
        }
        if self.first.kind == SegmentKind::Udp {
            self.headers[start + 4..start + 6]
                .copy_from_slice(&((len - start) as u16).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{frame, packets_of, tcp4, tcp6, udp4, udp6};

    const BOTH: Merges = Merges {
        tcp: true,
        udp: true,
    };

    /// Feeds packets through a merger as the engine does: a tag's worth of noise behind each.
    fn merged(packets: &[Vec<u8>], merges: Merges) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut merger = Merger::new(|frame: &[u8]| frames.push(frame.to_vec()), merges);
        for packet in packets {
            let room = merger.room(packet.len() + 16);
            room[..packet.len()].copy_from_slice(packet);
            room[packet.len()..packet.len() + 16].fill(0xee);
            merger.commit(packet.len());
            merger.room(1400)[..1400].fill(0xdd);
        }
        merger.flush();
        frames
    }

    #[test]
    fn segments_of_one_flow_become_one_frame_and_can_be_cut_again() {
        for (header, size) in [
            (tcp4(), 1368),
            (tcp6(), 1348),
            (udp4(), 1200),
            (udp6(), 1200),
            (tcp4(), 7),
        ] {
            for payload in [1, size, size + 1, size * 3, size * 30 + 5] {
                let segments = packets_of(&frame(&header, payload, size));
                assert_eq!(segments.len(), payload.div_ceil(size));
                let frames = merged(&segments, BOTH);
                assert_eq!(frames.len(), 1, "{payload} in {size}");
                assert_eq!(packets_of(&frames[0]), segments);
            }
        }
    }

    #[test]
    fn two_flows_that_interleave_stay_apart_and_in_order() {
        let a = packets_of(&frame(&tcp4(), 4000, 1000));
        let mut other = tcp4();
        other.bytes[other.start + 1] ^= 1;
        let b = packets_of(&frame(&other, 4000, 1000));
        let mixed = [&a[..2], &b[..2], &a[2..], &b[2..]].concat();
        let frames = merged(&mixed, BOTH);
        assert_eq!(frames.len(), 4);
        assert_eq!(
            frames
                .iter()
                .flat_map(|frame| packets_of(frame))
                .collect::<Vec<_>>(),
            mixed
        );
    }

    #[test]
    fn a_segment_with_a_wrong_checksum_is_never_merged() {
        let mut segments = packets_of(&frame(&tcp4(), 4000, 1000));
        let last = segments[1].len() - 1;
        segments[1][last] ^= 1;
        let frames = merged(&segments, BOTH);
        assert_eq!(frames.len(), 3);
        assert_eq!(
            frames
                .iter()
                .flat_map(|frame| packets_of(frame))
                .collect::<Vec<_>>(),
            segments
        );
    }

    #[test]
    fn what_the_device_cannot_cut_is_not_merged() {
        for header in [tcp4(), udp6()] {
            let segments = packets_of(&frame(&header, 4000, 1000));
            assert_eq!(
                merged(
                    &segments,
                    Merges {
                        tcp: false,
                        udp: false
                    }
                )
                .len(),
                4
            );
        }
    }

    #[test]
    fn a_gap_a_push_or_a_short_segment_ends_the_frame() {
        let segments = packets_of(&frame(&tcp4(), 5000, 1000));
        let gap = [&segments[..2], &segments[3..]].concat();
        assert_eq!(merged(&gap, BOTH).len(), 2);
        let again = [&segments[..], &segments[..]].concat();
        assert_eq!(
            merged(&again, BOTH).len(),
            2,
            "the last segment carries PSH"
        );
    }

    #[test]
    fn frames_end_at_64_kib_and_at_64_datagrams() {
        let one = packets_of(&frame(&tcp4(), 60_000, 1000));
        let mut next = tcp4();
        let sequence = next.sequence().wrapping_add(60_000).to_be_bytes();
        next.bytes[24..28].copy_from_slice(&sequence);
        let mut first = one.clone();
        clear_push(first.last_mut().unwrap());
        let long = [first, packets_of(&frame(&next, 60_000, 1000))].concat();
        let frames = merged(&long, BOTH);
        assert_eq!(frames.len(), 2);
        assert!(frames.iter().all(|frame| frame.len() <= vnet::LEN + 65_535));
        let small = packets_of(&frame(&udp4(), 100 * 10, 10));
        assert_eq!(merged(&small, BOTH).len(), 2);
    }

    fn clear_push(packet: &mut [u8]) {
        packet[33] &= !PSH;
        packet[36..38].fill(0);
        let sum =
            checksum::pseudo_header(packet, 6, packet.len() - 20) + checksum::sum(&packet[20..]);
        packet[36..38].copy_from_slice(&(!checksum::fold(sum)).to_ne_bytes());
    }
}
