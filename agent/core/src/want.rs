//! What is wanted until it is there, and tried again with pauses.

use std::time::Duration;

use tidegate_wg::Mono;

use crate::backoff::Backoff;

/// Something that is asked for until it is there.
pub(crate) struct Want {
    wanted: bool,
    backoff: Backoff,
}

impl Want {
    pub(crate) const fn new(pauses: &'static [u64]) -> Self {
        Self {
            wanted: false,
            backoff: Backoff::new(pauses),
        }
    }

    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    pub(crate) fn done(&mut self) {
        self.wanted = false;
        self.backoff.cancel();
    }

    pub(crate) fn hurry(&mut self) {
        self.backoff.cancel();
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// It is there, and is not asked for again before the longest pause is over.
    pub(crate) fn rest(&mut self, now: Mono) {
        self.wanted = false;
        self.backoff.rest(now);
    }

    /// Once for each time that it was wanted, however that ends; the pauses stay.
    pub(crate) fn once(&mut self, now: Mono) -> bool {
        let due = self.is_due(now);
        self.wanted &= !due;
        due
    }

    /// True if it is to be asked for now.
    pub(crate) fn is_due(&mut self, now: Mono) -> bool {
        let due = self.wanted && self.backoff.is_due(now);
        if due {
            self.backoff.attempt(now);
        }
        due
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.backoff.next().filter(|_| self.wanted)
    }
}

/// A data plane that ran this long did not fail at its start.
const STEADY: Duration = Duration::from_secs(60);

/// Starts of the data plane: at once, and after failures with pauses.
pub(crate) struct Starts {
    backoff: Backoff,
    begun: Option<Mono>,
    /// Why the last one is gone, until one runs.
    why: Option<String>,
}

impl Starts {
    /// The first is begun at once.
    pub(crate) const fn new(pauses: &'static [u64]) -> Self {
        Self {
            backoff: Backoff::new(pauses),
            begun: None,
            why: None,
        }
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.backoff.next()
    }

    pub(crate) fn try_begin(&mut self, now: Mono) -> bool {
        let due = self.backoff.is_due(now);
        if due {
            self.begun = Some(now);
        }
        due
    }

    pub(crate) fn succeeded(&mut self) {
        self.why = None;
    }

    /// Why the last one is gone, if none runs since.
    pub(crate) fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }

    pub(crate) fn failed(&mut self, why: String, now: Mono) {
        self.why = Some(why);
        if self.begun.is_some_and(|begun| now.since(begun) > STEADY) {
            self.backoff.cancel();
        }
        self.backoff.attempt(now);
    }
}
