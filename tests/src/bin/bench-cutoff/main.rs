//! How fast a node is out, in, and back: `make bench-cutoff`.
//!
//! Real programs in the lab. Each round a new node joins, transfers as fast as it can in both directions, and is revoked
//! through the API meanwhile; what comes out of the tunnel is recorded at both ends. Then a node that others talk to is
//! killed, again and again. The load and both ends share this machine, so the figures are what is left.
#![forbid(unsafe_code)]

mod restart;
mod round;
mod sheet;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tidegate_tests::overlay::{Overlay, Underlay};
use tidegate_tests::supervise;

use crate::sheet::Sheet;

#[derive(Parser)]
struct Args {
    /// How many nodes are put out; each has a host of its own, of which there are at most 200
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200))]
    rounds: u32,
    /// How often an agent is killed
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// The result as JSON on standard output
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    supervise(|| match measure(&args) {
        Ok(sheet) => report(&sheet, args.json),
        Err(error) => {
            eprintln!("bench-cutoff: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn measure(args: &Args) -> Result<Sheet> {
    let mut sheet = Sheet::default();
    let mut overlay = Overlay::new(Underlay::V4)?;
    let mut kept = overlay.node("kept")?;
    let witness = overlay.node("witness")?;
    witness.await_ping(&kept)?;
    for number in 1..=args.rounds {
        round::run(number, &mut overlay, &kept, &witness, &mut sheet)?;
        eprintln!("revocation {number} of {}", args.rounds);
    }
    for number in 1..=args.kills {
        restart::run(&mut kept, &witness, &mut sheet)?;
        eprintln!("kill {number} of {}", args.kills);
    }
    Ok(sheet)
}

/// The exit code is 1 where something that is promised was missed.
fn report(sheet: &Sheet, json: bool) -> ExitCode {
    if json {
        println!("{}", sheet.as_json());
    } else {
        print!("{sheet}");
    }
    if sheet.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
