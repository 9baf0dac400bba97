//! What the passing of time changes.

use std::time::Duration;

use tidegate_proto::UnixTime;
use tidegate_wg::Mono;

use super::Member;
use crate::clock::as_span;
use crate::event::Event;
use crate::file::FileName;
use crate::grants::Untimed;
use crate::input::Wish;
use crate::status::{ClockSource, State, Stopped, Waiting};
use crate::time::{Now, Reason, Timeout};
use tidegate_proto::{Document as _, Standing};

/// How often the wall clock is compared with the other one.
const CLOCK_CHECK: Duration = Duration::from_secs(5);
/// A wall clock that is off by more than this is reported.
const CLOCK_OFF: u64 = 5_000;

impl Member {
    /// Looks for time that passed unseen, and fixes the deadlines of what may be used.
    pub(super) fn watch_clocks(&mut self, now: Now) {
        if self.clock.watch(now) {
            self.circle.outdate();
            self.asks.time.want();
        }
        self.tell_clock(now);
        let trusted = self.policy.current().map(|policy| policy.trust_rtc);
        match trusted {
            Some(true) => self.clock.trust_real_time_clock(now),
            Some(false) => self.clock.distrust_real_time_clock(),
            None => {}
        }
        let fresh = self.clock.is_fresh(now);
        let waited = self.grants.waits_for_time();
        self.grants.time(
            &self.clock,
            if fresh { Untimed::Too } else { Untimed::Wait },
        );
        if waited && !self.grants.waits_for_time() {
            self.saver.now(FileName::Grants, now);
        }
        if self.clock.is_known() && !self.grants.is_empty() {
            // A host that loses power must not get back the time that it has used without the authority.
            self.saver.time_passes(now);
        }
    }

    pub(super) fn tell_clock(&mut self, now: Now) {
        let ahead = self.clock.wall_ahead(now);
        let known = self.clock.source() == ClockSource::Statement;
        let off = known && ahead.unsigned_abs() > CLOCK_OFF;
        let told = self.asks.clock_told;
        if off && told.is_none_or(|told| told.abs_diff(ahead) > CLOCK_OFF) {
            self.outbox.tell(Event::ClockOff(ahead));
        }
        self.asks.clock_told = off.then_some(ahead);
    }

    /// Keys of an earlier genesis that have had their time.
    pub(super) fn retire_keys(&mut self, now: Now) {
        let time = self.clock.time(now);
        if self.asks.retirement.is_some_and(|until| until <= time) {
            self.judge_again(now);
        }
        self.asks.retirement = self.trust.retirement(time);
    }

    /// The own certificate, and leases, whose time is over.
    pub(super) fn end_what_ended(&mut self, now: Now) {
        let time = self.clock.time(now);
        if let Some(own) = self.certificate.current()
            && own.validity().check(time).is_err()
        {
            self.ended = Some(own.not_after);
        }
        if self.grants.forget_ended(now.boot) {
            self.saver.now(FileName::Grants, now);
        }
    }

    /// Switches to the latest epoch that has begun, and forgets those before it when their overlap is over (THREATS M8).
    pub(super) fn turn_epochs(&mut self, now: Now) {
        let time = self.clock.time(now);
        let Some(active) = self.active(&self.usable(now), time) else {
            return;
        };
        self.grants.activate(active, time);
        let since = self.grants.at(active).and_then(|held| held.active_since);
        let over = since.is_some_and(|since| time >= since + as_span(self.overlap()));
        if over && !self.grants.retire_before(active).is_empty() {
            self.saver.now(FileName::Grants, now);
            self.saver.soon(FileName::Floors, now);
        }
    }

    /// What the node is doing.
    pub(super) fn state(&self, now: Now) -> State {
        if self.recent.wish == Wish::Down {
            return State::Down;
        }
        if let Some(stopped) = self.stopped(now) {
            return State::Stopped(stopped);
        }
        if self.running().is_some_and(|told| told.active.is_some()) {
            return State::Up;
        }
        self.waiting(now)
    }

    fn stopped(&self, now: Now) -> Option<Stopped> {
        if let Some(revision) = self.trust.siblings() {
            return Some(Stopped::Siblings(revision));
        }
        if self.keyring().is_none() {
            return Some(Stopped::Untrusted);
        }
        if self.outlived() {
            return Some(Stopped::Untrusted);
        }
        if let Some(out) = self.out() {
            return Some(out);
        }
        match (self.own(now), self.ended) {
            (None, Some(ended)) => Some(Stopped::CertificateEnded(ended)),
            (None, None) if self.certificate.current().is_none() => Some(Stopped::NoCertificate),
            _ => None,
        }
    }

    /// Whether what there was has lost its signers to a succession, and nothing new has come.
    fn outlived(&self) -> bool {
        let since = self.genesis().authority.since;
        let list = self.list.floor().filter(|_| self.list.current().is_none());
        let own = self
            .certificate
            .floor()
            .filter(|_| self.certificate.current().is_none());
        let floors = list.into_iter().chain(own);
        floors.into_iter().any(|(order, _)| order.revision < since)
    }

    /// The entry that puts this node out.
    pub(super) fn out(&self) -> Option<Stopped> {
        let (list, own) = (self.list.current()?, self.certificate.current()?);
        match list.standing(&own.identity, own.serial) {
            Standing::Clear => None,
            Standing::Out(entry) => Some(Stopped::Out {
                kind: entry.kind,
                reason: entry.reason.clone(),
                since: entry.since,
            }),
        }
    }

    fn waiting(&self, now: Now) -> State {
        if self.list.current().is_none() {
            return State::Waiting(Waiting::List);
        }
        if !self.clock.is_known() || self.own(now).is_none() {
            return State::Waiting(Waiting::Time);
        }
        let usable = self.usable(now);
        let begun = self.active(&usable, self.clock.time(now)).is_some();
        if begun && self.running().is_none() {
            let why = self.asks.plane.why().map(str::to_owned);
            return State::Waiting(Waiting::Plane(why));
        }
        if !usable.is_empty() {
            return State::Waiting(Waiting::Epoch);
        }
        let ended = |deadline: Mono| deadline <= now.boot;
        let held = self
            .grants
            .iter()
            .filter(|(_, held)| held.deadline(&self.clock).is_some_and(ended));
        let latest = held
            .map(|(_, held)| held.grant.lease_until)
            .max()
            .max(self.grants.ended());
        match latest {
            Some(at) => State::Stopped(Stopped::LeaseEnded(at)),
            None if self.grants.waits_for_time() => State::Waiting(Waiting::Time),
            None => State::Waiting(Waiting::Grant),
        }
    }

    pub(super) fn tell_state(&mut self, now: Now) {
        let state = self.state(now);
        if self.state.as_ref() != Some(&state) {
            self.outbox.tell(Event::State(state.clone()));
            self.state = Some(state);
        }
    }

    /// When something is due, and what. What was due until now has just been done, or cannot be done now.
    pub(super) fn next_timeout(&self, now: Now) -> Option<Timeout> {
        let time = self.clock.time(now);
        let of = |reason| move |at| Timeout { at, reason };
        let mut due = vec![of(Reason::ClockCheck)(now.boot + CLOCK_CHECK)];
        due.extend(self.epoch_times(now).into_iter().map(of(Reason::Epoch)));
        due.extend(self.end_times(now).into_iter().map(of(Reason::Deadline)));
        let retirement = self.asks.retirement.map(|at| self.clock.when(at, now));
        due.extend(retirement.map(of(Reason::Succession)));
        due.extend(self.asks_due(now, time));
        due.extend(self.saver.next().map(of(Reason::Save)));
        due.retain(|timeout| timeout.at > now.boot);
        due.into_iter().min_by_key(|timeout| timeout.at)
    }

    /// When epochs begin, and when the overlap with the one before is over.
    fn epoch_times(&self, now: Now) -> Vec<Mono> {
        let time = self.clock.time(now);
        let overlap = as_span(self.overlap());
        let begins = self.grants.iter().map(|(_, held)| held.grant.starts);
        let overs = self
            .grants
            .iter()
            .filter_map(|(_, held)| Some(held.active_since? + overlap));
        let to_come = begins.chain(overs).filter(|at| *at > time);
        to_come.map(|at| self.clock.when(at, now)).collect()
    }

    /// When leases and certificates end.
    fn end_times(&self, now: Now) -> Vec<Mono> {
        let time = self.clock.time(now);
        let usable = self.usable(now);
        let leases = usable.iter().map(|(_, _, until)| *until);
        let ends: Vec<UnixTime> = self
            .circle
            .until()
            .into_iter()
            .chain(self.certificate.current().map(|own| own.not_after))
            .filter(|at| *at > time)
            .collect();
        leases
            .chain(ends.into_iter().map(|at| self.clock.when(at, now)))
            .collect()
    }
}
