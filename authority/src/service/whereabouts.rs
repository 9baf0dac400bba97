//! Where nodes are found, at hand for all who are told it: each record rendered once.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use tidegate_proto::{NodeId, Sequence};

use super::Authority;
use super::pieces::Element;
use crate::store::record::Taken;
use crate::store::{StoreError, record};

/// The latest record of every node, as of the last look at the database.
#[derive(Default)]
pub(crate) struct Whereabouts(RwLock<Known>);

#[derive(Default)]
struct Known {
    /// Every record up to this one is here.
    version: Sequence,
    records: BTreeMap<NodeId, (Sequence, Element)>,
}

impl Whereabouts {
    fn version(&self) -> Sequence {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.version
    }

    /// Takes in what was read. Of two who read at once, the one who read earlier changes nothing back.
    fn take(&self, fresh: &[Taken]) -> Result<(), StoreError> {
        for taken in fresh {
            let element = Element::of(&taken.record)?;
            let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let before = known.records.get(&taken.node);
            if before.is_none_or(|(changed, _)| *changed < taken.changed) {
                known.records.insert(taken.node, (taken.changed, element));
            }
        }
        let newest = fresh.iter().map(|taken| taken.changed).max();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.version = known.version.max(newest.unwrap_or_default());
        Ok(())
    }

    /// The records of `nodes`, as far as there are any, in the same order.
    pub(super) fn of(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<Element> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let record = |node| known.records.get(&node).map(|(_, element)| element.clone());
        nodes.into_iter().filter_map(record).collect()
    }
}

impl Authority {
    /// Brings the records at hand up to date.
    pub(super) async fn look_at_records(&self) -> Result<(), StoreError> {
        let have = self.0.whereabouts.version();
        let fresh = {
            let mut connection = self.0.store.read().await?;
            record::changed_since(&mut connection, have).await?
        };
        self.0.whereabouts.take(&fresh)
    }
}
