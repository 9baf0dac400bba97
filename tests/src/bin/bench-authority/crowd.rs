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
use crate::report::Report;

/// Streams that are opened at once.
const DOOR: usize = 8;
/// How long a stream may take to open: on a busy machine the figure is bad, but there is one.
const PATIENCE: Duration = Duration::from_secs(120);
/// A revocation that is not everywhere by then is not there at all.
const LATEST: Duration = Duration::from_secs(30);

pub(crate) async fn measure(
    arguments: &Arguments,
    population: &Population<'_>,
    gauge: &Gauge,
    report: &mut Report,
) -> anyhow::Result<()> {
    let count = arguments
        .streams
        .min(population.members.len() - arguments.revocations);
    let (lists, mut heard) = mpsc::unbounded_channel();
    let _streams = open(population, count, lists, report).await?;
    tokio::time::sleep(Duration::from_secs(2)).await; // the last first sets go out before anything is measured
    let resident = gauge.resident()?;
    let what = format!(
        "memory, {count} streams, {} nodes",
        population.members.len()
    );
    report.fact(&what, format!("{resident} MB"), "300 MB");
    let idle = gauge.idle(Duration::from_secs(30)).await?;
    report.fact("idle CPU with these streams", format!("{idle:.2} %"), "");
    let mut times = Vec::new();
    while heard.try_recv().is_ok() {} // what came with the first sets
    for member in population.members.iter().rev().take(arguments.revocations) {
        let why = Decision {
            reason: "bench".parse()?,
        };
        let began = Instant::now();
        population
            .operator
            .revoke(&NodeRef::Id(member.member.id()), &why)
            .await?;
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
    report.timed(
        &what,
        format!("{} times", arguments.revocations),
        &mut times,
        "p99 250 ms",
    );
    let resident = gauge.resident()?;
    report.fact("memory at the end", format!("{resident} MB"), "");
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
        "",
    );
    Ok(streams)
}
