//! # The data plane against its rivals
//!
//! Each contender carries the same loads between two namespaces joined by a veth with every offload, in rounds that take
//! turns, so that what the machine does meanwhile hits all alike. The table shows medians over the rounds; the verdict
//! compares with wireguard-go, and the exit code is 1 where something required was missed.
//!
//! Throughput is what arrived in the application. CPU is the user and system time of both daemons per 10^9 of those bytes;
//! time that the kernel spends in its own softirqs is nobody's and not counted for anyone.
#![forbid(unsafe_code)]

mod contender;
mod measure;
mod nebula;
mod table;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use crate::contender::Contender;
use crate::measure::{Scenario, Sheet};

#[derive(Parser)]
struct Args {
    /// How often each contender has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Our static program, as it is shipped.
    #[arg(long, default_value = "target/dist/tidegate-static")]
    own: PathBuf,
    /// Where `install-rivals` put the rivals.
    #[arg(long, default_value = "target/rivals/bin")]
    rivals: PathBuf,
    /// Only contenders whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Only the loads whose name holds this.
    #[arg(long)]
    load: Option<String>,
    /// The result as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let (own, rivals) = (
        std::path::absolute(&args.own)?,
        std::path::absolute(&args.rivals)?,
    );
    let mut sheet = Sheet::default();
    for round in 1..=args.rounds {
        for contender in Contender::all(&own, &rivals) {
            if args
                .only
                .as_ref()
                .is_some_and(|only| !contender.name().contains(only))
            {
                continue;
            }
            eprintln!("round {round} of {}: {}", args.rounds, contender.name());
            let scenarios = Scenario::all(&contender);
            let wanted = |s: &Scenario| args.load.as_ref().is_none_or(|load| s.name.contains(load));
            let scenarios: Vec<_> = scenarios.into_iter().filter(wanted).collect();
            contender
                .measure(&scenarios, args.seconds, &mut sheet)
                .with_context(|| format!("{} failed", contender.name()))?;
        }
    }
    let verdict = verdict::judge(&sheet);
    if args.json {
        println!("{}", table::json(&sheet, &verdict));
    } else {
        print!("{}", table::text(&sheet, &verdict));
    }
    let passed = verdict.iter().all(|line| line.holds());
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
