//! The command line: arguments in, text for people or JSON for programs out. One file or folder per group of commands.

mod admin;
mod clean_host;
mod failure;
mod manual;
mod node;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use tidegate::local::Request;

pub(crate) use failure::Failure;
pub(crate) use tidegate::exit::Exit;

/// A WireGuard overlay network that can prove who is in and when someone is out.
///
/// Whatever does not end with 0 comes with one line on standard error that says what happened, why, and what to do next.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, after_help = format!("Exit codes: {}", Exit::TABLE))]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a network
    Join(node::Join),
    /// Run the daemon
    Run(node::Run),
    /// Be in the network
    Up(node::Change),
    /// Be out of it, undo everything on this host, and keep the identity
    Down(node::Change),
    /// Leave the network for good: undo everything on this host, and erase the identity
    Leave(node::Leave),
    /// Show how it stands
    Status(node::Status),
    /// List the nodes that this one may talk to
    Peers(node::Peers),
    /// Measure a round trip to a node inside the tunnel
    Ping(node::Ping),
    /// Tell who has an address
    Whois(node::Whois),
    /// List networks behind other nodes
    Routes(node::Routes),
    /// Show the epochs and their leases
    Epoch(node::Epoch),
    /// Show this node's certificate
    Cert(node::Cert),
    /// Look at the ways to the authority and to each peer
    Netcheck(node::Netcheck),
    /// Examine this host, and say how to put right what is not
    Doctor(node::Doctor),
    /// Print a report without secrets
    Bugreport(node::Bugreport),
    /// Log more or less from now on
    Log(node::Log),
    /// Read the configuration again
    Reload(node::Change),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Run a network: admit, revoke, and see who confirmed it
    Admin(admin::Admin),
    /// Take back what a stopped agent left in the host's network
    #[command(hide = true)]
    CleanHost(clean_host::CleanHost),
    /// Write the manual pages and completions that the packages ship
    #[command(hide = true)]
    Manual(manual::Manual),
}

const UP: &str = "This host is to be in the network; `tidegate status` shows how it stands.";
const DOWN: &str =
    "This host is out of the network, which stays so until `tidegate up`. Its identity is kept.";
const RELOADED: &str =
    "The configuration is read anew; the log tells what of it takes effect later.";

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let program = match Program::try_parse() {
        Ok(program) => program,
        Err(error) => return misused(&error),
    };
    let done = match program.command {
        Command::Join(join) => join.run(),
        Command::Run(run) => run.run(),
        Command::Up(change) => change.run(&Request::Up {}, UP),
        Command::Down(change) => change.run(&Request::Down {}, DOWN),
        Command::Reload(change) => change.run(&Request::Reload {}, RELOADED),
        Command::Leave(leave) => leave.run(),
        Command::Status(status) => status.run(),
        Command::Peers(peers) => peers.run(),
        Command::Ping(ping) => ping.run(),
        Command::Whois(whois) => whois.run(),
        Command::Routes(routes) => routes.run(),
        Command::Epoch(epoch) => epoch.run(),
        Command::Cert(cert) => cert.run(),
        Command::Netcheck(netcheck) => netcheck.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Bugreport(report) => report.run(),
        Command::Log(log) => log.run(),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Program::command(), "tidegate", &mut text);
            print(&String::from_utf8_lossy(&text))
        }
        Command::Admin(admin) => admin.run(),
        Command::CleanHost(clean) => clean.run(),
        Command::Manual(manual) => manual.run(Program::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure.message, failure.exit),
    }
}

/// Prints to standard output. Whoever has stopped reading has seen enough.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(error)),
        _ => Ok(()),
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
