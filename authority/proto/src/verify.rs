//! The only way from signed bytes to something that may be acted on.

use std::fmt;
use std::ops::Deref;

use crate::document::{Action, Document, DocumentError};
use crate::envelope::Signed;
use crate::id::{Digest, KeyId, NetworkId, Revision};
use crate::keyring::Keyring;
use crate::order::Order;
use crate::strict::{self, ReadError};
use crate::time::UnixTime;

/// Why a signed document was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A signature by a key that may not sign this.
    #[error("signed by {0}, which may not sign this")]
    UnknownSigner(KeyId),
    /// One key's signature more than once.
    #[error("signed twice by {0}; each key counts once")]
    RepeatedSigner(KeyId),
    /// Signed by keys that do not sign under the revision it names.
    #[error("says it was signed under genesis revision {0}, whose keys these are not")]
    OtherRevision(Revision),
    /// An operator whose role does not reach.
    #[error("its operator's role does not allow to have nodes {0}")]
    Role(Action),
    /// Keys of two genesis revisions together.
    #[error("signed by keys of different genesis revisions, which never count together")]
    MixedRevisions,
    /// Keys of an earlier revision after their overlap.
    #[error("signed by keys that a genesis succession retired at {0}")]
    KeysRetired(UnixTime),
    /// A signature that is not the named key's over these bytes.
    #[error("the signature by {0} does not verify")]
    BadSignature(KeyId),
    /// Good signatures, but too few.
    #[error("only {valid} of {threshold} required signatures are there")]
    Threshold {
        /// How many there are.
        valid: usize,
        /// How many must be.
        threshold: usize,
    },
    /// Properly signed, but not the JSON of its kind.
    #[error("the document cannot be read: {0}")]
    Unreadable(ReadError),
    /// Properly signed and readable, but against its kind's rules.
    #[error("the document breaks a rule: {0}")]
    Rule(DocumentError),
    /// A document of another network.
    #[error("belongs to network {got}, not to {want}")]
    ForeignNetwork {
        /// The network that the keyring is for.
        want: NetworkId,
        /// The document's.
        got: NetworkId,
    },
    /// A node's or an operator's document that another one signed.
    #[error("speaks for another than the one who signed it")]
    ForeignAuthor,
    /// Before its validity.
    #[error("not valid before {0}; check this machine's clock")]
    NotYetValid(UnixTime),
    /// After its validity.
    #[error("document expired at {0}")]
    Expired(UnixTime),
    /// Older than what is in force.
    #[error("{got} is older than {have}, which is in force")]
    Rollback {
        /// The document's place.
        got: Order,
        /// The place of the one in force.
        have: Order,
    },
    /// Two documents for one place. One of their signers lies.
    #[error("a second, different document at {0}; the signing key may be stolen")]
    Conflict(Order),
}

/// A document that a sufficient number of the right keys have signed, for the right network and time.
///
/// It keeps its signed form, so that it can be passed on, stored and, after a succession, judged again.
pub struct Verified<T> {
    document: T,
    signed: Signed<T>,
    digest: Digest,
}

impl<T: Document> Signed<T> {
    /// Verifies signatures, form, rules, network and validity, in this order.
    pub fn verify(
        &self,
        keyring: &Keyring<T::Signer>,
        now: UnixTime,
    ) -> Result<Verified<T>, VerifyError> {
        let verified = self.verify_untimed(keyring, now)?;
        verified.validity().check(now)?;
        Ok(verified)
    }

    /// As [`Self::verify`], for a document whose own validity may have passed.
    fn verify_untimed(
        &self,
        keyring: &Keyring<T::Signer>,
        now: UnixTime,
    ) -> Result<Verified<T>, VerifyError> {
        let message = self.envelope().signed_bytes();
        let satisfied = keyring.check(&message, self.envelope().signatures(), now)?;
        let document = self.read()?;
        keyring.check_document(&document, &satisfied, now)?;
        Ok(Verified {
            document,
            signed: self.clone(),
            digest: Digest::of(&message),
        })
    }

    /// Reads the payload and checks its kind's rules. Says nothing about who signed.
    pub(crate) fn read(&self) -> Result<T, VerifyError> {
        let document: T = strict::read(self.envelope().payload(), T::KIND.largest_payload())
            .map_err(VerifyError::Unreadable)?;
        document.check().map_err(VerifyError::Rule)?;
        Ok(document)
    }
}

impl<T: Document> Verified<T> {
    /// The signed form, to pass on or to store.
    pub fn signed(&self) -> &Signed<T> {
        &self.signed
    }

    /// The digest of the signed bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Judges the document again, under the keyring of another genesis revision. What has expired since stays
    /// what it was: expiry is asked for with [`Document::validity`].
    pub fn judge_again(
        &self,
        keyring: &Keyring<T::Signer>,
        now: UnixTime,
    ) -> Result<Self, VerifyError> {
        self.signed.verify_untimed(keyring, now)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.document
    }
}

impl<T: Clone> Clone for Verified<T> {
    fn clone(&self) -> Self {
        Self {
            document: self.document.clone(),
            signed: self.signed.clone(),
            digest: self.digest,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.document).finish()
    }
}
