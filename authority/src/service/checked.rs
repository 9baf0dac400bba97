//! Certificates whose signatures were found good: each epoch asks for those of every member again.
//!
//! Only the signature is remembered, of what exactly was signed; whether a node may have a grant is asked each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tidegate_proto::{
    Certificate, Digest, NodeId, Revision, Roster, SealingKeyHash, Serial, Signed, UnixTime,
    VerifyError,
};

use super::authority::Trust;

/// More are not remembered: those of as many members as there may be, and the ones before them.
const MOST: usize = 2 * Roster::MOST_ENTRIES;

/// To whom a good certificate belongs, and to which key is sealed for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) node: NodeId,
    pub(super) serial: Serial,
    pub(super) sealing: SealingKeyHash,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Holder {
    fn of(certificate: &Certificate) -> Self {
        Self {
            node: certificate.node,
            serial: certificate.serial,
            sealing: certificate.sealing,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }
}

/// What was found good under one genesis revision.
#[derive(Default)]
struct Found {
    under: Option<Revision>,
    holders: HashMap<Digest, Holder>,
}

/// Certificates that were found good.
#[derive(Default)]
pub(crate) struct Checked(Mutex<Found>);

impl Checked {
    /// To whom `certificate` belongs, if it counts now.
    pub(super) fn holder(
        &self,
        certificate: &Signed<Certificate>,
        trust: &Trust,
        now: UnixTime,
    ) -> Result<Holder, VerifyError> {
        let digest = certificate.digest();
        if let Some(known) = self.known(trust.revision(), digest, now) {
            return Ok(known);
        }
        let certificate = certificate.verify(&trust.keyring, now)?;
        // The keys of an earlier revision stop counting while this one is in force.
        if certificate.revision == trust.revision() {
            self.remember(&certificate, digest);
        }
        Ok(Holder::of(&certificate))
    }

    /// Remembers what this server has just signed.
    pub(super) fn issued(&self, certificate: &Certificate, signed: &Signed<Certificate>) {
        self.remember(certificate, signed.digest());
    }

    fn known(&self, under: Revision, digest: Digest, now: UnixTime) -> Option<Holder> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = found.holders.get(&digest).copied();
        holder.filter(|holder| {
            found.under == Some(under) && holder.not_before <= now && now < holder.not_after
        })
    }

    fn remember(&self, certificate: &Certificate, digest: Digest) {
        let under = certificate.revision;
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if found.under != Some(under) || found.holders.len() >= MOST {
            *found = Found {
                under: Some(under),
                ..Found::default()
            };
        }
        found.holders.insert(digest, Holder::of(certificate));
    }
}
