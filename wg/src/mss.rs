//! Keeps TCP from agreeing on segments that the tunnel cannot carry.

use crate::packet::{Packet, Transport};

const SYN: u8 = 0x02;
const END: u8 = 0;
const NOTHING: u8 = 1;
const MAXIMUM_SEGMENT: u8 = 2;

/// Lowers the segment size that a SYN announces to what fits into `mtu`.
pub(crate) fn clamp(bytes: &mut [u8], packet: &Packet, mtu: usize) {
    let Transport::Tcp { flags, .. } = packet.transport else {
        return;
    };
    if flags & SYN == 0 || packet.fragment.is_some() {
        return;
    }
    let most = mtu
        .saturating_sub(packet.offset + 20)
        .min(usize::from(u16::MAX)) as u16;
    if let Some(tcp) = bytes.get_mut(packet.offset..) {
        clamp_header(tcp, most);
    }
}

fn clamp_header(tcp: &mut [u8], most: u16) {
    let end = tcp
        .get(12)
        .map_or(0, |words| usize::from(words >> 4) * 4)
        .min(tcp.len());
    let mut at = 20;
    while at + 1 < end {
        match (tcp[at], usize::from(tcp[at + 1])) {
            (END, _) => return,
            (NOTHING, _) => at += 1,
            (MAXIMUM_SEGMENT, 4) if at + 4 <= end => {
                lower(tcp, at + 2, most);
                return;
            }
            // Nonsense; the far end will say so.
            (_, 0..2) => return,
            (_, len) => at += len,
        }
    }
}

fn lower(tcp: &mut [u8], at: usize, most: u16) {
    let old = u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    if old <= most {
        return;
    }
    tcp[at..at + 2].copy_from_slice(&most.to_be_bytes());
    // An option may start at an odd offset; then its bytes count swapped.
    let (old, new) = if at.is_multiple_of(2) {
        (old, most)
    } else {
        (old.swap_bytes(), most.swap_bytes())
    };
    let sum = u32::from(!u16::from_be_bytes([tcp[16], tcp[17]])) + u32::from(!old) + u32::from(new);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    tcp[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum;
    use crate::samples::{syn, verifies};

    fn announced(bytes: &[u8], options: &[u8]) -> u16 {
        let at = bytes.len() - options.len()
            + options
                .iter()
                .position(|byte| *byte == MAXIMUM_SEGMENT)
                .unwrap()
            + 2;
        u16::from_be_bytes([bytes[at], bytes[at + 1]])
    }

    #[test]
    fn a_syn_is_lowered_to_the_mtu_and_its_checksum_stays_right() {
        for options in [
            &[2, 4, 0x05, 0xb4][..],
            &[1, 2, 4, 0x05, 0xb4, 1, 1, 1],
            &[3, 3, 7, 2, 4, 0xff, 0xff, 0],
        ] {
            let mut bytes = syn(options);
            assert!(verifies(&bytes));
            let packet = Packet::parse(&bytes).unwrap();
            clamp(&mut bytes, &packet, 1280);
            assert_eq!(announced(&bytes, options), 1240);
            assert!(verifies(&bytes), "{options:?}");
            clamp(&mut bytes, &packet, 1400);
            assert_eq!(announced(&bytes, options), 1240, "never raised");
        }
    }

    #[test]
    fn other_segments_and_broken_options_stay_as_they_are() {
        for options in [
            &[2, 0, 0xff, 0xff][..],
            &[1, 1, 2, 4],
            &[9, 200, 2, 4],
            &[0, 2, 4, 0xff, 0xff, 0, 0, 0],
        ] {
            let mut bytes = syn(options);
            let before = bytes.clone();
            let packet = Packet::parse(&bytes).unwrap();
            clamp(&mut bytes, &packet, 1280);
            assert_eq!(bytes, before, "{options:?}");
        }
        let mut bytes = syn(&[2, 4, 0xff, 0xff]);
        bytes[33] = 0x10;
        let before = bytes.clone();
        let packet = Packet::parse(&bytes).unwrap();
        clamp(&mut bytes, &packet, 1280);
        assert_eq!(bytes, before);
        assert_eq!(checksum::fold(0), 0);
    }
}
