//! Why packets are dropped, and how often.

/// Declares the reasons once: the enum, the list of all, and the names that metrics use.
macro_rules! discards {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Why a packet or datagram was dropped.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[repr(u8)]
        pub enum Discard {
            $($(#[$doc])* $name,)+
        }

        impl Discard {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name that metrics and people see.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

discards! {
    /// Not a WireGuard message: wrong type, reserved bits or length.
    Garbage = "garbage",
    /// The first mac of a handshake message is not for our key.
    BadMac = "bad_mac",
    /// Handshakes come faster than they are answered, and this one showed no cookie.
    HandshakeFlood = "handshake_flood",
    /// This source proved its address and still sends too many handshakes.
    HandshakeRate = "handshake_rate",
    /// Load was high, so the answer was a cookie.
    CookieSent = "cookie_sent",
    /// The initiation does not decrypt, or names a key of low order.
    BadHandshake = "bad_handshake",
    /// An initiation from a key that is not a peer's.
    UnknownPeer = "unknown_peer",
    /// An initiation not newer than the newest of this peer.
    ReplayedHandshake = "replayed_handshake",
    /// The receiver's index belongs to no tunnel.
    UnknownIndex = "unknown_index",
    /// No epoch's tunnel could answer the handshake.
    NoEpoch = "no_epoch",
    /// The deadline of the epoch or of the peer has passed.
    Deadline = "deadline",
    /// A counter that was seen, is too old, or too close to the end.
    Replayed = "replayed",
    /// The tag does not verify.
    BadTag = "bad_tag",
    /// The session is over or was never confirmed.
    NoSession = "no_session",
    /// Not an IP packet, or its length field lies.
    Malformed = "malformed",
    /// An IPv4 option, or an IPv6 extension header that is unknown, repeated or out of order.
    Extension = "extension",
    /// The inner source address is not one of the peer's.
    WrongSource = "wrong_source",
    /// No route leads to the destination.
    NoRoute = "no_route",
    /// The route leads to a peer that the engine does not have.
    NoPeer = "no_peer",
    /// The peer has no address to send to.
    NoEndpoint = "no_endpoint",
    /// No rule and no flow allows it.
    Filtered = "filtered",
    /// The table of flows is full for this peer.
    FlowLimit = "flow_limit",
    /// The first fragment is too small to hold the ports.
    TinyFragment = "tiny_fragment",
    /// A later fragment whose first was not allowed or not seen.
    OrphanFragment = "orphan_fragment",
    /// Larger than the path allows; answered with ICMP where that is possible.
    TooBig = "too_big",
    /// Too many packets wait for a handshake.
    QueueFull = "queue_full",
    /// Waited for a handshake for too long, or under a policy that is gone.
    QueueStale = "queue_stale",
    /// The frame's offload header contradicts its packet.
    BadOffload = "bad_offload",
    /// More echoes from this peer than are answered.
    EchoLimit = "echo_limit",
    /// An answer to an echo that nobody waits for.
    EchoUnknown = "echo_unknown",
}

/// One counter per reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Discards([u64; Discard::ALL.len()]);

impl Default for Discards {
    fn default() -> Self {
        Self([0; Discard::ALL.len()])
    }
}

impl Discards {
    /// How often packets were dropped for this reason.
    pub fn of(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// How often packets were dropped at all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL
            .iter()
            .map(|reason| (*reason, self.of(*reason)))
            .filter(|(_, count)| *count > 0)
    }

    pub(crate) fn count(&mut self, reason: Discard) {
        self.add(reason, 1);
    }

    pub(crate) fn add(&mut self, reason: Discard, packets: u64) {
        let counter = &mut self.0[reason as usize];
        *counter = counter.saturating_add(packets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_counter_and_name() {
        let names: BTreeSet<_> = Discard::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Discard::ALL.len());
        for (place, reason) in Discard::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
            let mut counters = Discards::default();
            counters.add(*reason, 3);
            assert_eq!(counters.iter().collect::<Vec<_>>(), [(*reason, 3)]);
            assert_eq!(counters.total(), 3);
        }
    }
}
