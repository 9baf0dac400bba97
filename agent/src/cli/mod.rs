//! The command line: arguments in, text for people or JSON for programs out. One file or folder per group of commands.

mod admin;
mod clean_host;
mod failure;
mod manual;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

pub(crate) use failure::Failure;
pub(crate) use tidegate::exit::Exit;

/// A WireGuard overlay network that can prove who is in and when someone is out.
///
/// Exit codes: 0 done; 1 failed; 2 wrong usage; 3 refused by the authority; 4 the authority cannot be reached, or is
/// not the one that is trusted; 5 a wait ended without what was waited for. Whatever is not 0 comes with one line on
/// standard error that says what happened, why, and what to do next.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a network: admit, revoke, and see who confirmed it
    Admin(admin::Admin),
    /// Take back what a stopped agent left in the host's network
    #[command(hide = true)]
    CleanHost(clean_host::CleanHost),
    /// Write the manual pages and completions that the packages ship
    #[command(hide = true)]
    Manual(manual::Manual),
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => return misused(&error),
    };
    let done = match program.command {
        Command::Admin(admin) => admin.run(),
        Command::CleanHost(clean) => clean.run(),
        Command::Manual(manual) => manual.run(Program::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure.message, failure.exit),
    }
}

/// One line, whatever was in the names that it repeats.
fn refuse(text: &str, exit: Exit) -> ExitCode {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let line: String = text.chars().map(printable).collect();
    let _ = writeln!(std::io::stderr(), "tidegate: {line}"); // there is nowhere else to say it
    exit.into()
}

/// Help and version as they are; errors in one line.
fn misused(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print(); // whoever asked has gone
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
        }
        _ => refuse(
            &format!("{}; --help tells more", in_one_line(error)),
            Exit::Usage,
        ),
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
