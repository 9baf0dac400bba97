//! The order of documents, which never goes back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::Ordered;
use crate::id::{Digest, Revision, Sequence};
use crate::verify::{Verified, VerifyError};

/// A document's place: genesis revision first, so that a stolen key cannot outrun its succession.
///
/// All of it stands in the signed bytes. What a document's place is does not depend on who looks at it, and when.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Order {
    /// The genesis revision that it was signed under; zero for what root and nodes sign.
    pub revision: Revision,
    /// The place among the documents of that revision.
    pub sequence: Sequence,
    /// Of two grants for one epoch, the place of its secret; zero for every other kind.
    pub redraw: u32,
}

impl Order {
    /// The place of what the authority signed under a revision.
    pub const fn under(revision: Revision, sequence: Sequence) -> Self {
        Self {
            revision,
            sequence,
            redraw: 0,
        }
    }

    /// The place of what its author alone counts.
    pub fn alone(sequence: Sequence) -> Self {
        Self {
            sequence,
            ..Self::default()
        }
    }
}

/// The place of a revocation list, as other documents name it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ListPlace {
    /// The genesis revision that the list was signed under.
    pub revision: Revision,
    /// Its place among the lists of that revision.
    pub sequence: Sequence,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {} sequence {}", self.revision, self.sequence)?;
        if self.redraw > 0 {
            write!(f, " redraw {}", self.redraw)
        } else {
            Ok(())
        }
    }
}

/// Whether an accepted document changed anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Accepted {
    /// It is in force now.
    New,
    /// It was in force already.
    Known,
}

/// The latest document of one kind, and the refusal of every earlier one.
///
/// The floor is what has been seen, and survives the document: after a succession that no longer trusts its
/// signers, or a restart that kept only the place, nothing older comes back.
#[derive(Clone, Debug)]
pub struct Latest<T> {
    current: Option<Verified<T>>,
    floor: Option<(Order, Digest)>,
}

impl<T: Ordered> Latest<T> {
    /// Nothing in force, and nothing refused as old.
    pub fn new() -> Self {
        Self {
            current: None,
            floor: None,
        }
    }

    /// Nothing in force, but all before `floor` refused, as persisted.
    pub fn resumed(order: Order, digest: Digest) -> Self {
        Self {
            current: None,
            floor: Some((order, digest)),
        }
    }

    /// Puts `document` in force, unless it is older than the floor or contradicts it.
    pub fn accept(&mut self, document: Verified<T>) -> Result<Accepted, VerifyError> {
        let order = document.order();
        if let Some((have, digest)) = self.floor {
            if order < have {
                return Err(VerifyError::Rollback { got: order, have });
            }
            if order == have && document.digest() != digest {
                return Err(VerifyError::Conflict(order));
            }
        }
        let accepted = if self.current.as_ref().is_some_and(|c| c.order() == order) {
            Accepted::Known
        } else {
            Accepted::New
        };
        self.floor = Some((order, document.digest()));
        self.current = Some(document);
        Ok(accepted)
    }

    /// The document in force.
    pub fn current(&self) -> Option<&Verified<T>> {
        self.current.as_ref()
    }

    /// The place below which everything is refused, to persist.
    pub fn floor(&self) -> Option<(Order, Digest)> {
        self.floor
    }

    /// Judges the document in force by `judge`, and drops it where that refuses. The floor stays.
    pub fn judge_again<E>(
        &mut self,
        judge: impl FnOnce(&Verified<T>) -> Result<Verified<T>, E>,
    ) -> Result<(), E> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let judged = judge(&current)?;
        self.floor = self.floor.max(Some((judged.order(), judged.digest())));
        self.current = Some(judged);
        Ok(())
    }
}

impl<T: Ordered> Default for Latest<T> {
    fn default() -> Self {
        Self::new()
    }
}
