//! How often one place may ask: token buckets, of which there are never more than a fixed number.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tidegate_proto::Digest;

use crate::config::Rates;
use crate::service::Actor;

/// Sources that are told apart at once. Beyond that, strangers share one bucket.
const MOST_SOURCES: usize = 65_536;

/// What is counted apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Kind {
    /// Any request.
    Request,
    /// An attempt to come in.
    Enrollment,
    /// A request that failed to prove who asks.
    Failure,
    /// Any request of somebody who is in, wherever it comes from.
    Known,
    /// A node's word on where it is found, which all of its peers are told.
    Record,
    /// A newcomer without an invite, who waits for a decision.
    Waiting,
}

impl Kind {
    /// Every kind.
    pub(super) const ALL: [Self; 6] = [
        Self::Request,
        Self::Enrollment,
        Self::Failure,
        Self::Known,
        Self::Record,
        Self::Waiting,
    ];

    /// The name, in metrics and codes.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Enrollment => "enrollment",
            Self::Failure => "failure",
            Self::Known => "known",
            Self::Record => "record",
            Self::Waiting => "waiting",
        }
    }
}

/// Where a request comes from, as far as it can be told apart: an IPv4 address, or the half of an IPv6 address that a
/// site is given.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Place(u128);

impl Place {
    /// The place of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(u128::from(v4.to_bits())),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64 | 1 << 32),
        }
    }

    /// Where somebody stands who is known, whatever the address.
    pub(super) fn of_known(who: &Actor) -> Self {
        let digest = Digest::of(who.to_string().as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest.as_bytes()[..16]);
        Self(u128::from_be_bytes(half))
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A kind's speed and depth.
#[derive(Clone, Copy, Debug)]
struct Pace {
    per_second: f64,
    burst: f64,
}

impl Bucket {
    fn full(pace: Pace, now: Instant) -> Self {
        Self {
            tokens: pace.burst,
            at: now,
        }
    }

    fn refill(&mut self, pace: Pace, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * pace.per_second).min(pace.burst);
        self.at = now;
    }

    /// Whether nothing would be lost with it.
    fn is_full(&self, pace: Pace, now: Instant) -> bool {
        let mut then = *self;
        then.refill(pace, now);
        then.tokens >= pace.burst
    }
}

/// The buckets of every source.
#[derive(Debug)]
pub(super) struct Gate {
    paces: Mutex<Paces>,
    strangers: Mutex<Buckets>,
    /// Apart as well: they fill in a day only.
    newcomers: Mutex<Buckets>,
    /// Apart from strangers, who so cannot take their room.
    known: Mutex<Buckets>,
}

type Buckets = HashMap<(Place, Kind), Bucket>;
type Paces = [Pace; Kind::ALL.len()];

/// Seconds to wait until one more may come.
pub(super) type Wait = u32;

impl Gate {
    pub(super) fn new(rates: &Rates) -> Self {
        Self {
            paces: Mutex::new(paces(rates)),
            strangers: Mutex::default(),
            newcomers: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// Goes by other rates from now on.
    pub(super) fn reload(&self, rates: &Rates) {
        *self.paces.lock().unwrap_or_else(PoisonError::into_inner) = paces(rates);
    }

    /// Takes one of what `place` has left.
    pub(super) fn take(&self, place: Place, kind: Kind, now: Instant) -> Result<(), Wait> {
        let paces = self.paces();
        let pace = paces[kind as usize];
        let mut buckets = self.buckets(kind);
        let bucket = bucket(&mut buckets, (place, kind), &paces, now);
        bucket.refill(pace, now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Ok(())
        } else {
            Err(wait(bucket.tokens, pace))
        }
    }

    /// Whether anything is left, without taking it.
    pub(super) fn check(&self, place: Place, kind: Kind, now: Instant) -> Result<(), Wait> {
        let pace = self.paces()[kind as usize];
        let mut buckets = self.buckets(kind);
        let Some(bucket) = buckets.get_mut(&(place, kind)) else {
            return Ok(());
        };
        bucket.refill(pace, now);
        if bucket.tokens >= 1.0 {
            Ok(())
        } else {
            Err(wait(bucket.tokens, pace))
        }
    }

    /// Gives back what was taken for nothing.
    pub(super) fn give_back(&self, place: Place, kind: Kind) {
        let pace = self.paces()[kind as usize];
        if let Some(bucket) = self.buckets(kind).get_mut(&(place, kind)) {
            bucket.tokens = (bucket.tokens + 1.0).min(pace.burst);
        }
    }

    fn paces(&self) -> Paces {
        *self.paces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn buckets(&self, kind: Kind) -> MutexGuard<'_, Buckets> {
        let buckets = match kind {
            Kind::Known | Kind::Record => &self.known,
            Kind::Request | Kind::Enrollment | Kind::Failure => &self.strangers,
            Kind::Waiting => &self.newcomers,
        };
        buckets.lock().unwrap_or_else(PoisonError::into_inner) // each statement leaves it whole
    }
}

/// The bucket of `key`. Where there is no room even without those that are full again, everybody new shares one.
fn bucket<'b>(
    buckets: &'b mut Buckets,
    key: (Place, Kind),
    paces: &Paces,
    now: Instant,
) -> &'b mut Bucket {
    const SHARED: Place = Place(u128::MAX);
    let mut key = key;
    if buckets.len() >= MOST_SOURCES && !buckets.contains_key(&key) {
        buckets.retain(|(_, kind), bucket| !bucket.is_full(paces[*kind as usize], now));
        if buckets.len() >= MOST_SOURCES {
            key.0 = SHARED;
        }
    }
    buckets
        .entry(key)
        .or_insert_with(|| Bucket::full(paces[key.1 as usize], now))
}

fn wait(tokens: f64, pace: Pace) -> Wait {
    let seconds = ((1.0 - tokens) / pace.per_second).ceil();
    seconds.clamp(1.0, 3600.0) as Wait
}

fn paces(rates: &Rates) -> Paces {
    let per = |seconds: f64, count: u32| Pace {
        per_second: f64::from(count) / seconds,
        burst: f64::from(count),
    };
    let per_minute = |count| per(60.0, count);
    let requests = Pace {
        per_second: f64::from(rates.requests_per_second),
        burst: f64::from(rates.burst.max(1)),
    };
    [
        requests,
        per_minute(rates.enrollments_per_minute),
        per_minute(rates.failures_per_minute),
        Pace {
            per_second: f64::from(rates.known_per_second),
            burst: f64::from(rates.known_burst),
        },
        per_minute(rates.records_per_minute),
        per(86_400.0, rates.waiting_per_day),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    fn gate() -> Gate {
        Gate::new(&Rates {
            requests_per_second: 2,
            burst: 3,
            enrollments_per_minute: 1,
            failures_per_minute: 1,
            known_per_second: 2,
            known_burst: 3,
            records_per_minute: 1,
            waiting_per_day: 2,
        })
    }

    fn place(last: u32) -> Place {
        Place::of(IpAddr::V4(Ipv4Addr::from_bits(last)))
    }

    #[test]
    fn a_source_that_asks_too_often_waits_and_others_do_not() {
        let (gate, now) = (gate(), Instant::now());
        for _ in 0..3 {
            assert_eq!(gate.take(place(1), Kind::Request, now), Ok(()));
        }
        assert_eq!(gate.take(place(1), Kind::Request, now), Err(1));
        assert_eq!(gate.take(place(2), Kind::Request, now), Ok(()));
        assert_eq!(gate.take(place(1), Kind::Enrollment, now), Ok(()));
        let later = now + Duration::from_millis(600);
        assert_eq!(gate.take(place(1), Kind::Request, later), Ok(()));
    }

    #[test]
    fn what_is_given_back_was_not_paid() {
        let (gate, now) = (gate(), Instant::now());
        for _ in 0..100 {
            assert_eq!(gate.take(place(1), Kind::Request, now), Ok(()));
            gate.give_back(place(1), Kind::Request);
        }
    }

    #[test]
    fn newcomers_wait_for_a_day_even_among_a_million() {
        let (gate, now) = (gate(), Instant::now());
        let ask = |source, hours: u64| {
            let later = now + Duration::from_secs(hours * 3600);
            gate.take(place(source), Kind::Waiting, later)
        };
        assert_eq!((ask(1, 0), ask(1, 0)), (Ok(()), Ok(())));
        assert_eq!(ask(1, 0), Err(3600), "or as long as may be said");
        for source in 0..MOST_SOURCES as u32 {
            let _ = gate.take(place(source + 9), Kind::Request, now);
        }
        assert!(ask(1, 11).is_err());
        assert_eq!(ask(1, 12), Ok(()));
        assert!(ask(1, 12).is_err());
    }

    #[test]
    fn a_site_with_many_addresses_is_one_source() {
        let of = |text: &str| Place::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_million_sources_take_no_more_room_than_the_table_has() {
        let (gate, now) = (gate(), Instant::now());
        for source in 0..(MOST_SOURCES as u32 + 1000) {
            let _ = gate.take(place(source), Kind::Request, now);
        }
        assert!(gate.buckets(Kind::Request).len() <= MOST_SOURCES + 1);
        let known = Place::of_known(&Actor::System);
        assert_eq!(
            gate.take(known, Kind::Known, now),
            Ok(()),
            "others have their room"
        );
        assert!(gate.take(place(u32::MAX), Kind::Request, now).is_err());
        let later = now + Duration::from_secs(61);
        assert_eq!(gate.take(place(u32::MAX), Kind::Request, later), Ok(()));
        assert!(gate.buckets(Kind::Request).len() <= 2);
    }
}
