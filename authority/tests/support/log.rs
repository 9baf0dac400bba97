//! An authority whose log is looked at.

use tidegate_authority::Authority;
use tidegate_authority::service::{AuditCheckError, Event, Limits, verify_log};
use tidegate_proto::audit::{Chained, Summary};
use tidegate_proto::*;

use super::operators::one_of_each;
use super::{World, operator, revoke};

pub async fn records(authority: &Authority) -> Vec<Chained> {
    authority.audit(Sequence::default(), None).await.unwrap()
}

pub async fn names(authority: &Authority) -> Vec<String> {
    let records = records(authority).await;
    records
        .iter()
        .map(|one| one.record.event.to_string())
        .collect()
}

pub async fn count(authority: &Authority, event: Event) -> usize {
    let names = names(authority).await;
    names.iter().filter(|name| *name == event.name()).count()
}

pub async fn export(authority: &Authority) -> Vec<u8> {
    let (mut export, mut bytes) = (authority.export_audit().await.unwrap(), Vec::new());
    while let Some(lines) = export.next().await.unwrap() {
        bytes.extend(lines);
    }
    bytes
}

pub async fn verify(world: &World) -> Result<Summary, AuditCheckError> {
    let chain = world.authority.genesis_chain().await.unwrap();
    verify_log(world.authority.store(), &chain).await
}

pub fn few(every: u32) -> Limits {
    Limits {
        checkpoint_every: every,
        ..Limits::default()
    }
}

pub async fn world(every: u32) -> World {
    World::with(few(every), "10.211.0.0/16").await
}

/// A small network's first day, with something of everything.
pub async fn lively(every: u32) -> World {
    let mut world = world(every).await;
    let people = one_of_each();
    world.govern(&people.each_ref()).await;
    let (node, other) = (world.member("web").await, world.member("db").await);
    world
        .node()
        .join(&world.authority, "late", None)
        .await
        .unwrap();
    world.authority.tick().await.unwrap();
    let kind = RevocationKind::Suspended;
    world
        .authority
        .revoke(node.id(), revoke(kind), operator())
        .await
        .unwrap();
    let reason = "found".parse().unwrap();
    world
        .authority
        .reinstate(node.id(), reason, operator())
        .await
        .unwrap();
    other.renew(&world.authority).await.unwrap();
    world.authority.rotate(operator()).await.unwrap();
    world
}
