//! Heartbeats: who is there. What they say is held in memory and written now and then; a crash loses seconds of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use tidegate_proto::api::{Heartbeat, HeartbeatReply};
use tidegate_proto::policy::{Condition, Consequence};
use tidegate_proto::{NodeId, Nonce, SignError, Signed, Span, TimeStatement, UnixTime};

use super::audit::{Entry, Event};
use super::{Actor, Authority, Caller, NodeError, NodeStatus, Notice, Presence};
use crate::store::{StoreError, Tx, node, presence};

/// What is held of heartbeats until it is written.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    fresh: BTreeMap<NodeId, Presence>,
    /// When each node signed its last heartbeat: an earlier one is a replay.
    signed_at: BTreeMap<NodeId, UnixTime>,
}

impl Authority {
    /// What time it is, for whoever asked with `nonce`.
    pub fn time_statement(&self, nonce: Nonce) -> Result<Signed<TimeStatement>, SignError> {
        let statement = TimeStatement {
            network: self.network(),
            nonce,
            at: self.clock().now(),
        };
        self.trust().signer.sign(&statement)
    }

    /// Takes a member's word on how it is, and tells it the time.
    pub async fn heartbeat(
        &self,
        node: NodeId,
        heartbeat: Heartbeat,
        from: Option<SocketAddr>,
        caller: Caller,
    ) -> Result<HeartbeatReply, NodeError> {
        let status = {
            let mut connection = self.0.store.read().await?;
            node::load(&mut connection, node)
                .await?
                .ok_or(NodeError::Unknown)?
                .status
        };
        if status != NodeStatus::Allowed {
            return Err(NodeError::NotMember(status));
        }
        self.refuse_replay(node, &caller)?;
        if let Some(record) = heartbeat.record {
            self.effect(async move |this, tx| this.take_record(tx, node, record, from).await)
                .await?;
        }
        let presence = Presence {
            last_seen: self.clock().now(),
            program: heartbeat.program,
            list: heartbeat.list,
            policy: heartbeat.policy,
            roster: heartbeat.roster,
            peers: u32::try_from(heartbeat.peers_seen.len()).unwrap_or(u32::MAX),
            seen_from: from.map(|address| address.ip()),
        };
        self.0
            .pulse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .insert(node, presence);
        Ok(HeartbeatReply {
            time: self.time_statement(heartbeat.nonce)?,
        })
    }

    /// A heartbeat has no effect to spend a nonce with; each must have been signed after the one before.
    fn refuse_replay(&self, node: NodeId, caller: &Caller) -> Result<(), NodeError> {
        let Some(spent) = caller.nonce else {
            return Ok(());
        };
        let mut pulse = self.0.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        if pulse
            .signed_at
            .get(&node)
            .is_some_and(|last| spent.time <= *last)
        {
            return Err(super::access::AccessError::Replayed.into());
        }
        pulse.signed_at.insert(node, spent.time);
        Ok(())
    }

    /// What a node said last, written or not.
    pub(super) fn heard(&self, node: NodeId) -> Option<Presence> {
        self.0
            .pulse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .get(&node)
            .cloned()
    }

    /// Writes what was heard, and marks who has fallen silent and who is back.
    pub(super) async fn keep_pulse(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let now = tx.now();
        let fresh = std::mem::take(
            &mut self
                .0
                .pulse
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .fresh,
        );
        for (node, said) in &fresh {
            presence::keep(tx.connection(), *node, said).await?;
        }
        let silent_before = now - self.offline_after(tx).await?;
        for node in presence::silent(tx.connection(), silent_before).await? {
            self.mark(tx, node, Some(now), Event::NodeOffline).await?;
        }
        for node in presence::back(tx.connection(), silent_before).await? {
            self.mark(tx, node, None, Event::NodeOnline).await?;
        }
        Ok(())
    }

    async fn mark(
        &self,
        tx: &mut Tx,
        node: NodeId,
        offline_since: Option<UnixTime>,
        event: Event,
    ) -> Result<(), StoreError> {
        presence::mark(tx.connection(), node, offline_since).await?;
        self.announce(tx, Notice::Presence(node));
        self.record(tx, Entry::new(event, &Actor::System, node))
            .await
    }

    /// How long a node may be silent: by the policy's shortest rule, or by the authority's own limit.
    async fn offline_after(&self, tx: &mut Tx) -> Result<Span, StoreError> {
        let in_force = self.policy_in_force(tx.connection()).await?;
        let spans = in_force
            .iter()
            .flat_map(|in_force| in_force.policy.membership.iter())
            .filter_map(|rule| match (&rule.when, rule.then) {
                (Condition::SilentFor(span), Consequence::Offline) => Some(*span),
                _ => None,
            });
        Ok(spans.min().unwrap_or(self.0.limits.offline_after))
    }
}
