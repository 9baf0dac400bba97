//! What stands between a stranger and the cost of a handshake.
//!
//! Few enough handshakes pass as they are. Beyond that, a sender must show a cookie, which proves its
//! address; proven addresses have a budget each, and so has an address that a session came from lately, which
//! a flood from random addresses therefore cannot keep from renewing it. What all of this may cost per second is
//! bounded.

use crate::discard::Discard;
use crate::initiation::Opener;
use crate::time::Mono;
use crate::tunnel::{COOKIE_REPLY, Cookie, Identity};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::Duration;

const SOURCES: usize = 1024;
/// How long a session speaks for the address that it came from.
const VOUCHED: Duration = Duration::from_secs(600);
/// Handshakes from all unproven sources together.
const UNPROVEN: Rate = Rate {
    per_second: 250,
    burst: 250,
};
/// Handshakes from one unproven source.
const UNPROVEN_SOURCE: Rate = Rate {
    per_second: 20,
    burst: 40,
};
/// Handshakes from all sources that showed a cookie.
const PROVEN: Rate = Rate {
    per_second: 1000,
    burst: 1000,
};
/// Handshakes from one source that showed a cookie.
const PROVEN_SOURCE: Rate = Rate {
    per_second: 50,
    burst: 100,
};
/// Cookies given out.
const COOKIES: Rate = Rate {
    per_second: 5000,
    burst: 1000,
};

/// How often something may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: u32,
    pub(crate) burst: u32,
}

/// A budget that refills with time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// When the bucket was or will be full of emptiness: the classic "theoretical arrival time".
    busy_until: Mono,
}

impl Bucket {
    /// Takes one from the budget, if there is one.
    pub(crate) fn take(&mut self, rate: Rate, now: Mono) -> bool {
        let step = Duration::from_secs(1) / rate.per_second;
        let busy_until = self.busy_until.max(now);
        if busy_until.since(now) > step * (rate.burst - 1) {
            return false;
        }
        self.busy_until = busy_until + step;
        true
    }

    fn spent(&self, rate: Rate, now: Mono) -> bool {
        !Self::take(&mut self.clone(), rate, now)
    }
}

/// What the gate says to a handshake message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// It may cost us a handshake.
    Admitted,
    /// A cookie reply was written and should be sent.
    Cookie,
}

/// See the [module documentation](self).
pub(crate) struct Gate {
    hash_key: [u8; 16],
    unproven: Bucket,
    proven: Bucket,
    cookies: Bucket,
    unproven_sources: Box<[Bucket]>,
    proven_sources: Box<[Bucket]>,
    vouched: Box<[Option<(IpAddr, Mono)>]>,
}

impl Gate {
    pub(crate) fn new(hash_key: [u8; 16]) -> Self {
        let sources = || vec![Bucket::default(); SOURCES].into_boxed_slice();
        Self {
            hash_key,
            unproven: Bucket::default(),
            proven: Bucket::default(),
            cookies: Bucket::default(),
            unproven_sources: sources(),
            proven_sources: sources(),
            vouched: vec![None; SOURCES].into_boxed_slice(),
        }
    }

    /// Notes that a session was made with somebody at this address.
    pub(crate) fn vouch(&mut self, address: IpAddr, now: Mono) {
        let place = self.place(address);
        self.vouched[place] = Some((address, now));
    }

    fn is_vouched(&self, from: IpAddr, now: Mono) -> bool {
        let vouched = self.vouched[self.place(from)];
        vouched.is_some_and(|(address, since)| address == from && now.since(since) <= VOUCHED)
    }

    /// Judges an initiation or a response.
    pub(crate) fn admit(
        &mut self,
        identity: &Identity,
        opener: &Opener,
        message: &[u8],
        from: IpAddr,
        reply: &mut [u8; COOKIE_REPLY],
        now: Mono,
    ) -> Result<Admission, Discard> {
        let source = self.place(from);
        let busy = self.unproven.spent(UNPROVEN, now)
            || self.unproven_sources[source].spent(UNPROVEN_SOURCE, now);
        let known =
            self.is_vouched(from, now) && !self.proven_sources[source].spent(PROVEN_SOURCE, now);
        let cookie_shown = message[message.len() - 16..].iter().any(|byte| *byte != 0);
        if busy && !known && !cookie_shown && self.cookies.spent(COOKIES, now) {
            return Err(Discard::HandshakeFlood);
        }
        if !opener.mac_holds(message) {
            return Err(Discard::BadMac);
        }
        if !busy {
            self.unproven.take(UNPROVEN, now);
            self.unproven_sources[source].take(UNPROVEN_SOURCE, now);
            return Ok(Admission::Admitted);
        }
        if known
            && self.proven_sources[source].take(PROVEN_SOURCE, now)
            && self.proven.take(PROVEN, now)
        {
            return Ok(Admission::Admitted);
        }
        self.demand(identity, message, from, reply, now)
    }

    fn demand(
        &mut self,
        identity: &Identity,
        message: &[u8],
        from: IpAddr,
        reply: &mut [u8; COOKIE_REPLY],
        now: Mono,
    ) -> Result<Admission, Discard> {
        // Also where a wrong cookie was shown: telling costs as much as answering.
        if !self.cookies.take(COOKIES, now) {
            return Err(Discard::HandshakeFlood);
        }
        let source = self.place(from);
        match identity.demand_cookie(from, message, reply)? {
            Cookie::Asked => Ok(Admission::Cookie),
            Cookie::Shown if !self.proven_sources[source].take(PROVEN_SOURCE, now) => {
                Err(Discard::HandshakeRate)
            }
            Cookie::Shown if !self.proven.take(PROVEN, now) => Err(Discard::HandshakeRate),
            Cookie::Shown => Ok(Admission::Admitted),
        }
    }

    /// Sources share places, but nobody outside can tell with whom. An IPv6 source is its /64.
    fn place(&self, from: IpAddr) -> usize {
        let mut hasher = SipHasher13::new_with_key(&self.hash_key);
        match from {
            IpAddr::V4(v4) => hasher.write(&v4.octets()),
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => hasher.write(&v4.octets()),
                None => hasher.write(&v6.octets()[..8]),
            },
        }
        hasher.finish() as usize % SOURCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{PrivateKey, Psk};
    use crate::tunnel::{INITIATION, Tunnel};

    #[test]
    fn a_budget_allows_its_burst_and_then_its_rate() {
        let rate = Rate {
            per_second: 10,
            burst: 5,
        };
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, now| (0..100).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(&mut bucket, Mono(1_000_000_000)), 5);
        assert_eq!(taken(&mut bucket, Mono(1_000_000_000)), 0);
        assert_eq!(taken(&mut bucket, Mono(1_200_000_000)), 2);
        assert_eq!(taken(&mut bucket, Mono(9_000_000_000)), 5);
    }

    struct Scene {
        us: Identity,
        opener: Opener,
        gate: Gate,
        tunnel: Tunnel,
    }

    impl Scene {
        fn new() -> Self {
            let (us, them) = (
                Identity::new(&PrivateKey([1; 32])),
                Identity::new(&PrivateKey([2; 32])),
            );
            let tunnel = Tunnel::new(&them, &us.public(), &Psk([0; 32]), None, 1);
            Self {
                opener: Opener::new(&us),
                gate: Gate::new([3; 16]),
                us,
                tunnel,
            }
        }

        fn message(&mut self) -> [u8; INITIATION] {
            let mut message = [0; INITIATION];
            assert!(self.tunnel.initiate(&mut message));
            message
        }

        fn admit(&mut self, message: &[u8], source: u32) -> Result<Admission, Discard> {
            let mut reply = [0; COOKIE_REPLY];
            let from = IpAddr::from(source.to_be_bytes());
            let Self {
                us, opener, gate, ..
            } = self;
            let admission = gate.admit(us, opener, message, from, &mut reply, Mono(1_000_000_000));
            if admission == Ok(Admission::Cookie) {
                // Only the latest message can be answered with a cookie; for others this fails, as it should.
                let _ = self.tunnel.take_cookie(&reply);
            }
            admission
        }
    }

    #[test]
    fn one_source_has_its_share_and_then_needs_a_cookie() {
        let mut scene = Scene::new();
        let message = scene.message();
        for _ in 0..40 {
            assert_eq!(scene.admit(&message, 1), Ok(Admission::Admitted));
        }
        assert_eq!(scene.admit(&message, 1), Ok(Admission::Cookie));
        assert_eq!(
            scene.admit(&message, 2),
            Ok(Admission::Admitted),
            "others have theirs"
        );
        let shown = scene.message();
        for _ in 0..100 {
            assert_eq!(scene.admit(&shown, 1), Ok(Admission::Admitted));
        }
        assert_eq!(scene.admit(&shown, 1), Err(Discard::HandshakeRate));
    }

    #[test]
    fn a_cookie_is_worth_nothing_from_another_address() {
        let mut scene = Scene::new();
        let message = scene.message();
        for _ in 0..=40 {
            assert!(scene.admit(&message, 1).is_ok());
        }
        let shown = scene.message();
        for _ in 0..40 {
            assert_eq!(scene.admit(&shown, 2), Ok(Admission::Admitted));
        }
        assert_eq!(scene.admit(&shown, 2), Ok(Admission::Cookie));
    }

    #[test]
    fn many_sources_together_cost_no_more_than_the_budgets() {
        let mut scene = Scene::new();
        let message = scene.message();
        let verdicts: Vec<_> = (0..5000)
            .map(|source| scene.admit(&message, source << 8))
            .collect();
        let count = |wanted| {
            verdicts
                .iter()
                .filter(|verdict| **verdict == wanted)
                .count()
        };
        assert_eq!(count(Ok(Admission::Admitted)), 250);
        assert_eq!(count(Ok(Admission::Cookie)), 1000);
        assert_eq!(count(Err(Discard::HandshakeFlood)), 3750);
    }

    #[test]
    fn an_address_with_a_session_gets_through_a_flood_within_its_share() {
        let mut scene = Scene::new();
        let message = scene.message();
        scene
            .gate
            .vouch(IpAddr::from(7u32.to_be_bytes()), Mono(1_000_000_000));
        for source in 100..5000 {
            let _ = scene.admit(&message, source << 8);
        }
        assert_eq!(scene.admit(&message, 8 << 8), Err(Discard::HandshakeFlood));
        let admitted = (0..1000)
            .filter(|_| scene.admit(&message, 7) == Ok(Admission::Admitted))
            .count();
        assert_eq!(admitted, 100);
    }

    #[test]
    fn a_wrong_mac_costs_no_budget() {
        let mut scene = Scene::new();
        let message = scene.message();
        for source in 0..1000 {
            assert_eq!(scene.admit(&[9; INITIATION], source), Err(Discard::BadMac));
        }
        assert_eq!(scene.admit(&message, 5), Ok(Admission::Admitted));
    }
}
