//! The ten bytes in front of every TUN frame that say which work was left to the device.

/// Length of the header.
pub const LEN: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const KIND_NONE: u8 = 0;
const KIND_TCP4: u8 = 1;
const KIND_TCP6: u8 = 4;
const KIND_UDP: u8 = 5;
/// Set beside a TCP kind when the sender uses congestion notification.
const ECN: u8 = 0x80;

/// What is left to do with a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Nothing.
    None,
    /// The checksum of one packet.
    Checksum {
        /// Where the sum starts.
        start: u16,
        /// Where it is stored, from there.
        offset: u16,
    },
    /// Cutting the payload into segments, each with headers and checksums of its own.
    Segment {
        /// Of which kind.
        kind: SegmentKind,
        /// Payload of every segment but the last.
        size: u16,
        /// Where the TCP or UDP header starts.
        start: u16,
        /// Length of all headers together (a hint that is only written, never trusted).
        headers: u16,
    },
}

/// What a frame is cut into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SegmentKind {
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either.
    Udp,
}

impl SegmentKind {
    /// Where the checksum lies in the TCP or UDP header.
    pub fn checksum_offset(self) -> usize {
        if self == Self::Udp { 6 } else { 16 }
    }
}

/// The header is of a kind that was never asked for, or too short.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the frame's offload header is cut off or of an unknown kind")]
pub struct UnknownOffload;

impl Offload {
    /// Reads the header that a frame starts with.
    pub fn read(frame: &[u8]) -> Result<Self, UnknownOffload> {
        let header: &[u8; LEN] = frame.first_chunk().ok_or(UnknownOffload)?;
        let [flags, kind, ..] = *header;
        let word = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let (headers, size, start, offset) = (word(2), word(4), word(6), word(8));
        let kind = match kind & !ECN {
            KIND_NONE if flags & NEEDS_CHECKSUM != 0 => {
                return Ok(Self::Checksum { start, offset });
            }
            KIND_NONE => return Ok(Self::None),
            KIND_TCP4 => SegmentKind::Tcp4,
            KIND_TCP6 => SegmentKind::Tcp6,
            KIND_UDP => SegmentKind::Udp,
            _ => return Err(UnknownOffload),
        };
        Ok(Self::Segment {
            kind,
            size,
            start,
            headers,
        })
    }

    /// Writes the header in front of a frame of at least [`LEN`] bytes.
    pub fn write(self, frame: &mut [u8]) {
        let mut header = [0; LEN];
        let mut word =
            |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
        let (flags, kind) = match self {
            Self::None => (0, KIND_NONE),
            Self::Checksum { start, offset } => {
                word(6, start);
                word(8, offset);
                (NEEDS_CHECKSUM, KIND_NONE)
            }
            Self::Segment {
                kind,
                size,
                start,
                headers,
            } => {
                word(2, headers);
                word(4, size);
                word(6, start);
                word(8, kind.checksum_offset() as u16);
                (NEEDS_CHECKSUM, kind.number())
            }
        };
        (header[0], header[1]) = (flags, kind);
        frame[..LEN].copy_from_slice(&header);
    }
}

impl SegmentKind {
    fn number(self) -> u8 {
        match self {
            Self::Tcp4 => KIND_TCP4,
            Self::Tcp6 => KIND_TCP6,
            Self::Udp => KIND_UDP,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let cases = [
            Offload::None,
            Offload::Checksum {
                start: 20,
                offset: 16,
            },
            Offload::Segment {
                kind: SegmentKind::Tcp4,
                size: 1380,
                start: 20,
                headers: 40,
            },
            Offload::Segment {
                kind: SegmentKind::Tcp6,
                size: 1360,
                start: 40,
                headers: 60,
            },
            Offload::Segment {
                kind: SegmentKind::Udp,
                size: 1200,
                start: 20,
                headers: 28,
            },
        ];
        for offload in cases {
            let mut frame = [0xff; LEN];
            offload.write(&mut frame);
            assert_eq!(Offload::read(&frame), Ok(offload));
        }
    }

    #[test]
    fn kinds_that_were_never_asked_for_are_refused() {
        assert_eq!(Offload::read(&[0; 9]), Err(UnknownOffload));
        assert_eq!(
            Offload::read(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(UnknownOffload)
        );
    }
}
