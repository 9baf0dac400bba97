//! How long things last: epochs, overlaps, leases and certificates, and the ceilings that genesis sets on them.

use serde::{Deserialize, Serialize};

use crate::document::{Certificate, EpochGrant};
use crate::id::EpochNumber;
use crate::time::{Span, UnixTime};

/// Why epoch settings, or a grant made under them, are refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Shorter than anything that can work.
    #[error("{what} is {got}; it must be at least {least}")]
    TooShort {
        /// Which setting.
        what: &'static str,
        /// Its value.
        got: Span,
        /// The least value.
        least: Span,
    },
    /// Longer than the ceiling, or than another setting allows.
    #[error("{what} is {got}; {limit} allows at most {most}")]
    TooLong {
        /// Which setting.
        what: &'static str,
        /// Its value.
        got: Span,
        /// What limits it.
        limit: &'static str,
        /// The limit.
        most: Span,
    },
}

/// How long epochs, overlaps, leases and certificates last in a network.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochSettings {
    /// Length of an epoch.
    #[serde(rename = "epoch_ms")]
    pub epoch: Span,
    /// How long after its end an epoch is still received.
    #[serde(rename = "overlap_ms")]
    pub overlap: Span,
    /// How long before its start an epoch's grants are released.
    #[serde(rename = "lead_ms")]
    pub lead: Span,
    /// How long after its end an epoch may be used when no grant for the next has come.
    #[serde(rename = "offline_tolerance_ms")]
    pub offline_tolerance: Span,
    /// Validity of a certificate.
    #[serde(rename = "certificate_ms")]
    pub certificate: Span,
}

impl EpochSettings {
    /// The shortest epoch.
    pub const LEAST_EPOCH: Span = Span::from_secs(2);
    /// The shortest overlap.
    pub const LEAST_OVERLAP: Span = Span::from_millis(500);
    /// The shortest lead.
    pub const LEAST_LEAD: Span = Span::from_millis(100);
    /// The shortest certificate.
    pub const LEAST_CERTIFICATE: Span = Span::from_secs(10);

    /// The lead that goes with an epoch unless a policy says otherwise.
    pub const fn default_lead(epoch: Span) -> Span {
        epoch.divided_by(5)
    }

    /// From the start of an epoch to the end of its leases.
    pub fn lease(&self) -> Span {
        self.epoch + self.offline_tolerance
    }

    /// The longest that a revoked node can be talked to by a node that hears nothing: it may just have got the
    /// grant for an epoch that begins a lead from now.
    pub fn worst_case(&self) -> Span {
        self.lead + self.lease()
    }

    /// Whether the settings work together, in whatever network.
    pub fn check_floors(&self) -> Result<(), SettingsError> {
        let half_epoch = self.epoch.divided_by(2);
        at_least("the epoch", self.epoch, Self::LEAST_EPOCH)?;
        at_least("the overlap", self.overlap, Self::LEAST_OVERLAP)?;
        at_least("the lead", self.lead, Self::LEAST_LEAD)?;
        at_least(
            "the certificate validity",
            self.certificate,
            Self::LEAST_CERTIFICATE,
        )?;
        // Else the lease would end while the epoch is still to be received.
        at_least(
            "the offline tolerance",
            self.offline_tolerance,
            self.overlap,
        )?;
        at_most("the overlap", self.overlap, "half an epoch", half_epoch)?;
        at_most("the lead", self.lead, "one epoch", self.epoch)
    }

    /// Whether the settings work together and lie within `ceilings`.
    pub fn check(&self, ceilings: &EpochCeilings) -> Result<(), SettingsError> {
        self.check_floors()?;
        let lease = "the lease (epoch and offline tolerance)";
        at_most("the epoch", self.epoch, CEILING, ceilings.epoch)?;
        at_most("the overlap", self.overlap, CEILING, ceilings.overlap)?;
        at_most("the lead", self.lead, CEILING, ceilings.lead)?;
        at_most(lease, self.lease(), CEILING, ceilings.lease)?;
        at_most(
            "the certificate validity",
            self.certificate,
            CEILING,
            ceilings.certificate,
        )
    }
}

impl EpochSettings {
    /// The same as far as `ceilings` let it, and the most that they do beyond that. Sound if these are sound settings and
    /// any settings lie within the ceilings.
    #[must_use]
    pub fn within(self, ceilings: &EpochCeilings) -> Self {
        let lease = ceilings.lease.as_millis();
        let lease_beyond = |part: Span| Span::from_millis(lease.saturating_sub(part.as_millis()));
        let overlap = self.overlap.min(ceilings.overlap);
        let overlap = overlap.min(lease_beyond(Self::LEAST_EPOCH));
        // The offline tolerance is never less than the overlap, so the lease has to hold that as well.
        let epoch = self.epoch.min(ceilings.epoch).min(lease_beyond(overlap));
        Self {
            epoch,
            overlap: overlap.min(epoch.divided_by(2)),
            lead: self.lead.min(ceilings.lead).min(epoch),
            offline_tolerance: self.offline_tolerance.min(lease_beyond(epoch)),
            certificate: self.certificate.min(ceilings.certificate),
        }
    }

    /// What is other than in `before`, for people.
    pub fn changes_since(&self, before: &Self) -> String {
        let each = |settings: &Self| {
            [
                ("epoch", settings.epoch),
                ("overlap", settings.overlap),
                ("lead", settings.lead),
                ("offline tolerance", settings.offline_tolerance),
                ("certificate", settings.certificate),
            ]
        };
        let pairs = each(before).into_iter().zip(each(self));
        let changed = pairs.filter(|(before, after)| before != after);
        let texts =
            changed.map(|((name, before), (_, after))| format!("{name} {before} to {after}"));
        texts.collect::<Vec<_>>().join(", ")
    }
}

impl Default for EpochSettings {
    fn default() -> Self {
        let epoch = Span::from_minutes(15);
        Self {
            epoch,
            overlap: Span::from_secs(30),
            lead: Self::default_lead(epoch),
            offline_tolerance: Span::from_hours(1),
            certificate: Span::from_hours(24),
        }
    }
}

const CEILING: &str = "the genesis ceiling";

fn at_least(what: &'static str, got: Span, least: Span) -> Result<(), SettingsError> {
    if got < least {
        Err(SettingsError::TooShort { what, got, least })
    } else {
        Ok(())
    }
}

fn at_most(
    what: &'static str,
    got: Span,
    limit: &'static str,
    most: Span,
) -> Result<(), SettingsError> {
    if got > most {
        Err(SettingsError::TooLong {
            what,
            got,
            limit,
            most,
        })
    } else {
        Ok(())
    }
}

/// The most that any policy and any grant of the network may ask for, fixed by the root.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct EpochCeilings {
    /// The longest epoch.
    #[serde(rename = "epoch_ms")]
    pub epoch: Span,
    /// The longest overlap.
    #[serde(rename = "overlap_ms")]
    pub overlap: Span,
    /// The longest lead.
    #[serde(rename = "lead_ms")]
    pub lead: Span,
    /// The longest span from the start of an epoch to the end of its leases.
    #[serde(rename = "lease_ms")]
    pub lease: Span,
    /// The longest validity of a certificate.
    #[serde(rename = "certificate_ms")]
    pub certificate: Span,
}

impl EpochCeilings {
    /// Whether a grant that is held at `now` keeps within the ceilings (THREATS B8); a deeper prefetch would
    /// lengthen the bound as well.
    pub(crate) fn check_grant(
        &self,
        grant: &EpochGrant,
        now: UnixTime,
    ) -> Result<(), SettingsError> {
        let ahead = "the time until the grant's epoch begins";
        at_most(
            "the grant's epoch",
            grant.ends.since(grant.starts),
            CEILING,
            self.epoch,
        )?;
        at_most(
            "the grant's lease",
            grant.lease_until.since(grant.starts),
            CEILING,
            self.lease,
        )?;
        at_most(ahead, grant.starts.since(now), CEILING, self.lead)
    }

    /// Whether a certificate's validity keeps within the ceilings. Part of its verification.
    pub(crate) fn check_certificate(&self, certificate: &Certificate) -> Result<(), SettingsError> {
        let validity = certificate.not_after.since(certificate.not_before);
        at_most(
            "the certificate's validity",
            validity,
            CEILING,
            self.certificate,
        )
    }
}

impl Default for EpochCeilings {
    fn default() -> Self {
        Self {
            epoch: Span::from_hours(4),
            overlap: Span::from_minutes(10),
            lead: Span::from_hours(1),
            lease: Span::from_hours(48),
            certificate: Span::from_hours(7 * 24),
        }
    }
}

/// One epoch's place in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EpochWindow {
    /// Its number.
    pub number: EpochNumber,
    /// When sending begins.
    pub starts: UnixTime,
    /// When sending passes to the next epoch.
    pub ends: UnixTime,
}

impl EpochWindow {
    /// When this epoch's grants may be released.
    pub fn release_from(&self, settings: &EpochSettings) -> UnixTime {
        self.starts - settings.lead
    }

    /// Until when the epoch is still received by those who have the next.
    pub fn received_until(&self, settings: &EpochSettings) -> UnixTime {
        self.ends + settings.overlap
    }

    /// Until when those who have no later grant may use the epoch.
    pub fn lease_until(&self, settings: &EpochSettings) -> UnixTime {
        self.ends + settings.offline_tolerance
    }

    /// The epoch after this one: it begins where this one ends, or at `now` if that has passed.
    /// `None` at the end of numbers.
    pub fn following(&self, settings: &EpochSettings, now: UnixTime) -> Option<Self> {
        self.followed_at(self.ends.max(now), settings)
    }

    /// The epoch that follows if this one is ended at `now`.
    pub fn rotated(&self, settings: &EpochSettings, now: UnixTime) -> Option<Self> {
        self.followed_at(now.max(self.starts), settings)
    }

    fn followed_at(&self, starts: UnixTime, settings: &EpochSettings) -> Option<Self> {
        Some(Self {
            number: self.number.next()?,
            starts,
            ends: starts + settings.epoch,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_the_default_ceilings() {
        assert_eq!(
            EpochSettings::default().check(&EpochCeilings::default()),
            Ok(())
        );
        assert_eq!(
            EpochSettings::default().worst_case(),
            Span::from_minutes(3 + 15 + 60)
        );
    }

    #[test]
    fn the_smallest_settings_work() {
        let least = EpochSettings {
            epoch: EpochSettings::LEAST_EPOCH,
            overlap: EpochSettings::LEAST_OVERLAP,
            lead: EpochSettings::default_lead(EpochSettings::LEAST_EPOCH),
            offline_tolerance: EpochSettings::LEAST_OVERLAP,
            certificate: EpochSettings::LEAST_CERTIFICATE,
        };
        assert_eq!(least.check(&EpochCeilings::default()), Ok(()));
    }

    #[test]
    fn each_setting_has_a_floor_and_a_ceiling() {
        let ceilings = EpochCeilings::default();
        let refused = |change: fn(&mut EpochSettings)| {
            let mut settings = EpochSettings::default();
            change(&mut settings);
            settings.check(&ceilings).is_err()
        };
        assert!(refused(|s| s.epoch = Span::from_millis(1999)));
        assert!(refused(|s| s.epoch = ceilings_epoch_and_a_bit()));
        assert!(refused(|s| s.overlap = Span::from_millis(499)));
        assert!(refused(|s| s.overlap = Span::from_minutes(8)));
        assert!(refused(|s| s.lead = Span::from_millis(99)));
        assert!(refused(|s| s.lead = Span::from_minutes(16)));
        assert!(refused(|s| s.offline_tolerance = Span::from_hours(48)));
        assert!(refused(|s| s.offline_tolerance = s.overlap.divided_by(2)));
        assert!(refused(|s| s.certificate = Span::from_millis(9999)));
        assert!(refused(|s| s.certificate = Span::from_hours(169)));
    }

    #[test]
    fn settings_are_fitted_within_whatever_ceilings_some_settings_keep() {
        let secs = Span::from_secs;
        let least = Span::from_millis(2500);
        for lease in [least, secs(60), secs(600), secs(1200)] {
            for epoch in [secs(2), secs(60), secs(600)] {
                for overlap in [EpochSettings::LEAST_OVERLAP, secs(30), secs(600)] {
                    let ceilings = EpochCeilings {
                        epoch,
                        overlap,
                        lead: secs(1),
                        lease,
                        certificate: secs(3600),
                    };
                    let fitted = EpochSettings::default().within(&ceilings);
                    assert_eq!(fitted.check(&ceilings), Ok(()), "{ceilings:?}");
                    assert_eq!(fitted.within(&ceilings), fitted);
                }
            }
        }
        let kept = EpochSettings::default();
        assert_eq!(kept.within(&EpochCeilings::default()), kept);
    }

    #[test]
    fn what_changed_is_told_in_words() {
        let before = EpochSettings::default();
        let after = EpochSettings {
            epoch: Span::from_minutes(10),
            ..before
        };
        assert_eq!(after.changes_since(&before), "epoch 15m to 10m");
    }

    fn ceilings_epoch_and_a_bit() -> Span {
        EpochCeilings::default().epoch + Span::from_millis(1)
    }

    #[test]
    fn no_epoch_is_skipped_after_downtime_and_none_begins_in_the_past() {
        let settings = EpochSettings::default();
        let at = UnixTime::from_millis;
        let first = EpochWindow {
            number: EpochNumber::new(7).unwrap(),
            starts: at(0),
            ends: at(900_000),
        };
        let on_time = first.following(&settings, at(100)).unwrap();
        assert_eq!((on_time.number.value(), on_time.starts), (8, first.ends));
        let late = first.following(&settings, at(5_000_000)).unwrap();
        assert_eq!(
            (late.number.value(), late.starts, late.ends),
            (8, at(5_000_000), at(5_900_000))
        );
        let rotated = first.rotated(&settings, at(100)).unwrap();
        assert_eq!((rotated.number.value(), rotated.starts), (8, at(100)));
    }
}
