//! The places below which nothing is accepted, over restarts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_proto::{Digest, EpochNumber, Latest, Order, Ordered, Revision, Sequence};

use crate::file::FileName;

/// One kind's place: what of it is on the disk.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Floor {
    revision: Revision,
    sequence: Sequence,
    redraw: u32,
    digest: Digest,
}

/// How the floors lie in their file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Floors {
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis: Option<Floor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Floor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<Floor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Floor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roster: Option<Floor>,
    /// The epoch up to which all are over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retired: Option<EpochNumber>,
    /// The last receipt's sequence.
    pub(crate) receipt: Sequence,
    /// The last peer record's sequence.
    pub(crate) record: Sequence,
}

/// A document's place.
pub(crate) type Mark = (Order, Digest);

impl Floor {
    fn new((order, digest): Mark) -> Self {
        Self {
            revision: order.revision,
            sequence: order.sequence,
            redraw: order.redraw,
            digest,
        }
    }

    fn mark(&self) -> Mark {
        let order = Order {
            revision: self.revision,
            sequence: self.sequence,
            redraw: self.redraw,
        };
        (order, self.digest)
    }
}

impl Floors {
    fn slot(&mut self, name: FileName) -> Option<&mut Option<Floor>> {
        match name {
            FileName::Genesis => Some(&mut self.genesis),
            FileName::Certificate => Some(&mut self.certificate),
            FileName::List => Some(&mut self.list),
            FileName::Policy => Some(&mut self.policy),
            FileName::Roster => Some(&mut self.roster),
            _ => None,
        }
    }

    /// Notes what a file on the disk holds now.
    pub(crate) fn raise(&mut self, name: FileName, mark: Mark) {
        if let Some(slot) = self.slot(name)
            && slot.is_none_or(|floor| floor.mark().0 < mark.0)
        {
            *slot = Some(Floor::new(mark));
        }
    }

    /// The place of what is on the disk.
    pub(crate) fn of(&self, name: FileName) -> Option<Mark> {
        let mut copy = self.clone();
        copy.slot(name)?.map(|floor| floor.mark())
    }

    /// Nothing in force, and all before the floor refused.
    pub(crate) fn latest<T: Ordered>(&self, name: FileName) -> Latest<T> {
        let floor = self.of(name);
        floor.map_or_else(Latest::new, |(order, digest)| {
            Latest::resumed(order, digest)
        })
    }
}

/// Which mark each file under way holds, until it is confirmed.
pub(crate) type Marks = BTreeMap<crate::output::Token, (FileName, Option<Mark>)>;
