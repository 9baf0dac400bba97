//! Whether the time keeps pace with the time that passes.
//!
//! A lease binds a node for so long by a clock that nobody can set. If the authority's own time is set ahead, leases end
//! later by it than the ledger says. So what counts in the ledger is moved along, and nothing is forgotten early. What was
//! told of a bound stays as it was told; that a revocation is complete is said when it is.

use std::sync::PoisonError;

use tidegate_proto::bound::LedgerGap;
use tidegate_proto::{Span, UnixTime};

use super::audit::{Entry, Event};
use super::certificates::longest_use;
use super::genesis::ceilings;
use super::{Actor, Authority};
use crate::clock::Sample;
use crate::store::{StoreError, Tx, audit, corrupt, genesis, grant, holder, list, revocation};

/// The least that counts as set: together with what two clocks differ by in a lease, bounds allow for less.
const LEAST_STEP: Span = Span::from_secs(1);
/// Clocks differ by one part in so many, which bounds allow for as well.
const DRIFT: u64 = 2000;
/// By how much what is on record may be ahead of the time at a start: another server's clock, or a correction.
const RECORDED_AHEAD: Span = Span::from_secs(5);

/// What the clocks showed last, and how far the time was set ahead of late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    last: Sample,
    /// What the time has gained by being corrected, and has not been counted as set yet.
    gained: Span,
    ahead: Span,
    /// When, by the clock that nobody sets, nothing of before counts any more.
    ahead_until: Span,
}

impl Pace {
    pub(super) fn new(first: Sample) -> Self {
        Self {
            last: first,
            gained: Span::default(),
            ahead: Span::default(),
            ahead_until: Span::default(),
        }
    }

    /// What the time has gained with this sample, and how much of that is more than clocks differ by.
    fn gain(&self, sample: &Sample) -> (Span, Span) {
        let told = (self.gained + sample.wall.since(self.last.wall)).as_millis();
        let passed = sample
            .boot
            .as_millis()
            .saturating_sub(self.last.boot.as_millis());
        let gained = told.saturating_sub(passed);
        let odd = gained.saturating_sub(passed / DRIFT);
        (Span::from_millis(gained), Span::from_millis(odd))
    }

    /// How far the time was set ahead, if it was: at once, or little by little.
    fn step(&self, sample: &Sample) -> Option<Span> {
        let (gained, odd) = self.gain(sample);
        (odd > LEAST_STEP).then_some(gained)
    }

    /// Takes the next sample. What was released before a step counts for `longest`.
    fn take(&mut self, sample: Sample, longest: Span) {
        let (step, (_, odd)) = (self.step(&sample), self.gain(&sample));
        self.gained = odd;
        if let Some(step) = step {
            self.gained = Span::default();
            self.ahead = self.ahead + step;
            self.ahead_until = sample.boot + longest;
        } else if sample.boot >= self.ahead_until {
            self.ahead = Span::default();
        }
        self.last = sample;
    }

    /// The time of the last sample, from which on the ledger is right.
    pub(super) fn kept_to(&self) -> UnixTime {
        self.last.wall
    }

    /// The time that has come even if the clock was not wrong before it was set, but is now.
    pub(super) fn sure(&self) -> UnixTime {
        self.last.wall - self.ahead
    }
}

impl Authority {
    pub(super) fn pace(&self) -> Pace {
        *self.0.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the time was set ahead, and moves the ledger along if it was.
    pub(super) async fn keep_pace(&self) -> Result<(), StoreError> {
        let _alone = self.0.pacing.lock().await;
        let (before, sample) = (self.pace(), self.clock().sample());
        if let Some(step) = before.step(&sample) {
            let since = before.kept_to();
            self.effect(async move |this, tx| this.move_ledger(tx, since, step).await)
                .await?;
        }
        let longest = longest_use(&self.trust().chain.genesis().ceilings);
        let mut pace = self.0.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.take(sample, longest);
        Ok(())
    }

    /// Has whatever counted at `since` end later by `step`; but nothing later than what is released now, since it was
    /// released before.
    async fn move_ledger(
        &self,
        tx: &mut Tx,
        since: UnixTime,
        step: Span,
    ) -> Result<(), StoreError> {
        let (now, latest) = (tx.now(), self.latest_stop(tx).await?);
        let connection = tx.connection();
        grant::postpone(connection, since, step, now).await?;
        holder::postpone(connection, since, step, latest).await?;
        for gap in revocation::gaps(connection).await? {
            if gap.stopped_at() > since {
                let until_latest = latest.since(gap.until);
                let longest = gap.longest.max(until_latest.min(gap.longest + step));
                revocation::note_gap(connection, &LedgerGap { longest, ..gap }).await?;
            }
        }
        tracing::warn!(by = %step, "the machine's clock was set ahead; leases that run are counted longer by as much");
        let entry = Entry::new(Event::ClockSetAhead, &Actor::System, "the machine's clock");
        self.record(tx, entry.span("by", step)).await
    }

    /// When what is released now has stopped at the latest, by whatever ceilings there ever were.
    async fn latest_stop(&self, tx: &mut Tx) -> Result<UnixTime, StoreError> {
        let now = tx.now();
        let revisions = genesis::all(tx.connection()).await?;
        let ceilings = ceilings(&revisions).map_err(|error| corrupt("genesis", error))?;
        let stops = ceilings
            .iter()
            .map(|one| LedgerGap::new(now, one).stopped_at());
        Ok(stops.max().unwrap_or(now))
    }

    /// At a start: if the time on record has not come yet, a clock was ahead, and may have had releases forgotten that
    /// still count. Whatever is missing was released before now.
    pub(super) async fn note_time_ahead(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        let audited = audit::last_at(tx.connection()).await?;
        let listed = list::signed_at(tx.connection()).await?;
        let recorded = audited.max(listed.map(|(_, at)| at)).unwrap_or_default();
        if recorded <= now + RECORDED_AHEAD {
            return Ok(());
        }
        let gap = LedgerGap::new(now, &self.trust().chain.genesis().ceilings);
        revocation::note_gap(tx.connection(), &gap).await?;
        tracing::warn!(%recorded, "the last record is of a time that has not come yet: the machine's clock was ahead, or is behind; bounds count with the longest lease from now");
        let entry = Entry::new(Event::LedgerGap, &Actor::System, "release ledger");
        let entry = entry.time("until", now).time("recorded", recorded);
        self.record(tx, entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Span = Span::from_hours(49);

    fn at(wall: u64, boot: u64) -> Sample {
        Sample {
            wall: UnixTime::from_millis(wall * 1000),
            boot: Span::from_secs(boot),
        }
    }

    #[test]
    fn time_that_passes_is_no_step_however_long_it_is() {
        let pace = Pace::new(at(1_000_000, 50));
        assert_eq!(pace.step(&at(1_000_005, 55)), None);
        assert_eq!(pace.step(&at(1_090_000, 90_050)), None, "slept for a day");
        assert_eq!(pace.step(&at(1_090_040, 90_050)), None, "and was corrected");
        assert_eq!(pace.step(&at(1_000_000, 3_650)), None, "set back");
        let step = pace.step(&at(1_009_005, 55));
        assert_eq!(step, Some(Span::from_secs(9000)));
    }

    #[test]
    fn time_that_is_set_ahead_little_by_little_is_counted_all_the_same() {
        let mut pace = Pace::new(at(1_000_000, 0));
        let mut counted = Span::default();
        for round in 1..=600 {
            // Half a second more than the five that have passed.
            let wall = UnixTime::from_millis(1_000_000_000 + round * 5_500);
            let boot = Span::from_secs(round * 5);
            let sample = Sample { wall, boot };
            counted = counted + pace.step(&sample).unwrap_or_default();
            pace.take(sample, LONGEST);
        }
        assert!(counted > Span::from_secs(295), "{counted}");
        assert!(counted <= Span::from_secs(300), "{counted}");
    }

    #[test]
    fn what_is_sure_lags_behind_a_step_until_nothing_of_before_counts() {
        let mut pace = Pace::new(at(1_000_000, 50));
        pace.take(at(1_009_005, 55), LONGEST);
        assert_eq!(pace.sure(), at(1_000_005, 0).wall);
        assert_eq!(pace.kept_to(), at(1_009_005, 0).wall);
        pace.take(at(1_009_105, 155), LONGEST);
        assert_eq!(pace.sure(), at(1_000_105, 0).wall);
        let later = 55 + LONGEST.as_millis() / 1000;
        pace.take(at(1_008_950 + later, later), LONGEST);
        assert_eq!(pace.sure(), pace.kept_to());
    }
}
