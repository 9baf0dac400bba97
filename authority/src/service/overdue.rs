//! Nodes that are there and do not confirm a revocation: a fault, or somebody who keeps them from hearing.

use tidegate_proto::NodeId;

use super::audit::{Entry, Event};
use super::{Actor, Authority};
use crate::store::{StoreError, Tx, overdue, revocation};

/// Nodes that one record names.
const NAMED: usize = 4;

impl Authority {
    /// Records the nodes that sent a heartbeat after their receipt was due, and no receipt: each once.
    pub(super) async fn note_overdue(
        &self,
        tx: &mut Tx,
        kept: &revocation::Kept,
    ) -> Result<(), StoreError> {
        let now = tx.now();
        let due = kept.view.since + self.0.limits.receipt_overdue;
        if now < due {
            return Ok(());
        }
        let late = overdue::unnoted(tx.connection(), kept.view.list, due, now).await?;
        if late.is_empty() {
            return Ok(());
        }
        for node in &late {
            overdue::note(tx.connection(), kept.view.list, *node).await?;
        }
        let entry = Entry::new(Event::ReceiptOverdue, &Actor::System, kept.view.list)
            .with("revoked", kept.view.node)
            .count("nodes", late.len())
            .with("first", named(&late));
        tracing::warn!(list = %kept.view.list, nodes = late.len(), "receipts of a revocation are overdue");
        self.record(tx, entry).await
    }
}

fn named(nodes: &[NodeId]) -> String {
    let names: Vec<_> = nodes.iter().take(NAMED).map(NodeId::to_string).collect();
    names.join(" ")
}
