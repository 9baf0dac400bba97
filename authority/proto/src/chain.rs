//! The genesis documents of one network, each signed by its root and naming the one before.

use std::sync::Arc;

use crate::document::{Document, DocumentError, Genesis};
use crate::envelope::Signed;
use crate::id::{GenesisHash, NetworkId, Revision};
use crate::keyring::{Authority, KeySet, Keyring, Root};
use crate::order::Accepted;
use crate::time::UnixTime;
use crate::verify::{Verified, VerifyError};

/// Why a genesis was not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SuccessionError {
    /// Not the genesis that the invite or configuration names.
    #[error(
        "this genesis hashes to {got}, and {want} is trusted; fetch the right file or ask who invited you"
    )]
    OtherGenesis {
        /// The hash that is trusted.
        want: GenesisHash,
        /// The hash of what came.
        got: GenesisHash,
    },
    /// Not signed by the root, or broken.
    #[error(transparent)]
    Refused(#[from] VerifyError),
    /// A revision that does not follow directly.
    #[error("revision {got} cannot follow revision {have}; fetch the ones between, in order")]
    Gap {
        /// The revision in force.
        have: Revision,
        /// The revision that came.
        got: Revision,
    },
    /// It names another predecessor than the one in force.
    #[error("revision {0} does not name the genesis in force as its predecessor")]
    OtherPredecessor(Revision),
    /// The root key may not change.
    #[error("revision {0} names another root key")]
    OtherRoot(Revision),
    /// The root signed two documents for one revision: its key is stolen or misused.
    #[error(
        "the root has signed two different documents for revision {0}; nothing is trusted until an operator has found out why"
    )]
    Siblings(Revision),
}

/// The genesis in force, and how it came to be.
///
/// What the authority signed counts while the keys of the revision that it names count. A succession that keeps the
/// keys may keep that too ([`AuthoritySet::since`](crate::AuthoritySet)); one that changes them ends it, at once or after an
/// overlap. Then nodes have no revocation list in force, and talk to nobody, until the new keys have signed one.
///
/// A chain that starts at a later revision does not know the keys before it, and takes no part in their overlap.
/// Whoever keeps a chain over restarts keeps the siblings too, and shows them to it again.
#[derive(Clone, Debug)]
pub struct TrustChain {
    current: Verified<Genesis>,
    authority: KeySet,
    /// The authority keys before these, the revisions that they signed under, and until when they count.
    previous: Option<Retired>,
    /// The hashes of all revisions up to the current one, the oldest known first.
    history: Vec<GenesisHash>,
    siblings: Option<Revision>,
}

#[derive(Clone, Debug)]
struct Retired {
    keys: KeySet,
    revisions: (Revision, Revision),
    until: UnixTime,
}

impl TrustChain {
    /// Starts at the genesis whose hash was handed over by a trusted way, such as an invite.
    pub fn pinned(genesis: &Signed<Genesis>, want: GenesisHash) -> Result<Self, SuccessionError> {
        let got = genesis.digest();
        if got != want {
            return Err(SuccessionError::OtherGenesis { want, got });
        }
        Self::trusting(genesis)
    }

    /// Starts at a genesis that itself was handed over by a trusted way, such as a file from the ceremony.
    pub fn trusting(genesis: &Signed<Genesis>) -> Result<Self, SuccessionError> {
        let root = Keyring::of_root(&genesis.read()?);
        let current = genesis.verify(&root, UnixTime::default())?;
        let authority = authority_keys(&current)?;
        let history = vec![current.digest()];
        Ok(Self {
            current,
            authority,
            previous: None,
            history,
            siblings: None,
        })
    }

    /// Puts the next revision in force. One that was in force before changes nothing; a second document for a
    /// known revision stops all trust.
    pub fn succeed(&mut self, genesis: &Signed<Genesis>) -> Result<Accepted, SuccessionError> {
        self.refuse_after_siblings()?;
        let next = genesis.verify(&Keyring::of_root(&self.current), UnixTime::default())?;
        if let Some(known) = self.hash_of(next.revision) {
            return self.compare(known, &next);
        }
        if self.current.revision.next() != Some(next.revision) {
            return Err(SuccessionError::Gap {
                have: self.current.revision,
                got: next.revision,
            });
        }
        if next.previous != Some(self.current.digest()) {
            return Err(SuccessionError::OtherPredecessor(next.revision));
        }
        if next.root != self.current.root {
            return Err(SuccessionError::OtherRoot(next.revision));
        }
        self.check_since(&next)?;
        self.put_in_force(next)?;
        Ok(Accepted::New)
    }

    fn refuse_after_siblings(&self) -> Result<(), SuccessionError> {
        self.siblings
            .map_or(Ok(()), |revision| Err(SuccessionError::Siblings(revision)))
    }

    fn compare(
        &mut self,
        known: GenesisHash,
        other: &Verified<Genesis>,
    ) -> Result<Accepted, SuccessionError> {
        if other.digest() == known {
            return Ok(Accepted::Known);
        }
        self.siblings = Some(other.revision);
        Err(SuccessionError::Siblings(other.revision))
    }

    /// Keys that are new cannot have signed before; keys that stay may keep what they signed.
    fn check_since(&self, next: &Genesis) -> Result<(), SuccessionError> {
        let (now, since) = (next.revision, next.authority.since);
        let kept = authority_keys(next)? == self.authority;
        if since == now || (kept && since == self.current.authority.since) {
            return Ok(());
        }
        Err(VerifyError::Rule(DocumentError::Since(since)).into())
    }

    fn put_in_force(&mut self, next: Verified<Genesis>) -> Result<(), SuccessionError> {
        let retired = Retired {
            keys: std::mem::replace(&mut self.authority, authority_keys(&next)?),
            revisions: (self.current.authority.since, self.current.revision),
            until: next.authority.previous_until.unwrap_or_default(),
        };
        self.previous = next.authority.previous_until.map(|_| retired);
        self.history.push(next.digest());
        self.current = next;
        Ok(())
    }

    /// The hash of a revision, as far back as the chain was followed.
    fn hash_of(&self, revision: Revision) -> Option<GenesisHash> {
        let back = usize::try_from(
            self.current
                .revision
                .value()
                .checked_sub(revision.value())?,
        )
        .ok()?;
        self.history.iter().rev().nth(back).copied()
    }

    /// The genesis in force.
    pub fn genesis(&self) -> &Verified<Genesis> {
        &self.current
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.current.network()
    }

    /// The key that signs successions.
    pub fn root_keyring(&self) -> Keyring<Root> {
        Keyring::of_root(&self.current)
    }

    /// The keys that sign for the authority now, unless two siblings have ended all trust.
    pub fn keyring(&self) -> Result<Keyring<Authority>, SuccessionError> {
        self.refuse_after_siblings()?;
        let keyring =
            Keyring::of_authority(Arc::new((*self.current).clone()), self.authority.clone());
        Ok(match &self.previous {
            Some(Retired {
                keys,
                revisions,
                until,
            }) => keyring.with_previous(*revisions, keys.clone(), *until),
            None => keyring,
        })
    }
}

fn authority_keys(genesis: &Genesis) -> Result<KeySet, SuccessionError> {
    let keys = genesis.authority.key_set();
    keys.map_err(|rule: DocumentError| VerifyError::Rule(rule).into())
}
