//! Receipts, in the order that THREATS B3 asks for: the data plane has confirmed the removal, the list is on the disk, and
//! only then is anything signed.

use tidegate_proto::{Digest, ListPlace, Receipt, Signed};
use tidegate_wg::Mono;

use crate::backoff::Backoff;
use crate::output::Token;

/// A list that is in force here, and what is still to be confirmed of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Due {
    place: ListPlace,
    digest: Digest,
    /// The last order that was given to the data plane when the list took effect.
    order: Option<Token>,
    stored: bool,
}

/// The receipt for the list in force, on its way.
pub(crate) struct Receipts {
    due: Option<Due>,
    signed: Option<(ListPlace, Digest, Signed<Receipt>)>,
    confirmed: Option<ListPlace>,
    backoff: Backoff,
}

impl Receipts {
    pub(crate) fn new() -> Self {
        Self {
            due: None,
            signed: None,
            confirmed: None,
            backoff: Backoff::new(&[1, 2, 4, 4, 15, 60]),
        }
    }

    /// A list has taken effect; `order` is the last that the data plane was given with it.
    pub(crate) fn open(&mut self, place: ListPlace, digest: Digest, order: Option<Token>) {
        self.signed = None;
        self.backoff.cancel();
        self.due = Some(Due {
            place,
            digest,
            order,
            stored: false,
        });
    }

    /// Everything up to this order is carried out, or the data plane that it was for is gone.
    pub(crate) fn settled(&mut self, order: Token) {
        if let Some(due) = &mut self.due {
            due.order = due.order.filter(|waited| *waited > order);
        }
    }

    /// The list at this place is on the disk.
    pub(crate) fn stored(&mut self, place: ListPlace) {
        if let Some(due) = self.due.as_mut().filter(|due| due.place == place) {
            due.stored = true;
        }
    }

    /// The list that a receipt can be signed for now.
    pub(crate) fn ready(&self) -> Option<(ListPlace, Digest)> {
        let due = self.due.filter(|due| due.order.is_none() && due.stored)?;
        Some((due.place, due.digest))
    }

    /// A receipt was signed.
    pub(crate) fn sign(&mut self, (place, digest): (ListPlace, Digest), receipt: Signed<Receipt>) {
        self.due = None;
        self.signed = Some((place, digest, receipt));
    }

    /// The receipt to send now, if one is due.
    pub(crate) fn send(&mut self, now: Mono) -> Option<Signed<Receipt>> {
        let (_, _, receipt) = self.signed.as_ref().filter(|_| self.backoff.is_due(now))?;
        self.backoff.attempt(now);
        Some(receipt.clone())
    }

    pub(crate) fn next(&self) -> Option<Mono> {
        self.signed.as_ref().and(self.backoff.next())
    }

    /// The authority has taken the receipt.
    pub(crate) fn taken(&mut self) {
        if let Some((place, ..)) = self.signed.take() {
            self.confirmed = Some(place);
        }
        self.backoff.cancel();
    }

    /// The authority does not take it: a restart may have lost count, so it is signed anew under a later sequence.
    pub(crate) fn refused(&mut self) {
        if let Some((place, digest, _)) = self.signed.take() {
            self.due = Some(Due {
                place,
                digest,
                order: None,
                stored: true,
            });
        }
    }

    /// The authority can be reached again.
    pub(crate) fn hurry(&mut self) {
        self.backoff.cancel();
    }

    pub(crate) fn confirmed(&self) -> Option<ListPlace> {
        self.confirmed
    }

    /// Nothing is owed any more: the list does not count, or the node is on it itself.
    pub(crate) fn cancel(&mut self) {
        self.due = None;
        self.signed = None;
    }
}
