//! Collects sealed datagrams into runs that one system call sends.

use std::net::{Ipv4Addr, SocketAddr};

use tidegate_wg::{DatagramSink, Mono};

use crate::clock::boottime;
use crate::udp::{Outgoing, Sockets};

/// Most datagrams in one system call.
const MOST: usize = 64;
/// Most bytes in one system call: the largest UDP payload.
const LARGEST: usize = 65_507;
/// Room behind the last place: the largest datagram that the engine seals.
const SLACK: usize = 66_000;

/// A run of datagrams of one length to one address; a shorter one ends it.
pub(crate) struct Outbox {
    sockets: Sockets,
    buffer: Box<[u8]>,
    to: SocketAddr,
    /// Length of every datagram but the last.
    segment: usize,
    filled: usize,
    count: usize,
    ended: bool,
    /// When the deadlines of what is pending were looked at.
    checked: Mono,
    next_to: SocketAddr,
}

impl Outbox {
    pub(crate) fn new(sockets: Sockets) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self {
            sockets,
            buffer: vec![0; LARGEST + SLACK].into_boxed_slice(),
            to: nowhere,
            segment: 0,
            filled: 0,
            count: 0,
            ended: false,
            checked: Mono(0),
            next_to: nowhere,
        }
    }

    pub(crate) fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }

    /// Notes when the engine looked at the deadlines of what comes next.
    pub(crate) fn checked_at(&mut self, now: Mono) {
        // What is pending keeps the older note, so that it can only be judged more strictly.
        if self.count == 0 {
            self.checked = now;
        }
    }

    /// Sends what is pending, unless the thread was held up since its deadlines were looked at.
    pub(crate) fn flush(&mut self) {
        if self.count == 0 {
            return;
        }
        let batch = Outgoing {
            to: self.to,
            datagrams: &self.buffer[..self.filled],
            segment: self.segment,
        };
        let now = boottime();
        if now.since(self.checked) > crate::LONGEST_HOLD {
            self.sockets.count_stale(batch.count());
        } else {
            self.sockets.send(&batch, now);
        }
        (self.filled, self.count, self.ended) = (0, 0, false);
    }

    fn fits(&self, to: SocketAddr, len: usize) -> bool {
        !self.ended
            && to == self.to
            && len <= self.segment
            && self.count < MOST
            && self.filled + len <= LARGEST
    }
}

impl DatagramSink for Outbox {
    #[inline]
    fn room(&mut self, to: SocketAddr, len: usize) -> &mut [u8] {
        if self.count > 0 && !self.fits(to, len) {
            self.flush();
        }
        self.next_to = to;
        &mut self.buffer[self.filled..]
    }

    #[inline]
    fn commit(&mut self, len: usize) {
        if self.count == 0 {
            (self.to, self.segment) = (self.next_to, len);
        }
        self.ended = len < self.segment;
        self.filled += len;
        self.count += 1;
    }
}
