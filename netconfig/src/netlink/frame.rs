//! Cutting what a netlink socket received into messages.

use netlink_packet_core::{NetlinkMessage, NetlinkSerializable};
use netlink_packet_route::RouteNetlinkMessage;

use super::{Errno, NetlinkError};

const HEADER: usize = 16;

/// One message of a datagram.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) port: u32,
    whole: &'a [u8],
}

/// What a message means to whoever sent a request.
#[derive(Debug)]
pub(crate) enum Meaning {
    Done(Result<(), NetlinkError>),
    Data,
    Nothing,
}

/// The messages of a datagram; ends early where one is cut off.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let number = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let short = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let length = usize::try_from(number(0))
            .ok()
            .filter(|length| *length >= HEADER)?;
        let whole = bytes.get(..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Frame {
            kind: short(4),
            flags: short(6),
            sequence: number(8),
            port: number(12),
            whole,
        })
    })
}

impl<'a> Frame<'a> {
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.whole.get(HEADER..).unwrap_or_default()
    }

    pub(crate) fn meaning(&self) -> Meaning {
        match i32::from(self.kind) {
            libc::NLMSG_NOOP => Meaning::Nothing,
            libc::NLMSG_ERROR | libc::NLMSG_DONE => Meaning::Done(self.code()),
            libc::NLMSG_OVERRUN => Meaning::Done(Err(NetlinkError::Malformed)),
            _ => Meaning::Data,
        }
    }

    /// Reads a message about links, addresses, routes or rules; `None` for what this crate's codec does not know.
    pub(crate) fn route_message(&self) -> Option<RouteNetlinkMessage> {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(self.whole).ok()?;
        match message.payload {
            netlink_packet_core::NetlinkPayload::InnerMessage(message) => Some(message),
            _ => None,
        }
    }

    /// The end of a dump may come without a code.
    fn code(&self) -> Result<(), NetlinkError> {
        let code = self
            .payload()
            .first_chunk()
            .map_or(0, |code| i32::from_ne_bytes(*code));
        if code == 0 {
            Ok(())
        } else {
            Err(NetlinkError::Refused(Errno(code.saturating_neg())))
        }
    }
}

/// Appends a request to a datagram.
pub(crate) fn append(datagram: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, payload: &[u8]) {
    let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX);
    datagram.extend(length.to_ne_bytes());
    datagram.extend(kind.to_ne_bytes());
    datagram.extend(flags.to_ne_bytes());
    datagram.extend(sequence.to_ne_bytes());
    datagram.extend(0_u32.to_ne_bytes());
    datagram.extend(payload);
    datagram.resize(datagram.len().next_multiple_of(4), 0);
}

/// Appends a request about links, addresses, routes or rules.
pub(crate) fn append_route(
    datagram: &mut Vec<u8>,
    message: &RouteNetlinkMessage,
    flags: u16,
    sequence: u32,
) {
    let mut payload = vec![0; message.buffer_len()];
    message.serialize(&mut payload);
    append(datagram, message.message_type(), flags, sequence, &payload);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_appended_is_read_again() {
        let mut datagram = Vec::new();
        append(&mut datagram, 24, 1, 7, &[1, 2, 3]);
        append(&mut datagram, 25, 2, 8, &[4; 8]);
        let read: Vec<_> = frames(&datagram)
            .map(|frame| (frame.kind, frame.sequence, frame.payload().to_vec()))
            .collect();
        assert_eq!(read, [(24, 7, vec![1, 2, 3]), (25, 8, vec![4; 8])]);
    }

    proptest! {
        #[test]
        fn arbitrary_datagrams_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            for frame in frames(&bytes) {
                let _ = (frame.meaning(), frame.route_message());
            }
        }

        #[test]
        fn arbitrary_messages_of_every_kind_never_panic(
            kind in prop::sample::select(vec![16_u16, 17, 20, 21, 24, 25, 32, 33]),
            payload in prop::collection::vec(any::<u8>(), 0..128),
        ) {
            let mut datagram = Vec::new();
            append(&mut datagram, kind, 0, 0, &payload);
            for frame in frames(&datagram) {
                let _ = (frame.meaning(), frame.route_message());
            }
        }
    }
}
