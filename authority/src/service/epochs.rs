//! Epochs: opened on time, also after downtime; none skipped, none opened twice.

use tidegate_proto::{EpochNumber, EpochSecret, EpochSettings, EpochWindow, UnixTime};

use super::audit::{Entry, Event};
use super::authority::rng;
use super::{Actor, Authority, Caller, EpochError, EpochView, Operation};
use crate::signer::{SecretPlace, SignerError};
use crate::store::epoch::Epoch;
use crate::store::{Counted as _, StoreError, Tx, counter, epoch, grant, recovery};

impl Authority {
    /// Opens the next epoch if its lead has begun; the first if there is none. One is open ahead at most.
    pub(super) async fn open_due(&self, tx: &mut Tx) -> Result<(), EpochError> {
        let now = tx.now();
        let ceilings = self.trust().chain.genesis().ceilings;
        let settings = self.settings(tx.connection()).await?;
        settings.check(&ceilings)?;
        if self.replace_unfit(tx).await? {
            return Ok(());
        }
        let mut last = epoch::last(tx.connection()).await?;
        if let Some(void) = last.take_if(|last| last.starts > now + ceilings.lead) {
            self.note_void(tx, &void).await?; // opened by a clock that was ahead; nobody uses it
        } else if last
            .as_ref()
            .is_some_and(|last| now < opening(last, &settings))
        {
            return Ok(());
        }
        if let Some(last) = last.as_ref().filter(|last| last.ends < now) {
            self.note_gap(tx, last).await?;
        }
        let number = next_number(tx).await?;
        let starts = last.map_or(now, |last| last.ends.max(now));
        let window = EpochWindow {
            number,
            starts,
            ends: starts + settings.epoch,
        };
        let opened = self.draw_epoch(window, 0, &settings)?;
        self.keep_opened(tx, &opened).await
    }

    /// Begins an epoch at once where a succession lowered the ceilings below the running one or the one ahead: nodes
    /// refuse the grants of those. True if there was need to.
    async fn replace_unfit(&self, tx: &mut Tx) -> Result<bool, EpochError> {
        let now = tx.now();
        let ceilings = self.trust().chain.genesis().ceilings;
        let fits = |epoch: &Epoch| {
            epoch.ends.since(epoch.starts) <= ceilings.epoch
                && epoch.lease_until.since(epoch.starts) <= ceilings.lease
        };
        let live = epoch::live(tx.connection(), now).await?;
        let unfit = live.iter().filter(|epoch| epoch.ends > now && !fits(epoch));
        let unfit: Vec<EpochNumber> = unfit.map(|epoch| epoch.number).collect();
        if unfit.is_empty() {
            return Ok(false);
        }
        for number in unfit {
            grant::withdraw_all(tx.connection(), number).await?;
        }
        let fresh = self.rotate_within(tx).await?;
        let entry = Entry::new(Event::EpochRotated, &Actor::System, fresh.number)
            .count("redraw", fresh.redraw)
            .with(
                "why",
                "the genesis in force allows no epoch as long as the one before",
            );
        self.record(tx, entry).await?;
        Ok(true)
    }

    async fn keep_opened(&self, tx: &mut Tx, opened: &Epoch) -> Result<(), EpochError> {
        let now = tx.now();
        epoch::open(tx.connection(), opened, now).await?;
        counter::raise(tx.connection(), "epoch", opened.number.stored()).await?;
        let entry = Entry::new(Event::EpochOpened, &Actor::System, opened.number)
            .time("starts", opened.starts)
            .time("ends", opened.ends);
        Ok(self.record(tx, entry).await?)
    }

    /// Says for how long there was no epoch, as after downtime.
    async fn note_gap(&self, tx: &mut Tx, last: &Epoch) -> Result<(), StoreError> {
        let entry = Entry::new(Event::EpochGap, &Actor::System, last.number)
            .time("from", last.ends)
            .time("until", tx.now());
        self.record(tx, entry).await
    }

    /// Says that an epoch is left out that lies further ahead than any lead.
    async fn note_void(&self, tx: &mut Tx, void: &Epoch) -> Result<(), StoreError> {
        let entry = Entry::new(Event::EpochVoid, &Actor::System, void.number);
        self.record(tx, entry.time("starts", void.starts)).await
    }

    /// An epoch with a fresh secret.
    fn draw_epoch(
        &self,
        window: EpochWindow,
        redraw: u32,
        settings: &EpochSettings,
    ) -> Result<Epoch, EpochError> {
        let place = SecretPlace {
            network: self.network(),
            epoch: window.number,
            redraw,
        };
        Ok(Epoch {
            number: window.number,
            redraw,
            starts: window.starts,
            ends: window.ends,
            lease_until: window.lease_until(settings),
            secret: self.draw_secret(place)?,
            complete: false,
        })
    }

    fn draw_secret(&self, place: SecretPlace) -> Result<Vec<u8>, EpochError> {
        let mut rng = rng().map_err(|error| StoreError::Failed(error.to_string()))?;
        let secret = EpochSecret::generate(&mut rng);
        Ok(self.0.at_rest.encrypt(place, &secret, &mut rng)?)
    }

    /// Draws the secret of every epoch that has not begun again: who is out now may hold the one before.
    pub(super) async fn redraw_ahead<E>(&self, tx: &mut Tx) -> Result<(), E>
    where
        E: From<StoreError> + From<SignerError>,
    {
        let now = tx.now();
        for mut ahead in epoch::live(tx.connection(), now).await? {
            if ahead.starts <= now {
                continue;
            }
            ahead.redraw = ahead.redraw.saturating_add(1);
            let place = SecretPlace {
                network: self.network(),
                epoch: ahead.number,
                redraw: ahead.redraw,
            };
            ahead.secret = self.draw_secret(place).map_err(|error| match error {
                EpochError::Signer(error) => E::from(error),
                other => E::from(StoreError::Failed(other.to_string())),
            })?;
            epoch::redraw(tx.connection(), &ahead).await?;
            let entry = Entry::new(Event::EpochRedrawn, &Actor::System, ahead.number);
            self.record(tx, entry.count("redraw", ahead.redraw)).await?;
        }
        Ok(())
    }

    /// Starts a new epoch at once. One that was opened ahead is drawn again and begins now.
    pub async fn rotate(&self, caller: Caller) -> Result<EpochView, EpochError> {
        self.effect(async move |this, tx| -> Result<EpochView, EpochError> {
            this.admit(tx, &caller, Operation::RotateEpoch).await?;
            let fresh = this.rotate_within(tx).await?;
            let entry = Entry::new(Event::EpochRotated, &caller.actor, fresh.number);
            this.record(tx, entry.count("redraw", fresh.redraw)).await?;
            this.has_work(tx);
            Ok(view(&fresh, 0))
        })
        .await
    }

    async fn rotate_within(&self, tx: &mut Tx) -> Result<Epoch, EpochError> {
        let now = tx.now();
        let settings = self.settings(tx.connection()).await?;
        settings.check(&self.trust().chain.genesis().ceilings)?;
        let ceilings = self.trust().chain.genesis().ceilings;
        let last = epoch::last(tx.connection()).await?;
        let is_ahead = |last: &&Epoch| last.starts > now && last.starts <= now + ceilings.lead;
        if let Some(ahead) = last.as_ref().filter(is_ahead) {
            let window = EpochWindow {
                number: ahead.number,
                starts: now,
                ends: now + settings.epoch,
            };
            let fresh = self.draw_epoch(window, ahead.redraw.saturating_add(1), &settings)?;
            epoch::redraw(tx.connection(), &fresh).await?;
            return Ok(fresh);
        }
        let window = EpochWindow {
            number: next_number(tx).await?,
            starts: now,
            ends: now + settings.epoch,
        };
        let fresh = self.draw_epoch(window, 0, &settings)?;
        self.keep_opened(tx, &fresh).await?;
        Ok(fresh)
    }

    /// The epochs that count now: the current one, and the next once it is open.
    pub async fn epochs(&self) -> Result<Vec<EpochView>, StoreError> {
        let mut connection = self.0.store.read().await?;
        let mut views = Vec::new();
        for epoch in epoch::live(&mut connection, self.clock().now()).await? {
            let released = grant::released(&mut connection, epoch.number, epoch.redraw).await?;
            views.push(view(&epoch, released));
        }
        Ok(views)
    }

    /// When the next epoch has to be opened.
    pub(super) async fn next_opening(&self) -> Result<UnixTime, StoreError> {
        let mut connection = self.0.store.read().await?;
        let settings = self.settings(&mut connection).await?;
        let last = epoch::last(&mut connection).await?;
        Ok(last.map_or_else(UnixTime::default, |last| opening(&last, &settings)))
    }
}

/// When the epoch behind `last` is opened: one lead before it begins, and not before `last` itself has begun, however
/// long a new policy's lead is.
fn opening(last: &Epoch, settings: &EpochSettings) -> UnixTime {
    (last.ends - settings.lead).max(last.starts)
}

/// One more than any number that was ever given out, in this database or, after a restore, in a later one.
async fn next_number(tx: &mut Tx) -> Result<EpochNumber, EpochError> {
    recovery::refuse(tx.connection()).await?;
    let counted: Option<EpochNumber> = counter::last(tx.connection(), "epoch").await?;
    let last = epoch::last(tx.connection()).await?;
    let highest = counted
        .max(last.map(|last| last.number))
        .unwrap_or_default();
    highest.next().ok_or(EpochError::NoNumbers)
}

fn view(epoch: &Epoch, released: u32) -> EpochView {
    EpochView {
        number: epoch.number,
        redraw: epoch.redraw,
        starts: epoch.starts,
        ends: epoch.ends,
        lease_until: epoch.lease_until,
        released,
    }
}
