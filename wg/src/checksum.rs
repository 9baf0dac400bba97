//! The Internet checksum, fast enough to run over every byte.
//!
//! Sums are kept in native order: folded and stored natively they are the same bytes whatever the order.

/// The sum of the 16-bit words, not yet folded. Odd lengths count as padded with one zero byte.
#[inline]
pub fn sum(bytes: &[u8]) -> u64 {
    // Two 32-bit halves per lane: the carries of 2^32 words fit above them, and the loop vectorises.
    let mut lanes = [0u64; 8];
    let mut blocks = bytes.chunks_exact(64);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            let word = word.try_into().map_or(0, u64::from_ne_bytes);
            *lane += (word & 0xffff_ffff) + (word >> 32);
        }
    }
    lanes.iter().sum::<u64>() + short_sum(blocks.remainder())
}

fn short_sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let mut total = 0;
    for word in &mut words {
        total += word
            .try_into()
            .map_or(0, |word| u64::from(u32::from_ne_bytes(word)));
    }
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    total + u64::from(u32::from_ne_bytes(last))
}

/// Folds a sum to 16 bits, in native order.
#[inline]
pub fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The sum of the pseudo header: both addresses, the protocol and the upper layer's length.
///
/// `ip` starts with an IPv4 or IPv6 header, which the caller has checked to be there.
#[inline]
pub fn pseudo_header(ip: &[u8], protocol: u8, len: usize) -> u64 {
    let addresses = if ip[0] >> 4 == 6 {
        &ip[8..40]
    } else {
        &ip[12..20]
    };
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    short_sum(addresses) + u64::from(u16::from(protocol).to_be()) + short_sum(&len.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071, word by word.
    fn slow(bytes: &[u8]) -> u16 {
        let mut total = 0u32;
        for pair in bytes.chunks(2) {
            total += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
            total = (total & 0xffff) + (total >> 16);
        }
        total as u16
    }

    #[test]
    fn the_fast_sum_equals_the_slow_one_at_every_length() {
        let bytes: Vec<u8> = (0..2000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        for len in (0..300).chain([1419, 1420, 1999]) {
            assert_eq!(
                u16::from_be_bytes(fold(sum(&bytes[..len])).to_ne_bytes()),
                slow(&bytes[..len]),
                "{len}"
            );
        }
        let ones = vec![0xff; 65_535];
        assert_eq!(
            u16::from_be_bytes(fold(sum(&ones)).to_ne_bytes()),
            slow(&ones)
        );
    }
}
