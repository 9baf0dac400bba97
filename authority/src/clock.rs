//! The authority's time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tidegate_proto::{Span, UnixTime};

/// Tells the time, and never an earlier one than it told before.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> Sample + Send + Sync>,
    latest: Arc<AtomicU64>,
}

/// What both clocks of a machine showed at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sample {
    /// The time, which people and programs may set.
    pub wall: UnixTime,
    /// Time since the machine was started, which nobody can set. It goes on while the machine sleeps.
    pub boot: Span,
}

/// Moves a clock that stands still, for tests and simulations.
#[derive(Clone, Debug, Default)]
pub struct Hand {
    wall: Arc<AtomicU64>,
    boot: Arc<AtomicU64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::from_source(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let boot = clock_gettime(ClockId::Boottime);
            let boot = boot.tv_sec.saturating_mul(1000) + boot.tv_nsec / 1_000_000;
            Sample {
                wall: UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
                boot: Span::from_millis(u64::try_from(boot).unwrap_or_default()),
            }
        })
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn manual(start: UnixTime) -> (Self, Hand) {
        let hand = Hand::default();
        hand.set_ahead(Span::from_millis(start.as_millis()));
        let read = hand.clone();
        let sample = move || Sample {
            wall: UnixTime::from_millis(read.wall.load(Ordering::SeqCst)),
            boot: Span::from_millis(read.boot.load(Ordering::SeqCst)),
        };
        (Self::from_source(sample), hand)
    }

    fn from_source(source: impl Fn() -> Sample + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            latest: Arc::default(),
        }
    }

    /// How far the source is behind what was told already: time stands still for as long.
    pub fn behind(&self) -> Span {
        let latest = UnixTime::from_millis(self.latest.load(Ordering::SeqCst));
        latest.since((self.source)().wall)
    }

    /// The time.
    pub fn now(&self) -> UnixTime {
        self.sample().wall
    }

    /// The time, and how long the machine has run.
    pub fn sample(&self) -> Sample {
        let Sample { wall, boot } = (self.source)();
        let now = wall.as_millis();
        let latest = self.latest.fetch_max(now, Ordering::SeqCst).max(now);
        Sample {
            wall: UnixTime::from_millis(latest),
            boot,
        }
    }
}

impl Hand {
    /// Lets time pass.
    pub fn advance(&self, span: Span) {
        self.boot.fetch_add(span.as_millis(), Ordering::SeqCst);
        self.set_ahead(span);
    }

    /// Sets the time, as somebody does who is wrong, or was.
    pub fn set_ahead(&self, span: Span) {
        self.wall.fetch_add(span.as_millis(), Ordering::SeqCst);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
