//! Checksums and segmentation the slow way: one byte after the other, everything made anew.

/// RFC 1071 over these bytes, in network order.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut total = 0u64;
    for (place, byte) in bytes.iter().enumerate() {
        total += u64::from(*byte) << if place.is_multiple_of(2) { 8 } else { 0 };
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// The pseudo header of a packet without extension headers or options that matter.
pub fn pseudo_header(packet: &[u8], protocol: u8, len: usize) -> Vec<u8> {
    let addresses = if packet[0] >> 4 == 6 {
        &packet[8..40]
    } else {
        &packet[12..20]
    };
    [addresses, &[0, protocol], &(len as u32).to_be_bytes()].concat()
}

/// What a frame says about itself.
pub struct Announced {
    pub udp: bool,
    pub start: usize,
    pub size: usize,
}

/// Cuts a packet by copying: headers, then a piece of the payload, then every field by its definition.
pub fn cut(packet: &[u8], announced: &Announced) -> Vec<Vec<u8>> {
    let Announced { udp, start, size } = *announced;
    let headers = start
        + if udp {
            8
        } else {
            usize::from(packet[start + 12] >> 4) * 4
        };
    let pieces: Vec<&[u8]> = packet[headers..].chunks(size).collect();
    let pieces = if pieces.is_empty() {
        vec![&packet[..0]]
    } else {
        pieces
    };
    let last = pieces.len() - 1;
    let cut = |(index, piece): (usize, &&[u8])| {
        let mut segment = [&packet[..headers], piece].concat();
        write_ip(&mut segment, start, index);
        if udp {
            let len = (segment.len() - start) as u16;
            segment[start + 4..start + 6].copy_from_slice(&len.to_be_bytes());
        } else {
            write_tcp(&mut segment[start..], index, size, index == last);
        }
        write_checksum(&mut segment, start, udp);
        segment
    };
    pieces.iter().enumerate().map(cut).collect()
}

fn write_ip(segment: &mut [u8], start: usize, index: usize) {
    let len = segment.len();
    if segment[0] >> 4 == 6 {
        segment[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        return;
    }
    segment[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    let id = u32::from(segment[4]) * 256 + u32::from(segment[5]) + index as u32;
    segment[4..6].copy_from_slice(&(id as u16).to_be_bytes());
    segment[10..12].fill(0);
    let sum = checksum(&[&segment[..start]]);
    segment[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn write_tcp(tcp: &mut [u8], index: usize, size: usize, last: bool) {
    let sequence =
        u64::from(u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]])) + (index * size) as u64;
    tcp[4..8].copy_from_slice(&(sequence as u32).to_be_bytes());
    if !last {
        tcp[13] &= 0b1111_0110;
    }
    if index > 0 {
        tcp[13] &= 0b0111_1111;
    }
}

fn write_checksum(segment: &mut [u8], start: usize, udp: bool) {
    let (field, protocol) = if udp {
        (start + 6, 17)
    } else {
        (start + 16, 6)
    };
    segment[field..field + 2].fill(0);
    let pseudo = pseudo_header(segment, protocol, segment.len() - start);
    let sum = match checksum(&[&pseudo, &segment[start..]]) {
        0 if udp => 0xffff,
        sum => sum,
    };
    segment[field..field + 2].copy_from_slice(&sum.to_be_bytes());
}

/// A packet without the IPv4 id, which cutting numbers anew, and the checksum over it.
pub fn without_id(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    }
    packet
}
