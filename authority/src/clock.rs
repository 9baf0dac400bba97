//! The authority's time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_proto::{Span, UnixTime};

/// Tells the time, and never an earlier one than it told before.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> UnixTime + Send + Sync>,
    latest: Arc<AtomicU64>,
}

/// Moves a clock that stands still, for tests and simulations.
#[derive(Clone, Debug)]
pub struct Hand(Arc<AtomicU64>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::from_source(|| {
            let since = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            UnixTime::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        })
    }

    /// A clock that stands at `start` until its hand is moved.
    pub fn manual(start: UnixTime) -> (Self, Hand) {
        let hand = Hand(Arc::new(AtomicU64::new(start.as_millis())));
        let read = hand.clone();
        (
            Self::from_source(move || UnixTime::from_millis(read.0.load(Ordering::SeqCst))),
            hand,
        )
    }

    fn from_source(source: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        Self {
            source: Arc::new(source),
            latest: Arc::default(),
        }
    }

    /// How far the source is behind what was told already: time stands still for as long.
    pub fn behind(&self) -> Span {
        let latest = UnixTime::from_millis(self.latest.load(Ordering::SeqCst));
        latest.since((self.source)())
    }

    /// The time.
    pub fn now(&self) -> UnixTime {
        let now = (self.source)().as_millis();
        UnixTime::from_millis(self.latest.fetch_max(now, Ordering::SeqCst).max(now))
    }
}

impl Hand {
    /// Moves time on.
    pub fn advance(&self, span: Span) {
        self.0.fetch_add(span.as_millis(), Ordering::SeqCst);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
