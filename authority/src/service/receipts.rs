//! Receipts: a node's word that it has stopped talking to whoever is on a list.

use tidegate_proto::{Keyring, Node as NodeKeys, NodeId, Receipt, Signed, Span};

use super::audit::{Entry, Event};
use super::{Authority, Caller, NodeError};
use crate::store::node::Node;
use crate::store::{Tx, holder, list, node, receipt};

/// How far a node's idea of the authority's time may be ahead.
const AHEAD: Span = Span::from_minutes(2);

impl Authority {
    /// Takes a member's word that it has applied a revocation list.
    pub async fn put_receipt(
        &self,
        node: NodeId,
        receipt: Signed<Receipt>,
        caller: Caller,
    ) -> Result<(), NodeError> {
        self.effect(async move |this, tx| this.take_receipt(tx, node, receipt, &caller).await)
            .await
    }

    async fn take_receipt(
        &self,
        tx: &mut Tx,
        node: NodeId,
        signed: Signed<Receipt>,
        caller: &Caller,
    ) -> Result<(), NodeError> {
        self.spend(tx, caller).await?;
        let node = member(tx, node).await?;
        let receipt = signed
            .verify(&self.keyring_of(&node), tx.now())
            .map_err(NodeError::Document)?;
        check_list(tx, &receipt).await?;
        if let Some((sequence, list)) = receipt::latest(tx.connection(), node.node).await? {
            if (sequence, list) == (receipt.sequence, receipt.list) {
                return Ok(()); // sent again
            }
            if receipt.sequence <= sequence || receipt.list < list {
                return Err(NodeError::Old {
                    got: receipt.sequence,
                    have: sequence,
                });
            }
        }
        self.keep_receipt(tx, &receipt, &signed, caller).await
    }

    async fn keep_receipt(
        &self,
        tx: &mut Tx,
        receipt: &Receipt,
        signed: &Signed<Receipt>,
        caller: &Caller,
    ) -> Result<(), NodeError> {
        let (now, list) = (tx.now(), receipt.list.sequence);
        receipt::keep(tx.connection(), receipt, signed, now).await?;
        let confirmed = holder::confirm(tx.connection(), receipt.node, list, now).await?;
        if confirmed > 0 {
            let entry = Entry::new(Event::ReceiptAccepted, &caller.actor, receipt.node)
                .count("list", list)
                .count("confirmed", confirmed)
                .time("applied_at", receipt.applied_at);
            self.record(tx, entry).await?;
            self.has_work(tx);
        }
        Ok(())
    }

    /// The keyring of a node's own documents.
    pub(super) fn keyring_of(&self, node: &Node) -> Keyring<NodeKeys> {
        let trust = self.trust();
        Keyring::of_registered(trust.chain.network(), node.identity)
    }
}

/// Whether there was such a list, and it can have been applied by now.
async fn check_list(tx: &mut Tx, receipt: &Receipt) -> Result<(), NodeError> {
    if receipt.applied_at > tx.now() + AHEAD {
        return Err(NodeError::Future(receipt.applied_at));
    }
    let known = list::digest(tx.connection(), receipt.list).await?;
    if known == Some(receipt.list_digest) {
        Ok(())
    } else {
        Err(NodeError::NoSuchList(receipt.list.sequence))
    }
}

/// The node, if it is a member now.
pub(super) async fn member(tx: &mut Tx, node: NodeId) -> Result<Node, NodeError> {
    let node = node::load(tx.connection(), node)
        .await?
        .ok_or(NodeError::Unknown)?;
    if node.status == super::NodeStatus::Allowed {
        Ok(node)
    } else {
        Err(NodeError::NotMember(node.status))
    }
}
