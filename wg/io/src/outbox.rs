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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbox::Inbox;
    use crate::tun::Offload;
    use crate::udp::{Families, UdpConfig};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn sockets(offload: Offload) -> Sockets {
        let config = UdpConfig {
            port: 0,
            families: Families::Both,
            fwmark: None,
            offload,
        };
        Sockets::bind(&config).unwrap()
    }

    fn loopback(sockets: &Sockets, family: usize) -> SocketAddr {
        let ip = ["127.0.0.1", "::1"][family].parse().unwrap();
        SocketAddr::new(ip, sockets.port().unwrap())
    }

    fn put(outbox: &mut Outbox, to: SocketAddr, datagram: &[u8]) {
        outbox.room(to, datagram.len())[..datagram.len()].copy_from_slice(datagram);
        outbox.commit(datagram.len());
    }

    /// Receives until `count` datagrams are there.
    fn receive(sockets: &mut Sockets, family: usize, count: usize) -> Vec<Vec<u8>> {
        let mut inbox = Inbox::new();
        let mut datagrams = Vec::new();
        while datagrams.len() < count {
            let patience = Timespec {
                tv_sec: 5,
                tv_nsec: 0,
            };
            let udp = sockets.each().nth(family).unwrap();
            assert_eq!(
                poll(&mut [PollFd::new(udp, PollFlags::IN)], Some(&patience)),
                Ok(1)
            );
            while sockets.receive(family, &mut inbox).unwrap() {
                for train in inbox.trains() {
                    datagrams.extend(train.bytes.chunks(train.stride).map(<[u8]>::to_vec));
                }
            }
        }
        datagrams
    }

    /// Lengths that make runs, end runs, and grow; each datagram is told apart by its content.
    fn mixed() -> Vec<Vec<u8>> {
        let mut lengths = vec![1452; 100];
        lengths.extend([100, 148, 96, 96, 96, 1452, 1452, 32, 1452, 1, 65_000, 1452]);
        let content = |(number, length): (usize, usize)| {
            (0..length).map(|at| (at * 7 + number) as u8).collect()
        };
        lengths.into_iter().enumerate().map(content).collect()
    }

    fn arrives_unchanged(offload: Offload, family: usize) -> crate::udp::UdpCounters {
        let mut receiver = sockets(offload);
        let to = loopback(&receiver, family);
        let mut outbox = Outbox::new(sockets(offload));
        let sent = mixed();
        outbox.checked_at(boottime());
        for datagram in &sent {
            put(&mut outbox, to, datagram);
        }
        outbox.flush();
        assert_eq!(receive(&mut receiver, family, sent.len()), sent);
        outbox.sockets().counters()
    }

    #[test]
    fn datagrams_of_all_lengths_arrive_in_order_and_in_few_calls() {
        for family in [0, 1] {
            let counters = arrives_unchanged(Offload::Try, family);
            assert_eq!(counters.datagrams_sent, 112);
            assert!(counters.sends < 20, "{counters:?}");
        }
    }

    #[test]
    fn without_offloads_they_arrive_just_the_same() {
        for family in [0, 1] {
            let counters = arrives_unchanged(Offload::Off, family);
            assert_eq!((counters.datagrams_sent, counters.sends), (112, 112));
        }
    }

    #[test]
    fn a_batch_that_was_held_up_is_not_sent() {
        let receiver = sockets(Offload::Try);
        let to = loopback(&receiver, 0);
        let mut outbox = Outbox::new(sockets(Offload::Try));
        outbox.checked_at(boottime() - crate::LONGEST_HOLD * 2);
        put(&mut outbox, to, b"late");
        put(&mut outbox, to, b"late");
        outbox.flush();
        let counters = outbox.sockets().counters();
        assert_eq!((counters.sends, counters.stale), (0, 2));
    }

    #[test]
    fn a_later_look_does_not_make_what_is_pending_younger() {
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let mut outbox = Outbox::new(sockets(Offload::Try));
        outbox.checked_at(boottime() - crate::LONGEST_HOLD * 2);
        put(&mut outbox, to, b"late");
        outbox.checked_at(boottime());
        put(&mut outbox, to, b"also");
        outbox.flush();
        assert_eq!(outbox.sockets().counters().stale, 2);
    }

    #[test]
    fn a_destination_that_cannot_be_does_not_end_segmentation_for_others() {
        let mut receiver = sockets(Offload::Try);
        let to = loopback(&receiver, 0);
        let mut outbox = Outbox::new(sockets(Offload::Try));
        outbox.checked_at(boottime());
        for _ in 0..20 {
            for nowhere in ["127.0.0.1:0", "255.255.255.255:9", "[::ffff:127.0.0.1]:9"] {
                let nowhere = nowhere.parse().unwrap();
                put(&mut outbox, nowhere, &[1; 500]);
                put(&mut outbox, nowhere, &[2; 500]);
            }
            put(&mut outbox, to, &[3; 500]);
            put(&mut outbox, to, &[4; 500]);
        }
        outbox.flush();
        let counters = outbox.sockets().counters();
        assert_eq!(receive(&mut receiver, 0, 40).len(), 40);
        assert_eq!(counters.unsendable, 120, "{counters:?}");
        assert!(
            outbox
                .sockets()
                .each()
                .all(crate::udp::Udp::has_segmentation)
        );
    }
}
