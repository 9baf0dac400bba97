//! Which prefixes lead to which peer, for `wg show` and `whois`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tidegate_wg::{PeerId, Prefix};

type Table = BTreeMap<PeerId, Vec<Prefix>>;

/// Replaced whole when a peer comes or goes.
#[derive(Debug, Default)]
pub(super) struct Allowed(RwLock<Arc<Table>>);

impl Allowed {
    /// Replaces the table.
    pub(super) fn set(&self, table: Table) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// What leads to this peer.
    pub(super) fn of(&self, peer: PeerId) -> Vec<Prefix> {
        let table = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        table.get(&peer).cloned().unwrap_or_default()
    }
}
