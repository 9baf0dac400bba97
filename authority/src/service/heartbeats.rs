//! Heartbeats: who is there. What they say is held in memory and written now and then; a crash loses seconds of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::PoisonError;

use tidegate_proto::api::{Heartbeat, HeartbeatReply};
use tidegate_proto::policy::{Condition, Consequence, MembershipRule};
use tidegate_proto::{NodeId, Nonce, SignError, Signed, Span, TimeStatement, UnixTime};

use super::audit::{Entry, Event};
use super::view::View;
use super::{Actor, Alarm, Authority, Caller, NodeError, NodeStatus, Notice, Presence};
use crate::store::{StoreError, Tx, node, presence};

/// What is held of heartbeats until it is written.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    fresh: BTreeMap<NodeId, (Presence, UnixTime)>,
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
        let signed_at = self.refuse_replay(node, &caller).await?;
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
            .insert(node, (presence, signed_at));
        Ok(HeartbeatReply {
            time: self.time_statement(heartbeat.nonce)?,
        })
    }

    /// A heartbeat has no effect to spend a nonce with; each must have been signed after the one before. That is kept
    /// with what the heartbeat says, so that a restart does not forget it. Gives when this one was signed.
    async fn refuse_replay(&self, node: NodeId, caller: &Caller) -> Result<UnixTime, NodeError> {
        let Some(spent) = caller.nonce else {
            return Ok(self.clock().now());
        };
        let kept = presence::signed_at(&mut *self.0.store.read().await?, node).await?;
        let mut pulse = self.0.pulse.lock().unwrap_or_else(PoisonError::into_inner);
        let last = pulse.signed_at.get(&node).copied().max(kept);
        if last.is_some_and(|last| spent.time <= last) {
            self.alarm(Alarm::Replayed, caller.actor.clone(), None);
            return Err(super::access::AccessError::Replayed.into());
        }
        pulse.signed_at.insert(node, spent.time);
        Ok(spent.time)
    }

    /// What a node said last, written or not.
    pub(super) fn heard(&self, node: NodeId) -> Option<Presence> {
        self.0
            .pulse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fresh
            .get(&node)
            .map(|(said, _)| said.clone())
    }

    /// Writes what was heard, and marks who has fallen silent and who is back.
    pub(super) async fn keep_pulse(&self, tx: &mut Tx, view: &View) -> Result<(), StoreError> {
        let now = tx.now();
        self.write_pulse(tx).await?;
        let silence = Silence::of(view, self.0.limits.offline_after);
        for (node, heard) in presence::silent(tx.connection(), now - silence.shortest()).await? {
            if now.since(heard) > silence.after(view, node) {
                self.mark(tx, node, Some(now), Event::NodeOffline).await?;
            }
        }
        for (node, heard) in presence::back(tx.connection(), now - silence.longest()).await? {
            if now.since(heard) <= silence.after(view, node) {
                self.mark(tx, node, None, Event::NodeOnline).await?;
            }
        }
        Ok(())
    }

    /// Writes what was heard.
    pub(super) async fn write_pulse(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let fresh = {
            let mut pulse = self.0.pulse.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut pulse.fresh)
        };
        for (node, (said, signed_at)) in &fresh {
            presence::keep(tx.connection(), *node, said, *signed_at).await?;
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
        tx.announce(Notice::Presence(node));
        self.record(tx, Entry::new(event, &Actor::System, node))
            .await
    }
}

/// How long nodes may be silent: by the policy's rules, or by the authority's own limit where none is about them.
struct Silence {
    rules: Vec<(MembershipRule, Span)>,
    otherwise: Span,
}

impl Silence {
    fn of(view: &View, otherwise: Span) -> Self {
        let policy = view.policy.iter();
        let rules = policy.flat_map(|in_force| in_force.policy.membership.iter());
        let about_silence = |rule: &MembershipRule| match (&rule.when, rule.then) {
            (Condition::SilentFor(span), Consequence::Offline) => Some((rule.clone(), *span)),
            _ => None,
        };
        Self {
            rules: rules.filter_map(about_silence).collect(),
            otherwise,
        }
    }

    fn shortest(&self) -> Span {
        let spans = self.rules.iter().map(|(_, span)| *span);
        spans
            .min()
            .map_or(self.otherwise, |span| span.min(self.otherwise))
    }

    fn longest(&self) -> Span {
        let spans = self.rules.iter().map(|(_, span)| *span);
        spans
            .max()
            .map_or(self.otherwise, |span| span.max(self.otherwise))
    }

    /// For `node`: the shortest of the rules that are about it.
    fn after(&self, view: &View, node: NodeId) -> Span {
        let (Some(in_force), Some(member)) = (&view.policy, view.directory.node(node)) else {
            return self.otherwise;
        };
        let subject = member.subject(view.trust.chain.genesis());
        let about =
            |(rule, _): &&(MembershipRule, Span)| in_force.policy.selects(&rule.nodes, &subject);
        let spans = self.rules.iter().filter(about).map(|(_, span)| *span);
        spans.min().unwrap_or(self.otherwise)
    }
}
