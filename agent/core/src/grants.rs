//! The keys to the epochs at hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_proto::{
    Authority, EpochGrant, EpochNumber, GrantKey, KeyId, Keyring, SealError, UnixTime, Verified,
    VerifyError,
};
use tidegate_wg::Mono;

use crate::clock::Clock;
use crate::kept::{Kept, Secret};
use crate::status::ClockSource;

/// Previous, current and next: more than a network ever needs at once, and what the engine has room for.
const MOST: usize = 3;

/// Why a grant was not taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum GrantError {
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("it is another node's")]
    OtherNode,
    #[error("its epoch {0} is over here; older keys never come back")]
    Over(EpochNumber),
    #[error("its epoch has been drawn {have} times, and this is the drawing of {got}")]
    Redrawn { have: u32, got: u32 },
    #[error("another key for the same drawing of the epoch; the authority's key may be stolen")]
    OtherKey,
    #[error("its certificate does not count any more")]
    Revoked,
    #[error("the sealed key is not the one that it names")]
    KeyId,
}

/// A grant, opened.
pub(crate) struct Held {
    pub(crate) grant: Verified<EpochGrant>,
    pub(crate) key: GrantKey,
    /// When its lease ends, and who vouched for the time.
    ends: Option<(Mono, ClockSource)>,
    /// When it came into use, by the authority's time.
    pub(crate) active_since: Option<UnixTime>,
}

/// How grants lie in their file.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptGrants {
    grants: Vec<KeptGrant>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<EpochNumber>,
    /// The end of the latest lease that has ended, so that a restart still says why nothing flows.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<UnixTime>,
}

#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptGrant {
    pub(crate) grant: Kept<EpochGrant>,
    pub(crate) key: Secret,
}

/// The grants at hand, by epoch.
#[derive(Default)]
pub(crate) struct Grants {
    held: BTreeMap<EpochNumber, Held>,
    retired: Option<EpochNumber>,
    /// The end of the latest lease that has ended.
    ended: Option<UnixTime>,
}

impl Held {
    pub(crate) fn new(grant: Verified<EpochGrant>, key: GrantKey) -> Result<Self, GrantError> {
        if key.id() != grant.key {
            return Err(GrantError::KeyId);
        }
        Ok(Self {
            grant,
            key,
            ends: None,
            active_since: None,
        })
    }

    /// Which secret it is: changes exactly when every pair's key does.
    pub(crate) fn secret(&self) -> (u32, KeyId) {
        (self.grant.redraw, self.grant.key)
    }

    /// Fixes when the lease ends. The authority's word replaces the real-time clock's; of two words of the authority the
    /// earlier end counts.
    fn time(&mut self, clock: &Clock) {
        let Some(end) = clock.deadline(self.grant.lease_until) else {
            return;
        };
        self.ends = Some(match self.ends {
            Some((held, ClockSource::Statement)) => (held.min(end), ClockSource::Statement),
            _ => (end, clock.source()),
        });
    }

    /// When its lease ends on the boot-time clock; `None` while it may not be used at all.
    pub(crate) fn deadline(&self, clock: &Clock) -> Option<Mono> {
        self.ends.map(|(end, _)| clock.shortened(end))
    }
}

impl Grants {
    pub(crate) fn keep(&self) -> KeptGrants {
        // One that still waits for the authority's time would, after a restart, get a time that is older than it.
        let timed = self.held.values().filter(|held| held.ends.is_some());
        let grants = timed.map(|held| KeptGrant {
            grant: Kept(held.grant.signed().clone()),
            key: Secret::new(held.key.expose()),
        });
        KeptGrants {
            grants: grants.collect(),
            retired: self.retired,
            ended: self.ended,
        }
    }

    /// Nothing at hand, and all up to `retired` over.
    pub(crate) fn after(retired: Option<EpochNumber>) -> Self {
        Self {
            retired,
            ..Self::default()
        }
    }

    /// The epoch up to which all are over.
    pub(crate) fn retired(&self) -> Option<EpochNumber> {
        self.retired
    }

    /// Whether a grant is new here: of a later epoch, a later drawing, or sealed anew.
    pub(crate) fn judge(&self, grant: &EpochGrant) -> Result<bool, GrantError> {
        if self.retired.is_some_and(|retired| grant.epoch <= retired) {
            return Err(GrantError::Over(grant.epoch));
        }
        let Some(held) = self.held.get(&grant.epoch) else {
            return Ok(true);
        };
        let (have, got) = (held.grant.redraw, grant.redraw);
        if got < have {
            return Err(GrantError::Redrawn { have, got });
        }
        if got == have && held.grant.key != grant.key {
            return Err(GrantError::OtherKey);
        }
        let place = |grant: &EpochGrant| (grant.revision, grant.serial, grant.list);
        Ok(got > have || place(grant) > place(&held.grant))
    }

    /// Puts a grant at hand. The oldest gives way.
    pub(crate) fn hold(&mut self, mut held: Held) {
        let epoch = held.grant.epoch;
        if let Some(before) = self.held.remove(&epoch)
            && before.secret() == held.secret()
        {
            held.active_since = before.active_since;
        }
        self.held.insert(epoch, held);
        while self.held.len() > MOST {
            self.held.pop_first();
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (EpochNumber, &Held)> {
        self.held.iter().map(|(epoch, held)| (*epoch, held))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn at(&self, epoch: EpochNumber) -> Option<&Held> {
        self.held.get(&epoch)
    }

    /// Fixes the deadlines: of all where the authority's time is fresh, else of those only that have one or were restored.
    pub(crate) fn time(&mut self, clock: &Clock, whom: Untimed) {
        for held in self.held.values_mut() {
            if whom == Untimed::Too || held.ends.is_some() {
                held.time(clock);
            }
        }
    }

    /// Whether one waits for the authority's time.
    pub(crate) fn waits_for_time(&self) -> bool {
        self.held.values().any(|held| held.ends.is_none())
    }

    pub(crate) fn activate(&mut self, epoch: EpochNumber, since: UnixTime) {
        if let Some(held) = self.held.get_mut(&epoch) {
            held.active_since.get_or_insert(since);
        }
    }

    /// Forgets every epoch before `epoch`, for good. Gives those that were at hand.
    pub(crate) fn retire_before(&mut self, epoch: EpochNumber) -> Vec<EpochNumber> {
        let last = epoch.value().checked_sub(1).and_then(EpochNumber::new);
        self.retired = self.retired.max(last);
        let kept = self.held.split_off(&epoch);
        let gone = std::mem::replace(&mut self.held, kept);
        gone.into_keys().collect()
    }

    /// Erases the keys whose lease is over beyond doubt.
    pub(crate) fn forget_ended(&mut self, now: Mono) -> bool {
        let ended = |held: &Held| {
            held.ends
                .is_some_and(|(end, source)| end <= now && source == ClockSource::Statement)
        };
        let latest = self
            .held
            .values()
            .filter(|held| ended(held))
            .map(|held| held.grant.lease_until)
            .max();
        self.note_ended(latest);
        let before = self.held.len();
        self.held.retain(|_, held| !ended(held));
        before != self.held.len()
    }

    /// A lease has ended at this time.
    pub(crate) fn note_ended(&mut self, at: Option<UnixTime>) {
        self.ended = self.ended.max(at);
    }

    /// The end of the latest lease that has ended.
    pub(crate) fn ended(&self) -> Option<UnixTime> {
        self.ended
    }

    /// Judges all again under another keyring. True if one does not count any more.
    pub(crate) fn judge_again(
        &mut self,
        keyring: Option<&Keyring<Authority>>,
        time: UnixTime,
    ) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| {
            keyring.is_some_and(|keyring| held.grant.judge_again(keyring, time).is_ok())
        });
        before != self.held.len()
    }
}

/// Whether grants without a deadline get one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Untimed {
    /// They do: the authority's time is fresh, or they were taken when it was.
    Too,
    /// They wait.
    Wait,
}

impl KeptGrants {
    pub(crate) fn into_parts(self) -> (Vec<KeptGrant>, Option<EpochNumber>, Option<UnixTime>) {
        (self.grants, self.retired, self.ended)
    }
}
