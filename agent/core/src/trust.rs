//! The genesis chain, and what was shown against it.

use serde::{Deserialize, Serialize};
use tidegate_proto::{
    Accepted, Authority, Genesis, Keyring, Revision, Signed, SuccessionError, TrustChain, UnixTime,
    Verified,
};

use crate::kept::Kept;

/// How the chain lies in its file: the revisions in order, and what was shown against them.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptChain {
    pub(crate) revisions: Vec<Kept<Genesis>>,
    pub(crate) siblings: Vec<Kept<Genesis>>,
}

/// The chain, with all that is needed to build it again.
pub(crate) struct Trust {
    chain: TrustChain,
    kept: KeptChain,
    siblings: Option<Revision>,
}

impl Trust {
    /// Builds a chain out of what was kept. The first revision is believed, as it was when it was pinned.
    pub(crate) fn restored(kept: KeptChain) -> Result<Option<Self>, SuccessionError> {
        let Some((first, rest)) = kept.revisions.split_first() else {
            return Ok(None);
        };
        let mut chain = TrustChain::trusting(&first.0)?;
        for next in rest {
            chain.succeed(&next.0)?;
        }
        let mut trust = Self {
            chain,
            siblings: None,
            kept: KeptChain {
                revisions: kept.revisions,
                siblings: Vec::new(),
            },
        };
        for sibling in kept.siblings {
            let _ = trust.succeed(&sibling.0); // stops all trust, which is what it is kept for
        }
        Ok(Some(trust))
    }

    /// Puts the next revision in force, or learns that the root has signed two.
    pub(crate) fn succeed(
        &mut self,
        genesis: &Signed<Genesis>,
    ) -> Result<Accepted, SuccessionError> {
        let result = self.chain.succeed(genesis);
        match &result {
            Ok(Accepted::New) => self.kept.revisions.push(Kept(genesis.clone())),
            Err(SuccessionError::Siblings(revision)) if self.siblings.is_none() => {
                self.siblings = Some(*revision);
                self.kept.siblings.push(Kept(genesis.clone()));
            }
            _ => {}
        }
        result
    }

    pub(crate) fn keep(&self) -> &KeptChain {
        &self.kept
    }

    /// The last successions, in their order.
    pub(crate) fn successions(&self, most: usize) -> Vec<Signed<Genesis>> {
        let successions = self.kept.revisions.get(1..).unwrap_or_default();
        let first = successions.len().saturating_sub(most);
        successions[first..]
            .iter()
            .map(|kept| kept.0.clone())
            .collect()
    }

    pub(crate) fn chain(&self) -> &TrustChain {
        &self.chain
    }

    pub(crate) fn genesis(&self) -> &Verified<Genesis> {
        self.chain.genesis()
    }

    /// The revision of which the root has signed two.
    pub(crate) fn siblings(&self) -> Option<Revision> {
        self.siblings
    }

    /// The keys that sign for the authority now; none after two siblings.
    pub(crate) fn keyring(&self) -> Result<Keyring<Authority>, SuccessionError> {
        self.chain.keyring()
    }

    /// When the keys before these retire, if that is still to come.
    pub(crate) fn retirement(&self, time: UnixTime) -> Option<UnixTime> {
        let until = self.genesis().authority.previous_until;
        until.filter(|until| *until > time)
    }
}
