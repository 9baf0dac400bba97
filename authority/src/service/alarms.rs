//! What a stranger or a caller without the right can cause as often as it likes: counted in memory, and recorded in
//! bulk, so that nobody can fill the disk with the record of its own refusals.
//!
//! Each kind of alarm has a window of a minute. When it closes, each source in it becomes one audit record with the
//! number of times; the sources beyond the first few are one record together. While it goes on, each window is twice
//! as long as the one before, up to an hour. A crash loses the open window.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::PoisonError;

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
}

#[derive(Debug)]
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

    fn into_entries(self, alarm: Alarm) -> Vec<Entry> {
        let apart = self.sources.into_iter().map(|(source, tally)| {
            let from = source.network.map(|network| network.to_string());
            entry(
                alarm,
                &source.actor,
                from.as_deref().unwrap_or("unknown source"),
                tally,
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

    /// What has to be recorded of windows that have closed, or of all if the authority stops.
    fn take(&mut self, now: UnixTime, stops: bool) -> Vec<Entry> {
        let due: Vec<Alarm> = self
            .open
            .iter()
            .filter(|(_, window)| stops || window.closes() <= now)
            .map(|(alarm, _)| *alarm)
            .collect();
        let mut entries = Vec::new();
        for alarm in due {
            if let Some(window) = self.open.remove(&alarm) {
                self.closed.insert(alarm, (now, window.length));
                entries.extend(window.into_entries(alarm));
            }
        }
        entries
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

    /// Records the alarms whose window has closed, or all of them.
    pub(super) async fn record_alarms(&self, tx: &mut Tx, stops: bool) -> Result<(), StoreError> {
        let now = tx.now();
        let entries = {
            let mut alarms = self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner);
            alarms.take(now, stops)
        };
        for entry in entries {
            self.record(tx, entry).await?;
        }
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
            for entry in alarms.take(at(second), false) {
                records += 1;
                counted += entry.number("count").unwrap();
            }
        }
        for entry in alarms.take(at(24 * 3600), true) {
            counted += entry.number("count").unwrap();
        }
        assert_eq!(counted, 100 * 24 * 3600);
        assert!(records <= (SOURCES + 1) * 32, "{records} records a day");
    }

    #[test]
    fn after_some_quiet_a_window_is_a_minute_again() {
        let mut alarms = Alarms::default();
        alarms.add(Alarm::Replayed, source(1), at(0));
        assert!(alarms.take(at(59), false).is_empty());
        assert_eq!(alarms.take(at(60), false).len(), 1);
        alarms.add(Alarm::Replayed, source(1), at(61));
        assert!(alarms.take(at(180), false).is_empty());
        assert_eq!(alarms.take(at(181), false).len(), 1);
        alarms.add(Alarm::Replayed, source(1), at(4000));
        assert_eq!(alarms.take(at(4060), false).len(), 1);
    }

    #[test]
    fn an_ipv6_source_is_its_network() {
        let one: IpAddr = "2001:db8:1:2:3::4".parse().unwrap();
        assert_eq!(network_of(one), "2001:db8:1:2::".parse::<IpAddr>().unwrap());
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(network_of(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
