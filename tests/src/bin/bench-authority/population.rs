//! A network full of nodes: they enrol, renew and are given a new epoch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tidegate::client::{Client, Clock, OperatorClient, Site, Timeouts};
use tidegate_proto::api::{Enrolled, NewInvite, PolicyProposal};
use tidegate_proto::{BoundedSet, Certificate, Invite, Signed, Span};
use tidegate_tests::authority::{Installation, Joined, Member};
use tokio::task::JoinSet;

use crate::report::{Promise, Report};

/// How many nodes each may reach.
const REACH: usize = 50;
/// How many clients ask at once.
const CLIENTS: usize = 48;
/// As many groups as rules with as much text fit into a policy.
const MOST_GROUPS: usize = 250;
/// Enrolments a second that are promised.
const ENROLMENTS: f64 = 500.0;
/// Seconds in which grants are promised to be sealed.
const SEALED: f64 = 2.0;

pub(crate) struct Population<'a> {
    pub(crate) installation: &'a Installation,
    pub(crate) operator: OperatorClient,
    pub(crate) members: Vec<Joined>,
}

impl<'a> Population<'a> {
    /// Nobody yet; each is to reach 50 others, or `everybody`.
    pub(crate) async fn new(
        installation: &'a Installation,
        everybody: bool,
    ) -> anyhow::Result<Self> {
        let operator = installation.operator()?;
        if !everybody {
            let policy = operator.policy().await?;
            let file = with_groups(&policy.file)?;
            let proposal = PolicyProposal { base: None, file };
            operator.put_policy(&proposal).await?;
        }
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
                waiting.push(Newcomer {
                    member: Member::new()?,
                    name: format!("n{number}"),
                    invite: Arc::clone(&invite),
                    site: self.installation.chain()?.site()?,
                });
            }
        }
        let began = Instant::now();
        let (admitted, mut times) = by_clients(waiting, Newcomer::enroll).await?;
        let what = "enrolments, a new connection each";
        report.rate(what, &mut times, began.elapsed(), Some(ENROLMENTS));
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

    /// Everybody says where it is found, over connections that are kept.
    pub(crate) async fn tell(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (began, everybody) = (Instant::now(), std::mem::take(&mut self.members));
        let told = by_clients(everybody, |joined: Joined| async move {
            let endpoint = "192.0.2.7:51820".parse()?;
            joined.put_record(endpoint).await?;
            Ok(joined)
        });
        let (members, mut times) = told.await?;
        self.members = members;
        report.rate("peer records", &mut times, began.elapsed(), None);
        Ok(())
    }

    /// Some renew under a new sealing key, as nodes do, over connections that are kept.
    pub(crate) async fn renew(&mut self, count: usize, report: &mut Report) -> anyhow::Result<()> {
        let mut renewing = Vec::with_capacity(count);
        for joined in self.members.drain(..count) {
            renewing.push((joined.member.with_new_sealing_key()?, joined));
        }
        let began = Instant::now();
        let renewed = by_clients(
            renewing,
            |(fresh, mut joined): (Member, Joined)| async move {
                let before = joined.certificate.serial;
                joined.renew(fresh).await??;
                ensure!(joined.certificate.serial > before, "the same certificate");
                Ok(joined)
            },
        );
        let (members, mut times) = renewed.await?;
        self.members.extend(members);
        report.rate("renewals", &mut times, began.elapsed(), None);
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
            tokio::time::sleep(Duration::from_millis(50)).await; // until all are released; asking costs as well
        }
        let took = began.elapsed().as_secs_f64();
        let what = format!("{everybody} grants of a new epoch sealed and released");
        let promise = Promise::at_most(took, SEALED, "s for 10000");
        report.fact(&what, &format!("{took:.2} s"), &promise);
        Ok(())
    }
}

/// Somebody who is to come in.
struct Newcomer {
    member: Member,
    name: String,
    invite: Arc<Invite>,
    site: Site,
}

impl Newcomer {
    async fn enroll(self) -> anyhow::Result<(Member, Signed<Certificate>)> {
        let client = Client::new(self.site, Arc::new(Clock::system()), Timeouts::default())?;
        let token = Some(self.invite.token.clone());
        match self.member.enroll(&client, &self.name, token).await?? {
            Enrolled::Admitted(certificate) => Ok((self.member, certificate)),
            Enrolled::Pending => bail!("{} is pending", self.name),
        }
    }
}

/// Has some clients do `work` on everything, each on one after the other. Gives what came of it, and how long each took.
async fn by_clients<T, U, F>(
    all: Vec<T>,
    work: impl Fn(T) -> F + Clone + Send + 'static,
) -> anyhow::Result<(Vec<U>, Vec<Duration>)>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Future<Output = anyhow::Result<U>> + Send,
{
    let mut shares: Vec<Vec<T>> = (0..CLIENTS).map(|_| Vec::new()).collect();
    for (at, one) in all.into_iter().enumerate() {
        shares[at % CLIENTS].push(one);
    }
    let mut clients = JoinSet::new();
    for share in shares {
        let work = work.clone();
        clients.spawn(async move {
            let mut done = Vec::with_capacity(share.len());
            for one in share {
                let started = Instant::now();
                done.push((work(one).await?, started.elapsed()));
            }
            anyhow::Ok(done)
        });
    }
    let (mut results, mut times) = (Vec::new(), Vec::new());
    while let Some(done) = clients.join_next().await {
        for (result, took) in done?? {
            results.push(result);
            times.push(took);
        }
    }
    Ok((results, times))
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
