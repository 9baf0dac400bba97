//! Which epoch settings and ceilings somebody named. What is not named stays as it is.

use tidegate_proto::{EpochCeilings, EpochSettings, Span};

/// Epoch settings that were named.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EpochChanges {
    /// Length of an epoch.
    pub epoch: Option<Span>,
    /// How long after its end an epoch is still received.
    pub overlap: Option<Span>,
    /// How long before its start an epoch's grants are released.
    pub lead: Option<Span>,
    /// How long after its end an epoch may be used when no grant for the next has come.
    pub offline_tolerance: Option<Span>,
    /// Validity of a certificate.
    pub certificate: Option<Span>,
}

/// Ceilings that were named.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CeilingChanges {
    /// The longest epoch.
    pub epoch: Option<Span>,
    /// The longest overlap.
    pub overlap: Option<Span>,
    /// The longest lead.
    pub lead: Option<Span>,
    /// The longest span from the start of an epoch to the end of its leases.
    pub lease: Option<Span>,
    /// The longest validity of a certificate.
    pub certificate: Option<Span>,
}

impl EpochChanges {
    /// The settings of a new network; the lead goes with the epoch.
    pub fn founding(&self) -> EpochSettings {
        let defaults = EpochSettings::default();
        let epoch = self.epoch.unwrap_or(defaults.epoch);
        self.applied_to(EpochSettings {
            lead: EpochSettings::default_lead(epoch),
            ..defaults
        })
    }

    /// `settings` with these changes.
    pub fn applied_to(&self, settings: EpochSettings) -> EpochSettings {
        EpochSettings {
            epoch: self.epoch.unwrap_or(settings.epoch),
            overlap: self.overlap.unwrap_or(settings.overlap),
            lead: self.lead.unwrap_or(settings.lead),
            offline_tolerance: self.offline_tolerance.unwrap_or(settings.offline_tolerance),
            certificate: self.certificate.unwrap_or(settings.certificate),
        }
    }
}

impl CeilingChanges {
    /// `ceilings` with these changes.
    pub fn applied_to(&self, ceilings: EpochCeilings) -> EpochCeilings {
        EpochCeilings {
            epoch: self.epoch.unwrap_or(ceilings.epoch),
            overlap: self.overlap.unwrap_or(ceilings.overlap),
            lead: self.lead.unwrap_or(ceilings.lead),
            lease: self.lease.unwrap_or(ceilings.lease),
            certificate: self.certificate.unwrap_or(ceilings.certificate),
        }
    }
}
