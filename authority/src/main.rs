//! The authority's program: it reads the clock and the arguments once, runs one command, prints what came out.
#![forbid(unsafe_code)]

mod cli;

use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use clap::error::ErrorKind;
use tidegate_proto::UnixTime;

/// A refusal: something that was asked for cannot be.
const REFUSED: u8 = 1;
/// A command line that makes no sense.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match cli::Program::try_parse() {
        Ok(program) => program,
        Err(error) => return misused(&error),
    };
    match clock().and_then(|now| print(&command.run(now)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{error:#}"), REFUSED),
    }
}

fn clock() -> anyhow::Result<UnixTime> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("this machine's clock is before 1970; set it")?;
    Ok(UnixTime::from_millis(
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
    ))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("what was asked for is done, but cannot be printed")
}

/// One line, whatever was in the file names that it repeats.
fn refuse(text: &str, code: u8) -> ExitCode {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let _ = writeln!(std::io::stderr(), "tidegate-authority: {line}"); // there is nowhere else to say it
    ExitCode::from(code)
}

/// Help and version as they are; errors in one line. A value that cannot be is a refusal, not misuse.
fn misused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(error.exit_code() as u8)
        }
        ErrorKind::ValueValidation => refuse(&in_one_line(error), REFUSED),
        _ => refuse(&format!("{}; --help tells more", in_one_line(error)), USAGE),
    }
}

fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let said = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        .filter(|line| !line.is_empty());
    let line = said.collect::<Vec<_>>().join(" ");
    line.trim_start_matches("error: ").to_owned()
}
