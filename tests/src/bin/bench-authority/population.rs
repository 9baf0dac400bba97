//! A network full of nodes: they enrol, renew and are given a new epoch.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tidegate::client::OperatorClient;
use tidegate_proto::api::{Enrolled, NewInvite, PolicyProposal};
use tidegate_proto::{BoundedSet, Invite, Span};
use tidegate_tests::authority::{Installation, Joined, Member};
use tokio::task::JoinSet;

use crate::report::Report;

/// How many nodes each may reach.
const REACH: usize = 50;
/// How many clients ask at once.
const CLIENTS: usize = 48;
/// As many groups as rules with as much text fit into a policy.
const MOST_GROUPS: usize = 250;

pub(crate) struct Population<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) operator: OperatorClient,
    pub(crate) members: Vec<Joined>,
}

impl<'a> Population<'a> {
    pub(crate) async fn new(installation: &'a Installation) -> anyhow::Result<Self> {
        let operator = installation.operator()?;
        let policy = operator.policy().await?;
        let file = with_groups(&policy.file)?;
        operator
            .put_policy(&PolicyProposal { base: None, file })
            .await?;
        Ok(Self {
            installation,
            operator,
            members: Vec::new(),
        })
    }

    /// Everybody comes in, each over a connection of its own. Keys are made before the clock runs.
    pub(crate) async fn enroll(&mut self, count: usize, report: &mut Report) -> anyhow::Result<()> {
        let mut waiting = Vec::with_capacity(count);
        for group in 0..count.div_ceil(REACH).min(MOST_GROUPS) {
            let invite = Arc::new(self.invite(group).await?);
            for number in (group * REACH)..((group + 1) * REACH).min(count) {
                waiting.push((Member::new()?, format!("n{number}"), Arc::clone(&invite)));
            }
        }
        let waiting = Arc::new(waiting);
        let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (waiting, next) = (Arc::clone(&waiting), Arc::clone(&next));
            let (site, timeouts) = (
                self.installation.chain()?.site()?,
                tidegate::client::Timeouts::default(),
            );
            clients.spawn(async move {
                let (mut joined, mut times) = (Vec::new(), Vec::new());
                while let Some((member, name, invite)) =
                    waiting.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let clock = Arc::new(tidegate::client::Clock::system());
                    let started = Instant::now();
                    let client = tidegate::client::Client::new(site.clone(), clock, timeouts)?;
                    let enrolled = member
                        .enroll(&client, name, Some(invite.token.clone()))
                        .await??;
                    times.push(started.elapsed());
                    let Enrolled::Admitted(certificate) = enrolled else {
                        bail!("{name} is pending")
                    };
                    joined.push((member.clone(), certificate));
                }
                anyhow::Ok((joined, times))
            });
        }
        let mut times = Vec::with_capacity(count);
        let mut admitted = Vec::with_capacity(count);
        while let Some(done) = clients.join_next().await {
            let (joined, took) = done??;
            admitted.extend(joined);
            times.extend(took);
        }
        report.rate(
            "enrolments, a new connection each",
            &mut times,
            began.elapsed(),
            "500/s",
        );
        let client = self.installation.client()?;
        for (member, certificate) in admitted {
            self.members
                .push(member.joined(client.clone(), &certificate)?);
        }
        Ok(())
    }

    async fn invite(&self, group: usize) -> anyhow::Result<Invite> {
        let invite = NewInvite {
            roles: BoundedSet::new(vec!["node".parse()?])?,
            tags: BoundedSet::new(vec![format!("g{group}").parse()?])?,
            uses: u32::try_from(REACH)?,
            valid_for: Span::from_hours(1),
        };
        let made = self.operator.new_invite(&invite).await?;
        made.invite.expose().parse().context("the invite")
    }

    /// Some renew, over connections that are kept.
    pub(crate) async fn renew(&mut self, count: usize, report: &mut Report) -> anyhow::Result<()> {
        let renewing: Vec<_> = self.members.drain(..count).collect();
        let mut shares: Vec<Vec<Joined>> = (0..CLIENTS).map(|_| Vec::new()).collect();
        for (at, joined) in renewing.into_iter().enumerate() {
            shares[at % CLIENTS].push(joined);
        }
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for mut share in shares {
            clients.spawn(async move {
                let mut times = Vec::new();
                for joined in &mut share {
                    let (keys, started) = (joined.member.clone(), Instant::now());
                    joined.renew(keys).await??;
                    times.push(started.elapsed());
                }
                anyhow::Ok((share, times))
            });
        }
        let mut times = Vec::with_capacity(count);
        while let Some(done) = clients.join_next().await {
            let (share, took) = done??;
            self.members.extend(share);
            times.extend(took);
        }
        report.rate("renewals", &mut times, began.elapsed(), "");
        Ok(())
    }

    /// Everybody is given a key to a new epoch.
    pub(crate) async fn rotate(&self, report: &mut Report) -> anyhow::Result<()> {
        let began = Instant::now();
        let epoch = self.operator.rotate().await?.number;
        let everybody = self.members.len();
        loop {
            let epochs = self.operator.epochs().await?;
            let released = epochs.epochs.iter().find(|view| view.number == epoch);
            if released.is_some_and(|view| view.released as usize >= everybody) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await; // until all are released
        }
        let took = format!("{:.2} s for {everybody}", began.elapsed().as_secs_f64());
        report.fact(
            "grants of a new epoch sealed and released",
            took,
            "2 s for 10000",
        );
        Ok(())
    }
}

/// What the starter policy permits.
const EVERYBODY: &str = "[[rules]]\nfrom = [\"all\"]\nto = [\"all\"]\nprotocol = \"any\"\n";

/// The starter policy, with each group of nodes among themselves in place of everybody with everybody.
fn with_groups(policy: &str) -> anyhow::Result<String> {
    ensure!(
        policy.contains(EVERYBODY),
        "the starter policy is another: {policy}"
    );
    let policy = policy.replace(EVERYBODY, "");
    let (before, after) = policy
        .split_once("[[operators]]")
        .context("the policy names an operator")?;
    let rules = (0..MOST_GROUPS).map(|group| {
        format!(
            "[[rules]]\nfrom = [\"tag:g{group}\"]\nto = [\"tag:g{group}\"]\nprotocol = \"any\"\n\n"
        )
    });
    Ok(format!(
        "{before}{}[[operators]]{after}",
        rules.collect::<String>()
    ))
}
