//! Putting nodes out, and seeing who has confirmed it.

use std::time::Duration;

use clap::Args;
use tidegate::admin::{facts, length, moment, or_dash, table};
use tidegate::client::{ClientError, NodeRef};
use tidegate_proto::api::{Decision, RevocationReport, RevocationStatus, RevocationView};
use tidegate_proto::{Reason, RevocationKind, Sequence, UnixTime};

use super::desk::Desk;
use crate::cli::{Exit, Failure};

/// How often it is asked who has confirmed.
const PAUSE: Duration = Duration::from_millis(300);
/// Of more nodes than these the names are not asked for.
const MOST_NAMED: usize = 20;

/// Puts a node out for good.
#[derive(Args, Debug)]
pub(super) struct Revoke {
    /// The node's name or id
    node: NodeRef,
    /// Why, for people; every node sees it
    #[arg(long)]
    reason: Reason,
    #[command(flatten)]
    wait: Wait,
}

/// Puts a node out for now.
#[derive(Args, Debug)]
pub(super) struct Suspend {
    /// The node's name or id
    node: NodeRef,
    /// Why, for people; every node sees it
    #[arg(long)]
    reason: Reason,
    #[command(flatten)]
    wait: Wait,
}

#[derive(Args, Debug)]
struct Wait {
    /// Wait until everybody has confirmed it, or the bound has passed
    #[arg(long)]
    wait: bool,
    /// Wait at most so long, then end with exit code 5
    #[arg(long, value_name = "TIME", requires = "wait")]
    at_most: Option<tidegate_proto::Span>,
}

impl Revoke {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let why = Decision {
            reason: self.reason,
        };
        let status = desk.operator.revoke(&self.node, &why).await?;
        self.wait.follow(desk, &self.node, &status).await
    }
}

impl Suspend {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        let why = Decision {
            reason: self.reason,
        };
        let status = desk.operator.suspend(&self.node, &why).await?;
        self.wait.follow(desk, &self.node, &status).await
    }
}

impl Wait {
    async fn follow(
        &self,
        desk: &Desk,
        node: &NodeRef,
        status: &RevocationStatus,
    ) -> Result<(), Failure> {
        let list = status.list.sequence;
        let mut report = desk.operator.revocation(list).await.map_err(|error| {
            let Failure { exit, message } = error.into();
            let message = format!(
                "{node} is out, with list {list}, but how that stands is not known: {message}"
            );
            Failure { exit, message }
        })?;
        if self.wait {
            let least =
                Duration::from_millis(self.at_most.map_or(u64::MAX, |span| span.as_millis()));
            let waited = tokio::time::timeout(least, watch(desk, &mut report)).await;
            desk.console.end_progress();
            waited.unwrap_or_else(|_| Err(too_long(desk, &report)))?;
        }
        desk.console.show(&report, || {
            let ended = if self.wait {
                ""
            } else {
                "\n'tidegate admin revocations SEQ' shows how it goes on."
            };
            format!(
                "{node} is out, with list {}: {}.{ended}\n",
                report.revocation.list,
                standing(&report.status, desk.now())
            )
        })
    }
}

fn too_long(desk: &Desk, report: &RevocationReport) -> Failure {
    let (list, standing) = (report.revocation.list, standing(&report.status, desk.now()));
    Failure {
        exit: Exit::NoAnswer,
        message: format!(
            "the node is out, and the wait has ended: {standing}; 'tidegate admin revocations {list}' shows how it goes on"
        ),
    }
}

/// Asks again and again until nobody honest talks to the node any more. An authority that is away does not end it.
async fn watch(desk: &Desk, report: &mut RevocationReport) -> Result<(), Failure> {
    let mut told = String::new();
    while !is_over(&report.status, desk.now()) {
        let line = standing(&report.status, desk.now());
        if line != told {
            desk.console.progress(&line);
            told = line;
        }
        tokio::time::sleep(PAUSE).await;
        match desk.operator.revocation(report.revocation.list).await {
            Ok(newer) => *report = newer,
            Err(ClientError::Unreachable { .. } | ClientError::Unanswered { .. }) => {
                if report.status.bound <= Some(desk.now()) {
                    return Ok(()); // it has passed, whatever the authority knows
                }
                desk.console
                    .progress("the authority cannot be reached; the bound holds all the same");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// An authority that answers says itself when the bound has passed for those who never confirmed: its clock may have been
/// set.
fn is_over(status: &RevocationStatus, now: UnixTime) -> bool {
    let all_confirmed = status.outstanding_count() == 0;
    status
        .bound
        .is_none_or(|bound| bound <= now && all_confirmed)
}

/// In one line: who has confirmed, who has not, and the bound.
fn standing(status: &RevocationStatus, now: UnixTime) -> String {
    let (confirmed, open) = (status.confirmed_count(), status.outstanding_count());
    let all = confirmed + open;
    match status.bound {
        None if open == 0 => {
            format!("all {all} nodes that could talk to it have confirmed that they have stopped")
        }
        None => format!(
            "{confirmed} of {all} nodes have confirmed, and the others have stopped by themselves"
        ),
        Some(bound) if bound <= now => {
            format!(
                "{confirmed} of {all} nodes have confirmed, and the others have stopped by themselves by {bound}"
            )
        }
        Some(bound) => format!(
            "{confirmed} of {all} nodes have confirmed; the last has stopped by {bound} at the latest ({})",
            moment(bound, now)
        ),
    }
}

/// Lists revocations, or shows one.
#[derive(Args, Debug)]
pub(super) struct Revocations {
    /// The list that it began with
    #[arg(value_name = "SEQ", value_parser = sequence)]
    list: Option<Sequence>,
}

fn sequence(text: &str) -> Result<Sequence, String> {
    let number = text.parse().ok().and_then(Sequence::new);
    number.ok_or_else(|| "the sequence of a list is a whole number".to_owned())
}

impl Revocations {
    pub(super) async fn run(self, desk: &Desk) -> Result<(), Failure> {
        match self.list {
            Some(list) => show_one(desk, list).await,
            None => show_all(desk).await,
        }
    }
}

async fn show_all(desk: &Desk) -> Result<(), Failure> {
    let revocations = desk.operator.revocations().await?;
    let now = desk.now();
    desk.console.show(&revocations, || {
        let row = |one: &RevocationView| {
            let bound = match one.bound {
                Some(bound) if bound > now => moment(bound, now),
                _ => "over".to_owned(),
            };
            let kind = kind(one.kind).to_owned();
            let (list, node) = (one.list.to_string(), one.node.to_string());
            [
                list,
                kind,
                moment(one.since, now),
                bound,
                node,
                one.reason.to_string(),
            ]
        };
        let header = ["list", "kind", "decided", "bound", "node", "reason"];
        table(
            header,
            revocations.revocations.iter().map(row),
            "Nobody was ever put out.",
        )
    })
}

fn kind(kind: RevocationKind) -> &'static str {
    match kind {
        RevocationKind::Revoked => "revoked",
        RevocationKind::Suspended => "suspended",
    }
}

async fn show_one(desk: &Desk, list: Sequence) -> Result<(), Failure> {
    let report = desk.operator.revocation(list).await?;
    let mut rows = Vec::new();
    for (at, open) in report.status.outstanding.iter().enumerate() {
        let name = match at < MOST_NAMED {
            true => desk
                .operator
                .node(&NodeRef::Id(open.node))
                .await
                .ok()
                .map(|node| node.name),
            false => None,
        };
        rows.push([
            or_dash(name),
            moment(open.stopped_at, desk.now()),
            open.node.to_string(),
        ]);
    }
    desk.console
        .show(&report, || describe(&report, rows, desk.now()))
}

fn describe(report: &RevocationReport, rows: Vec<[String; 3]>, now: UnixTime) -> String {
    let (revocation, status) = (&report.revocation, &report.status);
    let mut text = facts([
        ("node", revocation.node.to_string()),
        ("kind", kind(revocation.kind).to_owned()),
        ("reason", revocation.reason.to_string()),
        (
            "decided",
            format!("{} ({})", revocation.since, moment(revocation.since, now)),
        ),
        ("stands", standing(status, now)),
    ]);
    if let Some(bound) = status.bound {
        let span = length(bound.since(revocation.since).as_millis());
        text.push_str(&format!("bound     {bound}, {span} after the decision\n"));
    }
    if !rows.is_empty() {
        text.push('\n');
        text.push_str(&table(
            ["not confirmed", "stops by itself", "node"],
            rows,
            "",
        ));
    }
    if let Some(more) = status.outstanding_unnamed {
        text.push_str(&format!("and {more} more that have not confirmed\n"));
    }
    if status.trusts_rtc && status.bound.is_some() {
        text.push_str(
            "\nThe bound assumes that no node's real-time clock is set back across a reboot.\n",
        );
    }
    text
}
