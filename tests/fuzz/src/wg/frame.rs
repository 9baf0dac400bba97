//! Frames of the TUN device: cut, and merged again.

use super::model::{self, Announced};
use super::net;
use super::script::Script;
use tidegate_wg::PacketSink;
use tidegate_wg::merge::{Merger, Merges};
use tidegate_wg::split::{PADDING, Segments};
use tidegate_wg::vnet::{LEN, Offload, SegmentKind};

/// One frame with its offload header: every segment equals the slow model's, padded or not.
pub fn frame(data: &[u8]) {
    let whole = data.len().min(LEN + 65_535);
    let Some(expected) = expected(&data[..whole]) else {
        return;
    };
    let mut buffer = [&data[..whole], &[0xee; PADDING]].concat();
    let mut segments = Segments::new(&mut buffer, whole).expect("it was accepted once");
    assert_eq!(segments.remaining(), expected.len());
    assert_eq!(
        segments.longest(),
        expected.iter().map(Vec::len).max().unwrap_or(0)
    );
    for segment in &expected {
        assert_eq!(segments.advance(), Some(&segment[..]));
    }
    assert_eq!(segments.advance(), None);
    let mut buffer = [&data[..whole], &[0xee; PADDING]].concat();
    let mut segments = Segments::new(&mut buffer, whole).expect("it was accepted once");
    for segment in &expected {
        let (padded, len) = segments.advance_padded(1420).expect("there is another");
        assert_eq!(padded[..len], segment[..]);
        assert!(padded[len..].iter().all(|byte| *byte == 0));
        assert!(padded.len() == len.next_multiple_of(PADDING) || padded.len() == len.max(1420));
    }
}

/// The segments by the slow model; None if the frame is refused.
fn expected(data: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut buffer = data.to_vec();
    let accepted = Segments::new(&mut buffer, data.len()).is_ok();
    let packet = data.get(LEN..)?;
    let segments = match Offload::read(data).ok()? {
        Offload::None => vec![packet.to_vec()],
        Offload::Checksum { start, offset } => {
            let (start, field) = (usize::from(start), usize::from(start) + usize::from(offset));
            assert_eq!(accepted, start >= 20 && field + 2 <= packet.len());
            vec![completed(packet.to_vec(), start, field).filter(|_| accepted)?]
        }
        Offload::Segment {
            kind, size, start, ..
        } if accepted => {
            let (udp, start, size) = (
                kind == SegmentKind::Udp,
                usize::from(start),
                usize::from(size),
            );
            model::cut(packet, &Announced { udp, start, size })
        }
        Offload::Segment { .. } => return None,
    };
    Some(segments)
}

fn completed(mut packet: Vec<u8>, start: usize, field: usize) -> Option<Vec<u8>> {
    let sum = match model::checksum(&[packet.get(start..)?]) {
        0 => 0xffff,
        sum => sum,
    };
    packet
        .get_mut(field..field + 2)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(packet)
}

/// A script of packets through the merger: what comes out, cut by the slow model, is what went in.
pub fn merge(data: &[u8]) {
    let mut script = Script(data);
    let choice = script.byte();
    let merges = Merges {
        tcp: choice & 1 == 0,
        udp: choice & 2 == 0,
    };
    let packets = packets(&mut script);
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut merger = Merger::new(|frame: &[u8]| frames.push(frame.to_vec()), merges);
    for packet in &packets {
        let room = merger.room(packet.len() + 16);
        room[..packet.len()].copy_from_slice(packet);
        room[packet.len()..packet.len() + 16].fill(0xee);
        merger.commit(packet.len());
        // A place that is not committed must leave no trace.
        merger.room(1500)[..1500].fill(0xdd);
    }
    merger.flush();
    let mut left = &packets[..];
    for frame in &frames {
        assert!(frame.len() <= LEN + 65_535);
        left = check_frame(frame, left, merges);
    }
    assert!(left.is_empty(), "a packet was lost");
}

/// Takes the packets of one frame off the list.
fn check_frame<'a>(frame: &[u8], packets: &'a [Vec<u8>], merges: Merges) -> &'a [Vec<u8>] {
    let Ok(Offload::Segment {
        kind,
        size,
        start,
        headers,
    }) = Offload::read(frame)
    else {
        assert_eq!(
            frame[LEN..],
            packets[0][..],
            "a packet by itself stays as it was"
        );
        return &packets[1..];
    };
    let udp = kind == SegmentKind::Udp;
    assert!(if udp { merges.udp } else { merges.tcp });
    check_partial_checksum(&frame[LEN..], usize::from(start), udp);
    let announced = Announced {
        udp,
        start: usize::from(start),
        size: usize::from(size),
    };
    let segments = model::cut(&frame[LEN..], &announced);
    assert!(segments.len() > 1 && usize::from(headers) + usize::from(size) == segments[0].len());
    for (segment, packet) in segments.iter().zip(packets) {
        assert_eq!(model::without_id(segment), model::without_id(packet));
    }
    &packets[segments.len()..]
}

/// The field holds the sum of the pseudo header, not inverted, for the kernel to go on from.
fn check_partial_checksum(packet: &[u8], start: usize, udp: bool) {
    let (field, protocol) = if udp {
        (start + 6, 17)
    } else {
        (start + 16, 6)
    };
    let sum = !model::checksum(&[&model::pseudo_header(
        packet,
        protocol,
        packet.len() - start,
    )]);
    assert_eq!(packet[field..field + 2], sum.to_be_bytes());
}

/// Packets of a few flows, some of them damaged.
fn packets(script: &mut Script<'_>) -> Vec<Vec<u8>> {
    let mut sequences = [0xffff_f000u32; 4];
    let mut packets = Vec::new();
    while script.more() && packets.len() < 200 {
        let flow = script.below(4);
        let len = [0, 1, 100, 500, 1000, 1360, 1360, 1360][usize::from(script.below(8))];
        let change = script.byte();
        let sequence = &mut sequences[usize::from(flow)];
        let mut packet = segment(flow, *sequence, change, len);
        // Now and then a packet is missing.
        let gap = if change & 0xf0 == 0xe0 { 1360 } else { 0 };
        *sequence = sequence.wrapping_add(len as u32 + gap);
        if change >= 0xf0 {
            let place = usize::from(script.word()) % packet.len();
            packet[place] ^= script.byte();
        }
        packets.push(packet);
    }
    packets
}

fn segment(flow: u8, sequence: u32, change: u8, len: usize) -> Vec<u8> {
    let (from, to) = if flow.is_multiple_of(2) {
        (net::inner(1), net::inner(2))
    } else {
        (net::inner6(1), net::inner6(2))
    };
    let body: Vec<u8> = (0..len)
        .map(|place| (place as u32).wrapping_add(sequence) as u8)
        .collect();
    if flow >= 2 {
        return net::udp(from, to, 1000, 2000, &body);
    }
    let flags = match change % 16 {
        0 => 0x18,
        1 => 0x11,
        2 => 0x90,
        _ => 0x10,
    };
    let mut header = [1000u16.to_be_bytes(), 80u16.to_be_bytes()].concat();
    header.extend(sequence.to_be_bytes());
    header.extend([
        0,
        0,
        0,
        9,
        0x80,
        flags,
        1,
        change & 0x40,
        0,
        0,
        0,
        0,
        1,
        1,
        8,
        10,
        0,
        0,
        0,
        change & 0x20,
        0,
        0,
        0,
        1,
    ]);
    net::ip(from, to, 6, &[&header[..], &body].concat())
}
