//! What one authority can do on this machine, with its clients beside it: `make bench-authority`.
//!
//! Everything goes through the real server, over HTTPS, with full durability. The load comes from the same two cores,
//! so the figures are what is left for the server.
#![forbid(unsafe_code)]

mod crowd;
mod gauge;
mod population;
mod report;

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_tests::authority::Installation;
use tidegate_tests::authority::durability::{UNLIMITED, survive};
use tokio::runtime::Builder;

use gauge::Gauge;
use population::Population;
use report::{Promise, Report};

/// Measures an authority.
#[derive(Parser)]
struct Arguments {
    /// Nodes in the network; each may reach 50
    #[arg(long, default_value_t = 10_000)]
    nodes: usize,
    /// Each may reach everybody, as by the starter policy; nothing is promised then
    #[arg(long)]
    everybody: bool,
    /// Streams that are open at once
    #[arg(long, default_value_t = 2_000)]
    streams: usize,
    /// Revocations that are timed
    #[arg(long, default_value_t = 20)]
    revocations: usize,
    /// How often the authority is killed in the middle of everything
    #[arg(long, default_value_t = 50)]
    kills: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    allow_files(2 * arguments.streams as u64 + 1000)?;
    let mut report = Report::new();
    let measured = measure(&arguments, &mut report);
    if measured.is_ok() && arguments.kills > 0 {
        kill(arguments.kills, &mut report);
    }
    print!("{report}"); // what there is of it
    measured
}

fn measure(arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let installation = Installation::new(UNLIMITED)?;
    let server = installation.serve()?;
    let gauge = Gauge::of(server.id());
    let nothing = Promise::nothing();
    runtime.block_on(async {
        let idle = gauge.idle(Duration::from_secs(15)).await?;
        report.fact("idle CPU, nobody there", &format!("{idle:.2} %"), &nothing);
        let mut population = Population::new(&installation, arguments.everybody).await?;
        population.enroll(arguments.nodes, report).await?;
        population.tell(report).await?;
        population.renew(arguments.nodes.min(2000), report).await?;
        population.rotate(report).await?;
        let resident = format!("{} MB", gauge.resident()?);
        report.fact("memory, no stream", &resident, &nothing);
        crowd::measure(arguments, &population, &gauge, report).await
    })
}

/// Kills an authority again and again, and says what became of what it had acknowledged.
fn kill(times: u32, report: &mut Report) {
    let survived = survive(times, |kept| eprint!("\rkills survived: {}", kept.rounds));
    eprintln!();
    let figure = match &survived {
        Ok(kept) => format!("{kept:?}"),
        Err(error) => format!("{error:#}"),
    };
    let promise = Promise::that("nothing acknowledged is lost", survived.is_ok());
    report.fact("durability", &figure, &promise);
}

/// Enough open files for the streams; the server inherits the limit.
fn allow_files(wanted: u64) -> anyhow::Result<()> {
    let now = getrlimit(Resource::Nofile);
    let current = Some(now.current.unwrap_or(u64::MAX).max(wanted));
    let maximum = now.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
        .context("raise the number of open files; run as root")
}
