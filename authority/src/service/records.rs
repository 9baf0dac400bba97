//! Peer records: where nodes are found, in their own words.

use std::net::SocketAddr;

use tidegate_proto::{NodeId, PeerRecord, Signed, Span};

use super::receipts::member;
use super::{Authority, Caller, NodeError, Notice};
use crate::store::{Tx, record};

/// How far a record may be dated ahead.
const AHEAD: Span = Span::from_minutes(5);

impl Authority {
    /// Takes a member's word on where it is found.
    pub async fn put_record(
        &self,
        node: NodeId,
        record: Signed<PeerRecord>,
        from: Option<SocketAddr>,
        caller: Caller,
    ) -> Result<(), NodeError> {
        self.effect(async move |this, tx| -> Result<(), NodeError> {
            this.spend(tx, &caller).await?;
            this.take_record(tx, node, record, from).await
        })
        .await
    }

    pub(super) async fn take_record(
        &self,
        tx: &mut Tx,
        node: NodeId,
        signed: Signed<PeerRecord>,
        from: Option<SocketAddr>,
    ) -> Result<(), NodeError> {
        let node = member(tx, node).await?;
        let now = tx.now();
        let record = signed
            .verify(&self.keyring_of(&node), now)
            .map_err(NodeError::Document)?;
        if record.issued_at > now + AHEAD {
            return Err(NodeError::Future(record.issued_at));
        }
        if let Some((have, digest)) = record::place(tx.connection(), node.node).await? {
            if (have, digest) == (record.sequence, record.digest()) {
                return Ok(()); // sent again
            }
            if record.sequence <= have {
                return Err(NodeError::Old {
                    got: record.sequence,
                    have,
                });
            }
        }
        record::keep(tx.connection(), &record, &signed, from, now).await?;
        tx.announce(Notice::Record(node.node));
        Ok(())
    }
}
