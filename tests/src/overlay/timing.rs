//! How long things last in a network that is made for a test.

/// Epoch settings, in the words of `tidegate-authority genesis new`.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Length of an epoch.
    pub epoch: &'static str,
    /// How long an epoch is still received after its end.
    pub overlap: &'static str,
    /// How long before its start an epoch's grants are released.
    pub lead: &'static str,
    /// How long nodes go on without the authority after an epoch's end.
    pub offline_tolerance: &'static str,
    /// Validity of a certificate.
    pub certificate: &'static str,
}

impl Timing {
    pub(super) fn arguments(&self) -> [&str; 10] {
        [
            "--epoch",
            self.epoch,
            "--overlap",
            self.overlap,
            "--lead",
            self.lead,
            "--offline-tolerance",
            self.offline_tolerance,
            "--certificate",
            self.certificate,
        ]
    }
}
