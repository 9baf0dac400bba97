//! The next genesis of a network.

use tidegate_proto::{
    Anchor, AuthoritySet, Digest, Genesis, Ipv4Range, KeyId, Origin, Revision, Signed, SigningKey,
    Span, TlsTrust, TrustChain, UnixTime,
};

use super::{AuthorityKeys, CeilingChanges, CeremonyError, EpochChanges, bounded, distinct};

/// What is to change. Everything that is not said stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    /// The authority's new keys, in place of all the old ones.
    pub keys: Option<AuthorityKeys>,
    /// How many of the keys must sign. Must be said when their number changes.
    pub threshold: Option<u32>,
    /// How long from now the old keys count as well; not at all if absent or zero. Must be said while an earlier
    /// overlap still runs, because that one ends.
    pub overlap: Option<Span>,
    /// IPv4 ranges beside those that are there.
    pub more_ipv4: Vec<Ipv4Range>,
    /// Ceilings.
    pub ceilings: CeilingChanges,
    /// Epoch settings.
    pub epochs: EpochChanges,
    /// Other anchors, in place of the old ones.
    pub anchors: Option<Vec<Anchor>>,
    /// Another policy that must be in force first, or none.
    pub policy: Option<Option<Digest>>,
    /// Other URLs, in place of the old ones.
    pub urls: Option<Vec<Origin>>,
    /// Another way to recognise the authority's TLS key.
    pub tls: Option<TlsTrust>,
}

impl Succession {
    /// The revision after the one that `chain` has in force, signed by the same root.
    pub fn sign(
        self,
        chain: &TrustChain,
        root: &SigningKey,
        now: UnixTime,
    ) -> Result<Signed<Genesis>, CeremonyError> {
        let current = chain.genesis();
        refuse_other_root(current, root)?;
        if now < current.issued_at {
            let before = current.issued_at;
            return Err(CeremonyError::ClockBehind { now, before });
        }
        let running = running_overlap(current, now);
        if let (Some(until), None) = (running, self.overlap) {
            return Err(CeremonyError::OverlapRunning(until));
        }
        let changed = self.applied_to(current, now)?;
        if running.is_none() && is_same(&changed, current) {
            return Err(CeremonyError::NoChange);
        }
        let next = Genesis {
            revision: next_revision(current)?,
            previous: Some(current.digest()),
            issued_at: now,
            ..changed
        };
        let signed = Signed::sign(&next, &[root])?;
        chain.clone().succeed(&signed)?;
        Ok(signed)
    }

    fn applied_to(self, current: &Genesis, now: UnixTime) -> Result<Genesis, CeremonyError> {
        let ceilings = self.ceilings.applied_to(current.ceilings);
        let ranges = [current.ipv4.to_vec(), self.more_ipv4].concat();
        let anchors = match self.anchors {
            Some(anchors) => bounded("anchors", anchors)?,
            None => current.anchors.clone(),
        };
        let urls = match self.urls {
            Some(urls) => distinct("URLs", urls)?,
            None => current.urls.clone(),
        };
        let authority = authority_set(self.keys, self.threshold, current)?;
        Ok(Genesis {
            authority: overlapping(authority, self.overlap, current, now)?,
            ipv4: bounded("IPv4 ranges", ranges)?,
            ceilings,
            epochs: self.epochs.applied_to(current.epochs),
            anchors,
            policy: self.policy.unwrap_or(current.policy),
            urls,
            tls: self.tls.unwrap_or_else(|| current.tls.clone()),
            ..current.clone()
        })
    }
}

fn refuse_other_root(current: &Genesis, root: &SigningKey) -> Result<(), CeremonyError> {
    let (want, got) = (KeyId::of(&current.root), KeyId::of(&root.public_key()));
    if want == got {
        Ok(())
    } else {
        Err(CeremonyError::OtherRoot { want, got })
    }
}

/// Until when the keys of the revision before `current` count; a chain holds those of one revision only, so that
/// the next succession ends it.
fn running_overlap(current: &Genesis, now: UnixTime) -> Option<UnixTime> {
    current
        .authority
        .previous_until
        .filter(|&until| now < until)
}

/// Whether the two say the same, an overlap that has ended aside.
fn is_same(changed: &Genesis, current: &Genesis) -> bool {
    let mut current = current.clone();
    current.authority.previous_until = None;
    *changed == current
}

fn next_revision(current: &Genesis) -> Result<Revision, CeremonyError> {
    current.revision.next().ok_or(CeremonyError::LastRevision)
}

/// The keys and threshold to come. Fewer signatures never suffice unless somebody said so; and where nothing changes,
/// what the keys have signed goes on counting.
fn authority_set(
    keys: Option<AuthorityKeys>,
    threshold: Option<u32>,
    genesis: &Genesis,
) -> Result<AuthoritySet, CeremonyError> {
    let current = &genesis.authority;
    let keys = match keys {
        Some(keys) => keys,
        None => AuthorityKeys::new(current.keys.to_vec())?,
    };
    let (had, now) = (current.keys.len(), keys.count());
    let threshold = match threshold {
        Some(threshold) => threshold,
        None if had == now => current.threshold,
        None => {
            let threshold = current.threshold;
            return Err(CeremonyError::ThresholdUnsaid {
                had,
                threshold,
                now,
            });
        }
    };
    let mut next = keys.with_threshold(threshold, next_revision(genesis)?)?;
    if is_same_authority(&next, current) {
        next.since = current.since;
    }
    Ok(next)
}

fn is_same_authority(one: &AuthoritySet, other: &AuthoritySet) -> bool {
    (&one.keys, one.threshold) == (&other.keys, other.threshold)
}

/// `next`, beside which the current keys count for a while if `overlap` says so.
fn overlapping(
    next: AuthoritySet,
    overlap: Option<Span>,
    current: &Genesis,
    now: UnixTime,
) -> Result<AuthoritySet, CeremonyError> {
    let Some(overlap) = overlap.filter(|span| *span != Span::default()) else {
        return Ok(next);
    };
    if is_same_authority(&next, &current.authority) {
        return Err(CeremonyError::NothingRetires);
    }
    let most = current.ceilings.certificate;
    if overlap > most {
        return Err(CeremonyError::OverlapTooLong { got: overlap, most });
    }
    Ok(AuthoritySet {
        previous_until: Some(now + overlap),
        ..next
    })
}
