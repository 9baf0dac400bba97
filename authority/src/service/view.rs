//! What nodes are told from: everything that rosters and streams need, as of one moment and shared by all who ask.
//! Decisions are never made from it, but in the transaction that carries them out.

use std::sync::{Arc, PoisonError};

use sqlx::Connection as _;
use tidegate_proto::{NodeId, Sequence, UnixTime};

use super::authority::Trust;
use super::directory::{Directory, Member};
use super::pieces::Pieces;
use super::policies::InForce;
use super::stream::Rendered;
use super::{Authority, NodeStatus, ReadError};
use crate::store::list::Current;
use crate::store::mark::Marks;
use crate::store::{Connection, StoreError, corrupt, list, mark, node, recovery};

/// One moment.
pub(crate) struct View {
    marks: Marks,
    pub(super) trust: Arc<Trust>,
    pub(super) directory: Arc<Directory>,
    pub(super) policy: Option<Arc<InForce>>,
    pub(super) list: Arc<Current>,
    /// What everybody is told alike, as it travels.
    pub(super) told: ToldToAll,
}

/// What everybody is told alike.
#[derive(Clone)]
pub(super) struct ToldToAll {
    pub(super) genesis: Rendered,
    pub(super) list: Rendered,
    pub(super) policy: Option<Rendered>,
}

impl View {
    /// The roster version behind which deltas can be told: policies and successions change everything.
    pub(super) fn full_since(&self) -> Sequence {
        self.marks.full
    }

    /// Whether `peer` is on the roster of `member`.
    pub(super) fn is_peer(&self, member: &Member, peer: &Member, now: UnixTime) -> bool {
        peer.is_in && peer.not_after > now && self.directory.permits(member, peer)
    }
}

impl Authority {
    /// What is so now.
    pub(super) async fn view(&self) -> Result<Arc<View>, StoreError> {
        let mut connection = self.0.store.read().await?;
        recovery::refuse(&mut connection).await?;
        let marks = mark::read(&mut connection).await?;
        if let Some(held) = self.held_view(&marks) {
            return Ok(held);
        }
        let _turn = self.0.looking.lock().await; // whoever waited here finds it done
        let mut moment = connection.begin().await?;
        let marks = mark::read(&mut moment).await?;
        if let Some(held) = self.held_view(&marks) {
            return Ok(held);
        }
        let fresh = Arc::new(self.look(&mut moment, marks).await?);
        *self.0.view.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&fresh));
        Ok(fresh)
    }

    /// What was so when followers were last told of a change.
    pub(super) fn last_view(&self) -> Option<Arc<View>> {
        let held = self.0.view.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    fn held_view(&self, marks: &Marks) -> Option<Arc<View>> {
        self.last_view().filter(|held| held.marks == *marks)
    }

    async fn look(&self, moment: &mut Connection, marks: Marks) -> Result<View, StoreError> {
        let before = self.last_view();
        let trust = self.trust_in_force(moment).await?;
        let policy = self.policy_in_force(moment).await?;
        let before_that = before.as_ref().map(|before| &*before.directory);
        let directory =
            Directory::bring_up(moment, before_that, marks.roster, &trust, policy.as_ref()).await?;
        let list = match before.as_ref().filter(|held| held.marks.list == marks.list) {
            Some(held) => Arc::clone(&held.list),
            None => Arc::new(
                list::current(moment)
                    .await?
                    .ok_or_else(|| corrupt("lists", "is empty"))?,
            ),
        };
        let told = tell_all(before.as_deref(), &trust, policy.as_ref(), &list, &marks)?;
        Ok(View {
            marks,
            trust,
            directory: Arc::new(directory),
            policy,
            list,
            told,
        })
    }

    /// The member that `node` is now.
    pub(super) async fn member(&self, view: &View, node: NodeId) -> Result<Arc<Member>, ReadError> {
        let now = self.clock().now();
        let member = view.directory.node(node);
        let member = member.filter(|member| member.is_in && member.not_after > now);
        if let Some(member) = member {
            return Ok(Arc::clone(member));
        }
        let mut connection = self.0.store.read().await?;
        let known = node::load(&mut connection, node).await?;
        Err(match known.map(|node| node.standing()) {
            None => ReadError::NoNode,
            Some(NodeStatus::Allowed | NodeStatus::Offline) => ReadError::Expired,
            Some(status) => ReadError::NotMember(status),
        })
    }
}

/// Renders what everybody is told alike, once for all of them; what has not changed is kept.
fn tell_all(
    before: Option<&View>,
    trust: &Trust,
    policy: Option<&Arc<InForce>>,
    list: &Current,
    marks: &Marks,
) -> Result<ToldToAll, StoreError> {
    let kept = |same: fn(&Marks, &Marks) -> bool| before.filter(|view| same(&view.marks, marks));
    let genesis = match kept(|a, b| a.genesis == b.genesis) {
        Some(view) => view.told.genesis.clone(),
        None => Rendered::new("genesis", Pieces::of(trust.chain.genesis().signed())?),
    };
    let list = match kept(|a, b| a.list == b.list) {
        Some(view) => view.told.list.clone(),
        None => Rendered::new("list", Pieces::of(&list.signed)?),
    };
    let policy = match (kept(|a, b| a.policy == b.policy), policy) {
        (Some(view), _) => view.told.policy.clone(),
        (None, Some(in_force)) => Some(Rendered::new("policy", Pieces::of(&in_force.signed)?)),
        (None, None) => None,
    };
    Ok(ToldToAll {
        genesis,
        list,
        policy,
    })
}
