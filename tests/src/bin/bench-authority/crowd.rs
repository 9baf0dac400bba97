//! Streams: how soon a revocation is everywhere, and what it takes to hold them open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tidegate::client::{Client, Clock, NodeRef, Timeouts};
use tidegate_proto::api::Decision;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Arguments;
use crate::gauge::Gauge;
use crate::population::Population;
use crate::report::{Promise, Report};

/// Streams that are opened at once.
const DOOR: usize = 8;
/// How long a stream may take to open: on a busy machine the figure is bad, but there is one.
const PATIENCE: Duration = Duration::from_secs(120);
/// A revocation that is not everywhere by then is not there at all.
const LATEST: Duration = Duration::from_secs(30);
/// By when a revocation is promised to be everywhere.
const REACHED: Duration = Duration::from_millis(250);
/// How many megabytes are promised to do.
const MEMORY: f64 = 300.0;

pub(crate) async fn measure(
    arguments: &Arguments,
    population: &Population<'_>,
    gauge: &Gauge,
    report: &mut Report,
) -> anyhow::Result<()> {
    let nodes = population.members.len();
    let count = arguments.streams.min(nodes - arguments.revocations);
    let (lists, mut heard) = mpsc::unbounded_channel();
    let _streams = open(population, count, lists, report).await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // the last first sets go out before anything is measured
    let resident = gauge.resident()?;
    let promise = Promise::at_most(resident as f64, MEMORY, "MB");
    let promise = if arguments.everybody {
        Promise::nothing()
    } else {
        promise
    };
    let what = format!("memory, {count} streams, {nodes} nodes");
    report.fact(&what, &format!("{resident} MB"), &promise);
    let idle = gauge.idle(Duration::from_secs(30)).await?;
    let idle = format!("{idle:.2} %");
    report.fact("idle CPU with these streams", &idle, &Promise::nothing());
    revoke(arguments, population, count, &mut heard, report).await?;
    let resident = format!("{} MB", gauge.resident()?);
    report.fact("memory at the end", &resident, &Promise::nothing());
    Ok(())
}

/// Revokes the last members, and times when each of `count` streams hears of it.
async fn revoke(
    arguments: &Arguments,
    population: &Population<'_>,
    count: usize,
    heard: &mut mpsc::UnboundedReceiver<Instant>,
    report: &mut Report,
) -> anyhow::Result<()> {
    while heard.try_recv().is_ok() {} // what came with the first sets
    let why = Decision {
        reason: "bench".parse()?,
    };
    let mut times = Vec::new();
    for joined in population.members.iter().rev().take(arguments.revocations) {
        let out = NodeRef::Id(joined.member.id());
        let began = Instant::now();
        population.operator.revoke(&out, &why).await?;
        for _ in 0..count {
            let arrived: Instant = timeout(LATEST, heard.recv())
                .await?
                .context("a stream ended")?;
            times.push(arrived.duration_since(began));
        }
        tokio::time::sleep(Duration::from_millis(500)).await; // each is measured alone
    }
    ensure!(times.len() == count * arguments.revocations);
    let what = format!("a revocation at {count} streams");
    let figure = format!("{} times", arguments.revocations);
    report.timed(&what, &figure, &mut times, REACHED);
    Ok(())
}

/// Opens the streams of the first `count` members. Each tells when a list arrives.
async fn open(
    population: &Population<'_>,
    count: usize,
    lists: mpsc::UnboundedSender<Instant>,
    report: &mut Report,
) -> anyhow::Result<JoinSet<()>> {
    let site = population.installation.chain()?.site()?;
    let (next, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let identities = population
        .members
        .iter()
        .take(count)
        .map(|joined| joined.member.identity().clone());
    let identities: Arc<Vec<_>> = Arc::new(identities.collect());
    let mut doors = JoinSet::new();
    for _ in 0..DOOR {
        let (site, next, identities) = (site.clone(), Arc::clone(&next), Arc::clone(&identities));
        doors.spawn(async move {
            let mut opened = Vec::new();
            while let Some(identity) = identities.get(next.fetch_add(1, Ordering::Relaxed)) {
                let timeouts = Timeouts {
                    answer: PATIENCE,
                    silence: PATIENCE,
                    ..Timeouts::default()
                };
                let client = Client::new(site.clone(), Arc::new(Clock::system()), timeouts)?;
                let started = Instant::now();
                let mut stream = client.as_node(Arc::clone(identity)).stream(None).await?;
                while stream.next_unread().await?.name != "grant" {} // the last of the first set
                opened.push((stream, started.elapsed()));
            }
            anyhow::Ok(opened)
        });
    }
    let (mut streams, mut times) = (JoinSet::new(), Vec::new());
    while let Some(opened) = doors.join_next().await {
        for (mut stream, took) in opened?? {
            times.push(took);
            let lists = lists.clone();
            streams.spawn(async move {
                while let Ok(event) = stream.next_unread().await {
                    if event.name == "list" && lists.send(Instant::now()).is_err() {
                        return;
                    }
                }
            });
        }
    }
    report.rate(
        "streams opened, with their first set",
        &mut times,
        began.elapsed(),
        None,
    );
    Ok(streams)
}
