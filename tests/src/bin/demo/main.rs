//! Tidegate for somebody who sees it for the first time: `make demo`.
//!
//! Three hosts and an authority, each in a network namespace of its own, run the real programs. They join, talk, one is
//! put out in the middle of a transfer, and then the authority dies. What is shown is measured while it happens: nothing
//! that is printed is known before. Nothing stays behind, not after Ctrl-C either.
#![forbid(unsafe_code)]

mod lease;
mod revocation;
mod stage;
mod traffic;
mod voice;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use nix::unistd::geteuid;
use serde_json::json;
use tidegate_tests::supervise;

use crate::stage::Stage;
use crate::voice::Voice;

#[derive(Parser)]
struct Args {
    /// Print the timeline as JSON, and what happens meanwhile on standard error
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !geteuid().is_root() {
        eprintln!("The demo makes network namespaces, which takes root: sudo make demo");
        return ExitCode::FAILURE;
    }
    supervise(|| match play(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo has failed: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn play(args: &Args) -> Result<()> {
    let (voice, began) = (Voice::new(args.json), Instant::now());
    voice.say("Tidegate: an overlay network that can prove who is in, and when someone is out.")?;
    voice.say(
        "Every host here is a network namespace of this machine; the machine itself stays as it is.",
    )?;
    let (mut stage, joined) = Stage::set(&voice)?;
    traffic::look(&voice, &stage)?;
    let traffic = traffic::show(&voice, &stage)?;
    let revocation = revocation::show(&voice, &stage)?;
    let lease = lease::show(&voice, &mut stage)?;
    farewell(&voice, &revocation, &lease, began)?;
    if args.json {
        let timeline = json!({
            "epochs": stage::epochs_as_json(),
            "joined": joined,
            "traffic": traffic,
            "revocation": revocation.as_json(),
            "lease": lease.as_json(),
            "took_ms": u64::try_from(began.elapsed().as_millis())?,
        });
        println!("{}", serde_json::to_string_pretty(&timeline)?);
    }
    Ok(())
}

fn farewell(
    voice: &Voice,
    revocation: &revocation::Timeline,
    lease: &lease::Timeline,
    began: Instant,
) -> Result<()> {
    voice.act("That was it")?;
    voice.note(&format!(
        "Where the news arrives, a node is out within milliseconds: here {:.0} ms, and everybody has signed it.",
        revocation.cut_off()
    ))?;
    voice.note(&format!(
        "Where no news arrives, the clock does it: here {}.",
        lease.in_words()
    ))?;
    voice.note(&format!(
        "All of this took {:.0} s. `make bench-cutoff` measures a hundred revocations; README says how to install.",
        began.elapsed().as_secs_f64()
    ))
}
