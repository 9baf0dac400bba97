//! What a power failure must not undo: an authority that is killed again and again while everybody wants something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use rand_core::TryRng;
use tidegate::client::{Client, ClientError, NodeFilter, NodeRef, OperatorClient};
use tidegate_proto::api::{Decision, Enrolled, NewInvite, NodeStatus, NodeView};
use tidegate_proto::audit::Verifier;
use tidegate_proto::{
    BoundedSet, Digest, EpochNumber, Invite, InviteToken, NodeId, PublicKey, Sequence, Serial, Span,
};
use tokio::runtime::Runtime;

use super::{Installation, Member};

/// Who wants what at once.
const NEWCOMERS: usize = 4;
/// A round is killed somewhere in this time, counted from when everybody has begun.
const LONGEST_ROUND: Duration = Duration::from_millis(1200);

/// No limits: everybody comes from one address.
pub const UNLIMITED: &str = "[rates]
requests_per_second = 100000
burst = 100000
enrollments_per_minute = 100000
failures_per_minute = 100000
known_per_second = 100000
known_burst = 100000
records_per_minute = 100000
";

/// What was promised in all rounds, and kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Kept {
    /// How often the authority was killed.
    pub rounds: u32,
    /// Enrolments that were acknowledged.
    pub enrolled: usize,
    /// Revocations that were acknowledged.
    pub revoked: usize,
    /// Epochs that were acknowledged.
    pub epochs: usize,
    /// Records in the audit log, all of them verified.
    pub audited: u64,
}

/// Everything that was acknowledged. A number that comes a second time is an error at once.
#[derive(Debug, Default)]
struct Promises {
    nodes: BTreeMap<NodeId, (Serial, PublicKey)>,
    serials: BTreeSet<Serial>,
    /// Whom somebody wanted to revoke, acknowledged or not.
    wanted_out: BTreeSet<NodeId>,
    revoked: BTreeMap<NodeId, Sequence>,
    epochs: BTreeSet<EpochNumber>,
    /// The lists that were seen, which never change.
    lists: BTreeMap<Sequence, Digest>,
    broken: Vec<String>,
}

type Shared = Arc<Mutex<Promises>>;

fn held(promises: &Shared) -> std::sync::MutexGuard<'_, Promises> {
    promises
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Kills an authority `rounds` times in the middle of enrolments, revocations and rotations, and checks after each time
/// that all that was acknowledged is there.
pub fn survive(rounds: u32, told: impl Fn(&Kept)) -> anyhow::Result<Kept> {
    let installation = Installation::new(UNLIMITED)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let promises = Shared::default();
    let mut kept = Kept::default();
    for round in 1..=rounds {
        let server = installation.serve()?;
        let busy = begin(&runtime, &installation, &promises, round)?;
        std::thread::sleep(some_time()?);
        server.kill()?;
        runtime.block_on(busy)?;
        let server = installation.serve()?;
        let audited = runtime.block_on(check(&installation, &promises))?;
        server.kill()?;
        kept = tally(round, audited, &promises);
        told(&kept);
    }
    Ok(kept)
}

fn tally(rounds: u32, audited: u64, promises: &Shared) -> Kept {
    let promises = held(promises);
    Kept {
        rounds,
        enrolled: promises.nodes.len(),
        revoked: promises.revoked.len(),
        epochs: promises.epochs.len(),
        audited,
    }
}

/// A random moment; the randomness is what looks for the weak one.
fn some_time() -> anyhow::Result<Duration> {
    let drawn = getrandom::SysRng.try_next_u32()?;
    Ok(LONGEST_ROUND.mul_f64(f64::from(drawn) / f64::from(u32::MAX)))
}

/// Sets everybody to work. Returns once all have begun, with what waits for their end.
fn begin(
    runtime: &Runtime,
    installation: &Installation,
    promises: &Shared,
    round: u32,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + use<>> {
    let operator = installation.operator()?;
    let invite = runtime.block_on(make_invite(&operator))?;
    let mut tasks = Vec::new();
    for worker in 0..NEWCOMERS {
        let (client, token) = (installation.client()?, invite.token.clone());
        let promises = Arc::clone(promises);
        let name = format!("n-{round}-{worker}");
        tasks.push(runtime.spawn(enroll_many(client, token, name, promises)));
    }
    tasks.push(runtime.spawn(revoke_many(installation.operator()?, Arc::clone(promises))));
    tasks.push(runtime.spawn(rotate_many(operator, Arc::clone(promises))));
    Ok(async move {
        for task in tasks {
            task.await??;
        }
        Ok(())
    })
}

async fn make_invite(operator: &OperatorClient) -> anyhow::Result<Invite> {
    let invite = NewInvite {
        roles: BoundedSet::new(vec!["member".parse()?])?,
        tags: BoundedSet::default(),
        uses: 100_000,
        valid_for: Span::from_hours(1),
    };
    let made = operator.new_invite(&invite).await?;
    Ok(made.invite.expose().parse()?)
}

/// Whether the authority is gone. Anything else that goes wrong is a finding.
fn is_gone(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Unreachable { .. } | ClientError::Unanswered { .. }
    )
}

async fn enroll_many(
    client: Client,
    token: InviteToken,
    name: String,
    promises: Shared,
) -> anyhow::Result<()> {
    for number in 0.. {
        let member = Member::new()?;
        let name = format!("{name}-{number}");
        let enrolled = match member.enroll(&client, &name, Some(token.clone())).await {
            Ok(Ok(enrolled)) => enrolled,
            Ok(Err(error)) if is_gone(&error) => break,
            Ok(Err(error)) => return Err(error.into()),
            Err(error) if error.downcast_ref().is_some_and(is_gone) => break,
            Err(error) => return Err(error),
        };
        let Enrolled::Admitted(certificate) = enrolled else {
            anyhow::bail!("{name} is pending in spite of its invite");
        };
        let joined = member.joined(client.clone(), &certificate)?;
        let (serial, identity) = (joined.certificate.serial, joined.certificate.identity);
        let mut promises = held(&promises);
        if !promises.serials.insert(serial) {
            promises
                .broken
                .push(format!("the serial {serial} was given out twice"));
        }
        promises
            .nodes
            .insert(joined.member.id(), (serial, identity));
    }
    Ok(())
}

async fn revoke_many(operator: OperatorClient, promises: Shared) -> anyhow::Result<()> {
    let why = Decision {
        reason: "lost".parse()?,
    };
    loop {
        let next = {
            let mut promises = held(&promises);
            let next = promises
                .nodes
                .keys()
                .find(|node| !promises.wanted_out.contains(node))
                .copied();
            promises.wanted_out.extend(next);
            next
        };
        let Some(node) = next else {
            tokio::time::sleep(Duration::from_millis(5)).await; // until somebody has come in
            match operator.client().health().await {
                Err(error) if is_gone(&error) => return Ok(()),
                _ => continue,
            }
        };
        match operator.revoke(&NodeRef::Id(node), &why).await {
            Ok(status) => {
                held(&promises).revoked.insert(node, status.list.sequence);
            }
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

async fn rotate_many(operator: OperatorClient, promises: Shared) -> anyhow::Result<()> {
    loop {
        match operator.rotate().await {
            Ok(epoch) => {
                let mut promises = held(&promises);
                if !promises.epochs.insert(epoch.number) {
                    promises
                        .broken
                        .push(format!("epoch {} was begun twice", epoch.number));
                }
            }
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Holds the authority against all that it ever acknowledged. Returns how many records its audit log has.
async fn check(installation: &Installation, promises: &Shared) -> anyhow::Result<u64> {
    let operator = installation.operator()?;
    check_nodes(&operator, promises).await?;
    check_list(&operator, promises).await?;
    check_epochs(&operator, promises).await?;
    {
        let promises = held(promises);
        ensure!(promises.broken.is_empty(), "{:?}", promises.broken);
    }
    let mut verifier = Verifier::of_export(installation.chain()?.documents())?;
    let mut export = operator.audit_export().await?;
    while let Some(piece) = export.next().await? {
        verifier.push(&piece)?;
    }
    Ok(verifier.finish()?.records)
}

async fn check_nodes(operator: &OperatorClient, promises: &Shared) -> anyhow::Result<()> {
    let mut there: BTreeMap<NodeId, NodeView> = BTreeMap::new();
    let mut filter = NodeFilter::default();
    loop {
        let page = operator.nodes(filter).await?;
        there.extend(page.nodes.iter().map(|node| (node.node, node.clone())));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    let promises = held(promises);
    for (node, (serial, _)) in &promises.nodes {
        let view = there
            .get(node)
            .with_context(|| format!("{node} was admitted, and is gone"))?;
        let out = view.status == NodeStatus::Revoked;
        let (promised, wanted) = (
            promises.revoked.contains_key(node),
            promises.wanted_out.contains(node),
        );
        ensure!(
            out || !promised,
            "{node} was revoked, and is {}",
            view.status
        );
        ensure!(wanted || !out, "{node} is revoked, and nobody wanted that");
        let has = view.serial.unwrap_or_default();
        ensure!(
            out || has >= *serial,
            "{node} had serial {serial}, and has {has}"
        );
    }
    Ok(())
}

async fn check_list(operator: &OperatorClient, promises: &Shared) -> anyhow::Result<()> {
    let client = operator.client();
    let signed = client.revocation_list().await?;
    let list = signed.verify(&client.site().keyring, client.clock().now())?;
    let mut promises = held(promises);
    for (node, sequence) in &promises.revoked {
        ensure!(
            list.sequence >= *sequence,
            "list {sequence} was promised, and {} is in force",
            list.sequence
        );
        let identity = promises.nodes[node].1;
        let entry = list
            .entries
            .binary_search_by(|entry| entry.identity.cmp(&identity));
        ensure!(entry.is_ok(), "{node} was revoked, and is not on the list");
    }
    let newest = promises
        .lists
        .last_key_value()
        .map(|(sequence, _)| *sequence);
    ensure!(
        newest.is_none_or(|newest| newest <= list.sequence),
        "the list went back"
    );
    let known = promises.lists.insert(list.sequence, signed.digest());
    ensure!(
        known.is_none_or(|known| known == signed.digest()),
        "two lists {}",
        list.sequence
    );
    Ok(())
}

async fn check_epochs(operator: &OperatorClient, promises: &Shared) -> anyhow::Result<()> {
    let epochs = operator.epochs().await?;
    let newest = epochs.epochs.iter().map(|epoch| epoch.number).max();
    let promised = held(promises).epochs.last().copied();
    ensure!(
        newest >= promised,
        "epoch {promised:?} was promised, and {newest:?} is the last"
    );
    Ok(())
}
