//! What a stranger or a caller without the right can cause as often as it likes: counted in memory, and recorded in
//! bulk, so that nobody can fill the disk with the record of its own refusals.
//!
//! Each kind of alarm has a window of a minute. When it closes, each source in it becomes one audit record with the
//! number of times; the sources beyond the first few are one record together. While it goes on, each window is twice
//! as long as the one before, up to an hour. A crash loses the open window.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError};

use tidegate_proto::{Span, UnixTime};

use super::audit::{Entry, Event};
use super::{Actor, Authority};
use crate::store::{StoreError, Tx};

/// A window at first.
const SHORTEST: Span = Span::from_minutes(1);
/// A window at last.
const LONGEST: Span = Span::from_hours(1);
/// Sources of one window that are told apart.
const SOURCES: usize = 16;

/// Something that has no effect, and that somebody should hear of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Alarm {
    /// Not who it says.
    AuthFailed,
    /// A request that was here before.
    Replayed,
    /// Somebody known, who may not.
    AccessRefused,
    /// A token that has expired or was taken back.
    TokenRefused,
    /// Too many requests.
    RateLimited,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 5] = [
        Self::AuthFailed,
        Self::Replayed,
        Self::AccessRefused,
        Self::TokenRefused,
        Self::RateLimited,
    ];

    /// The event as which it is recorded.
    pub fn event(self) -> Event {
        match self {
            Self::AuthFailed => Event::AuthFailed,
            Self::Replayed => Event::RequestReplayed,
            Self::AccessRefused => Event::AccessRefused,
            Self::TokenRefused => Event::TokenRefused,
            Self::RateLimited => Event::RateLimited,
        }
    }
}

/// Who caused an alarm, and from where: an IPv6 source has its whole /64.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Source {
    actor: Actor,
    network: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u64,
    first: UnixTime,
    last: UnixTime,
}

impl Tally {
    fn add(tally: Option<Self>, now: UnixTime) -> Self {
        let tally = tally.unwrap_or(Self {
            count: 0,
            first: now,
            last: now,
        });
        Self {
            count: tally.count.saturating_add(1),
            last: now,
            ..tally
        }
    }

    /// What was counted since it was as `known`.
    fn since(self, known: Option<&Self>) -> Option<Self> {
        let Some(known) = known else {
            return Some(self);
        };
        let count = self.count.saturating_sub(known.count);
        (count > 0).then_some(Self {
            count,
            first: known.last,
            last: self.last,
        })
    }
}

#[derive(Clone, Debug)]
struct Window {
    opened: UnixTime,
    length: Span,
    sources: BTreeMap<Source, Tally>,
    others: Option<Tally>,
}

impl Window {
    fn closes(&self) -> UnixTime {
        self.opened + self.length
    }

    fn add(&mut self, source: Source, now: UnixTime) {
        let told_apart = self.sources.len() < SOURCES || self.sources.contains_key(&source);
        if told_apart {
            let tally = Tally::add(self.sources.get(&source).copied(), now);
            self.sources.insert(source, tally);
        } else {
            self.others = Some(Tally::add(self.others, now));
        }
    }

    /// What came in since it was as `known`.
    fn since(mut self, known: &Self) -> Self {
        self.sources.retain(|source, tally| {
            let left = tally.since(known.sources.get(source));
            *tally = left.unwrap_or(*tally);
            left.is_some()
        });
        self.others = self
            .others
            .and_then(|tally| tally.since(known.others.as_ref()));
        self
    }

    fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.others.is_none()
    }

    fn entries(&self, alarm: Alarm) -> Vec<Entry> {
        let apart = self.sources.iter().map(|(source, tally)| {
            let from = source.network.map(|network| network.to_string());
            entry(
                alarm,
                &source.actor,
                from.as_deref().unwrap_or("unknown source"),
                *tally,
            )
        });
        let others = self
            .others
            .map(|tally| entry(alarm, &Actor::Stranger, "other sources", tally));
        apart.chain(others).collect()
    }
}

fn entry(alarm: Alarm, actor: &Actor, from: &str, tally: Tally) -> Entry {
    Entry::new(alarm.event(), actor, from)
        .count("count", tally.count)
        .time("first", tally.first)
        .time("last", tally.last)
}

/// The windows that are open, and how long the last of each kind was.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    open: BTreeMap<Alarm, Window>,
    closed: BTreeMap<Alarm, (UnixTime, Span)>,
}

impl Alarms {
    fn add(&mut self, alarm: Alarm, source: Source, now: UnixTime) {
        let window = match self.open.remove(&alarm) {
            Some(window) => window,
            None => self.window(alarm, now),
        };
        self.open.entry(alarm).or_insert(window).add(source, now);
    }

    /// A window that follows the one before at once is twice as long.
    fn window(&self, alarm: Alarm, now: UnixTime) -> Window {
        let length = match self.closed.get(&alarm) {
            Some((closed, length)) if now.since(*closed) < *length => {
                (*length + *length).min(LONGEST)
            }
            _ => SHORTEST,
        };
        Window {
            opened: now,
            length,
            sources: BTreeMap::new(),
            others: None,
        }
    }

    /// The windows that have closed, or all if the authority stops. They stay until they are [on record](Self::recorded).
    fn due(&self, now: UnixTime, stops: bool) -> BTreeMap<Alarm, Window> {
        let due = |window: &Window| stops || window.closes() <= now;
        let due = self.open.iter().filter(|(_, window)| due(window));
        due.map(|(alarm, window)| (*alarm, window.clone()))
            .collect()
    }

    /// Takes out what is on record by now. What came in meanwhile goes on in a window of its own.
    fn recorded(&mut self, due: BTreeMap<Alarm, Window>, now: UnixTime) {
        for (alarm, known) in due {
            let Some(window) = self.open.remove(&alarm) else {
                continue;
            };
            self.closed.insert(alarm, (now, window.length));
            let left = window.since(&known);
            if !left.is_empty() {
                let fresh = self.window(alarm, now);
                self.open.insert(
                    alarm,
                    Window {
                        sources: left.sources,
                        others: left.others,
                        ..fresh
                    },
                );
            }
        }
    }
}

impl Authority {
    /// Counts something that somebody should hear of. It is recorded within a minute, or later while it goes on.
    pub fn alarm(&self, alarm: Alarm, actor: Actor, from: Option<IpAddr>) {
        let source = Source {
            actor,
            network: from.map(network_of),
        };
        let now = self.clock().now();
        let mut alarms = self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner);
        alarms.add(alarm, source, now);
    }

    /// Records the alarms whose window has closed, or all of them. If that does not get to the disk, they are counted on.
    pub(super) async fn record_alarms(&self, tx: &mut Tx, stops: bool) -> Result<(), StoreError> {
        let now = tx.now();
        let due = {
            let alarms = self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner);
            alarms.due(now, stops)
        };
        for (alarm, window) in &due {
            for entry in window.entries(*alarm) {
                self.record(tx, entry).await?;
            }
        }
        let inner = Arc::clone(&self.0);
        tx.after_commit(move || {
            let mut alarms = inner.alarms.lock().unwrap_or_else(PoisonError::into_inner);
            alarms.recorded(due, now);
        });
        Ok(())
    }
}

/// An IPv4 address, or the /64 of an IPv6 address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(byte: u8) -> Source {
        Source {
            actor: Actor::Stranger,
            network: Some(network_of([192, 0, 2, byte].into())),
        }
    }

    /// Has what is due be on record.
    fn take(alarms: &mut Alarms, now: UnixTime, stops: bool) -> Vec<Entry> {
        let due = alarms.due(now, stops);
        let entries = due
            .iter()
            .flat_map(|(alarm, window)| window.entries(*alarm));
        let entries = entries.collect();
        alarms.recorded(due, now);
        entries
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_millis(1_000_000 + seconds * 1000)
    }

    #[test]
    fn a_flood_becomes_a_handful_of_records_an_hour() {
        let (mut alarms, mut records, mut counted) = (Alarms::default(), 0, 0);
        for second in 0..24 * 3600 {
            for byte in 0..100 {
                alarms.add(Alarm::AuthFailed, source(byte), at(second));
            }
            for entry in take(&mut alarms, at(second), false) {
                records += 1;
                counted += entry.number("count").unwrap();
            }
        }
        for entry in take(&mut alarms, at(24 * 3600), true) {
            counted += entry.number("count").unwrap();
        }
        assert_eq!(counted, 100 * 24 * 3600);
        assert!(records <= (SOURCES + 1) * 32, "{records} records a day");
    }

    #[test]
    fn after_some_quiet_a_window_is_a_minute_again() {
        let mut alarms = Alarms::default();
        alarms.add(Alarm::Replayed, source(1), at(0));
        assert!(take(&mut alarms, at(59), false).is_empty());
        assert_eq!(take(&mut alarms, at(60), false).len(), 1);
        alarms.add(Alarm::Replayed, source(1), at(61));
        assert!(take(&mut alarms, at(180), false).is_empty());
        assert_eq!(take(&mut alarms, at(181), false).len(), 1);
        alarms.add(Alarm::Replayed, source(1), at(4000));
        assert_eq!(take(&mut alarms, at(4060), false).len(), 1);
    }

    #[test]
    fn what_does_not_get_to_the_disk_is_counted_on() {
        let mut alarms = Alarms::default();
        alarms.add(Alarm::Replayed, source(1), at(0));
        let lost = alarms.due(at(60), false);
        assert_eq!(lost.len(), 1);
        alarms.add(Alarm::Replayed, source(1), at(61));
        let due = alarms.due(at(62), false);
        let [entry] = &due[&Alarm::Replayed].entries(Alarm::Replayed)[..] else {
            panic!("{due:?}");
        };
        assert_eq!(entry.number("count"), Some(2));
        alarms.add(Alarm::Replayed, source(1), at(63));
        alarms.add(Alarm::Replayed, source(2), at(63));
        alarms.recorded(due, at(63));
        let rest = take(&mut alarms, at(64), true);
        let counts: Vec<_> = rest.iter().map(|entry| entry.number("count")).collect();
        assert_eq!(counts, [Some(1), Some(1)]);
        assert!(take(&mut alarms, at(65), true).is_empty());
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        assert_eq!(network_of(one), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network_of(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
