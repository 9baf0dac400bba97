//! The authority's time on the boot-time clock (THREATS B4).
//!
//! A statement that was asked for at boot-time `b0` and says `T` was made after `b0`: so the authority's clock shows at
//! most `T + (b - b0)` at `b`, and a lease that ends at `L` has not ended by the authority's clock before
//! `b0 + (L - T)`. Whatever the network does to the answer can only make that earlier.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidegate_proto::bound::MOST_STATEMENT_AGE;
use tidegate_proto::{Nonce, Span, TimeStatement, UnixTime};
use tidegate_wg::Mono;

use crate::status::{ClockSource, ClockView};
use crate::time::{BootId, Now};

/// Questions whose answers are waited for.
const MOST_QUESTIONS: usize = 8;
/// A statement gives way to a later one that came by a longer way only when it is this old.
const PREFERRED_FOR: Duration = Duration::from_secs(60);
/// How far the wall clock may gain on the boot-time clock before that counts as time that has passed unseen.
const WALL_TOLERANCE: Span = Span::from_secs(1);

/// One moment at which the authority's time was known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Anchor {
    asked: Mono,
    at: UnixTime,
    /// The wall clock when it was asked.
    wall: UnixTime,
    source: ClockSource,
    /// How far the wall clock has gained since: time that the boot-time clock may have missed. Only ever grows.
    gained: Span,
}

/// How the clock lies in its file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct KeptClock {
    boot: BootId,
    floor: UnixTime,
    /// How far the wall clock was behind the authority's.
    behind_ms: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    anchor: Option<KeptAnchor>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct KeptAnchor {
    /// Whole milliseconds of boot-time, rounded down: earlier is on the safe side.
    asked_ms: Span,
    at: UnixTime,
    wall: UnixTime,
}

/// What is known of the authority's time.
pub(crate) struct Clock {
    boot: BootId,
    anchor: Option<Anchor>,
    floor: UnixTime,
    behind: Span,
    questions: VecDeque<(Nonce, Now)>,
}

impl KeptClock {
    /// The boot that it was kept in.
    pub(crate) fn boot(&self) -> &BootId {
        &self.boot
    }
}

impl Clock {
    pub(crate) fn new(boot: BootId) -> Self {
        Self {
            boot,
            anchor: None,
            floor: UnixTime::default(),
            behind: Span::default(),
            questions: VecDeque::new(),
        }
    }

    /// What was kept counts in the same boot; of another boot only the floor does.
    pub(crate) fn restored(boot: BootId, kept: &KeptClock, now: Now) -> Self {
        let anchor = kept
            .anchor
            .filter(|_| kept.boot == boot)
            .map(|anchor| Anchor {
                asked: Mono(anchor.asked_ms.as_millis().saturating_mul(1_000_000)),
                at: anchor.at,
                wall: anchor.wall,
                source: ClockSource::Statement,
                gained: Span::default(),
            });
        let mut clock = Self {
            anchor: anchor.filter(|anchor| anchor.asked <= now.boot),
            floor: kept.floor,
            behind: kept.behind_ms,
            ..Self::new(boot)
        };
        clock.watch(now);
        let behind_floor = kept.floor.since(clock.running(now).unwrap_or(kept.floor));
        if let Some(anchor) = &mut clock.anchor {
            anchor.gained = anchor.gained + behind_floor;
        }
        clock
    }

    pub(crate) fn keep(&self) -> KeptClock {
        let statement = self
            .anchor
            .filter(|anchor| anchor.source == ClockSource::Statement);
        KeptClock {
            boot: self.boot.clone(),
            floor: self.floor,
            behind_ms: self.behind,
            anchor: statement.map(|anchor| KeptAnchor {
                asked_ms: Span::from_millis(anchor.asked.0 / 1_000_000),
                at: anchor.at,
                wall: anchor.wall,
            }),
        }
    }

    /// After a reboot, takes the real-time clock's word, as far as it is not below what was known before.
    pub(crate) fn trust_real_time_clock(&mut self, now: Now) {
        let at = now.unix + self.behind;
        if self.anchor.is_none() && at >= self.floor && self.floor > UnixTime::default() {
            self.anchor = Some(Anchor {
                asked: now.boot,
                at,
                wall: now.unix,
                source: ClockSource::RealTimeClock,
                gained: Span::default(),
            });
        }
    }

    /// Takes the real-time clock's word back, where the policy does not permit it any more.
    pub(crate) fn distrust_real_time_clock(&mut self) {
        self.anchor = self
            .anchor
            .filter(|anchor| anchor.source == ClockSource::Statement);
    }

    /// Remembers a question, so that its answer can be told from a replay, and its age is known.
    pub(crate) fn ask(&mut self, nonce: Nonce, now: Now) {
        if self.questions.len() == MOST_QUESTIONS {
            self.questions.pop_front();
        }
        self.questions.push_back((nonce, now));
    }

    /// Takes an answer, which has been verified. False if nobody asked, or so long ago that it is worth nothing.
    pub(crate) fn take(&mut self, statement: &TimeStatement, now: Now) -> bool {
        let asked = self
            .questions
            .iter()
            .position(|(nonce, _)| *nonce == statement.nonce);
        let Some((_, asked)) = asked.and_then(|at| self.questions.remove(at)) else {
            return false;
        };
        if now.boot.since(asked.boot) > as_duration(MOST_STATEMENT_AGE) {
            return false;
        }
        let fresh = Anchor {
            asked: asked.boot,
            at: statement.at,
            wall: asked.unix,
            source: ClockSource::Statement,
            gained: Span::default(),
        };
        if self.anchor.is_none_or(|held| held.gives_way_to(&fresh)) {
            self.anchor = Some(fresh);
            self.behind = fresh.at.since(fresh.wall);
        }
        self.raise_floor(now);
        true
    }

    /// Looks for time that passed without the boot-time clock. True if there was some that was not known before.
    pub(crate) fn watch(&mut self, now: Now) -> bool {
        let Some(anchor) = &mut self.anchor else {
            return false;
        };
        let by_wall = now.unix.since(anchor.wall);
        let by_boot = as_span(now.boot.since(anchor.asked));
        let gained = Span::from_millis(by_wall.as_millis().saturating_sub(by_boot.as_millis()));
        let unseen = gained > WALL_TOLERANCE && gained > anchor.gained;
        if unseen {
            anchor.gained = gained;
        }
        unseen
    }

    /// The authority's time, or the best guess where it is not known.
    pub(crate) fn time(&self, now: Now) -> UnixTime {
        self.running(now)
            .unwrap_or_else(|| (now.unix + self.behind).max(self.floor))
    }

    fn running(&self, now: Now) -> Option<UnixTime> {
        let anchor = self.anchor?;
        Some(anchor.at + as_span(now.boot.since(anchor.asked)) + anchor.gained)
    }

    /// Whether leases can be turned into deadlines.
    pub(crate) fn is_known(&self) -> bool {
        self.anchor.is_some()
    }

    pub(crate) fn source(&self) -> ClockSource {
        self.anchor
            .map_or(ClockSource::None, |anchor| anchor.source)
    }

    /// Whether time has passed that only the wall clock has seen.
    pub(crate) fn has_gained(&self) -> bool {
        self.anchor
            .is_some_and(|anchor| anchor.gained > Span::default())
    }

    /// Whether there is a statement new enough for a grant that comes now.
    pub(crate) fn is_fresh(&self, now: Now) -> bool {
        let fresh =
            |anchor: &Anchor| now.boot.since(anchor.asked) <= as_duration(MOST_STATEMENT_AGE);
        self.source() == ClockSource::Statement && self.anchor.as_ref().is_some_and(fresh)
    }

    /// When `time` comes on the boot-time clock, if no time passes unseen.
    pub(crate) fn deadline(&self, time: UnixTime) -> Option<Mono> {
        let anchor = self.anchor?;
        Some(if time >= anchor.at {
            anchor.asked + as_duration(time.since(anchor.at))
        } else {
            anchor.asked - as_duration(anchor.at.since(time))
        })
    }

    /// A deadline, less the time that passed unseen since.
    pub(crate) fn shortened(&self, deadline: Mono) -> Mono {
        let gained = self
            .anchor
            .map_or_else(Span::default, |anchor| anchor.gained);
        deadline - as_duration(gained)
    }

    /// When `time` comes on the boot-time clock, for timers; at once where that is not known.
    pub(crate) fn when(&self, time: UnixTime, now: Now) -> Mono {
        now.boot + as_duration(time.since(self.time(now)))
    }

    pub(crate) fn raise_floor(&mut self, now: Now) {
        if let Some(time) = self.running(now) {
            self.floor = self.floor.max(time);
        }
    }

    pub(crate) fn wall_ahead(&self, now: Now) -> i64 {
        let (wall, time) = (now.unix.as_millis(), self.time(now).as_millis());
        i64::try_from(wall).unwrap_or(i64::MAX) - i64::try_from(time).unwrap_or(i64::MAX)
    }

    pub(crate) fn view(&self, now: Now) -> ClockView {
        let statement = self
            .anchor
            .filter(|anchor| anchor.source == ClockSource::Statement);
        ClockView {
            source: self.source(),
            time: self.time(now),
            wall_ahead: self.wall_ahead(now),
            age: statement.map(|anchor| as_span(now.boot.since(anchor.asked))),
        }
    }
}

impl Anchor {
    /// The tighter of two statements counts, and in any case a later one after a while: clocks drift.
    fn gives_way_to(&self, fresh: &Self) -> bool {
        let held = self.at + as_span(fresh.asked.since(self.asked));
        self.source != ClockSource::Statement
            || self.gained > Span::default()
            || fresh.at <= held
            || fresh.asked.since(self.asked) > PREFERRED_FOR
    }
}

pub(crate) fn as_span(duration: Duration) -> Span {
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

pub(crate) fn as_duration(span: Span) -> Duration {
    Duration::from_millis(span.as_millis())
}
