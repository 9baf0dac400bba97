//! The command line: arguments in, a short text for a person out.

mod genesis;
mod keys;
mod settings;

use clap::{Parser, Subcommand};
use tidegate_proto::UnixTime;

/// Keys and genesis documents of Tidegate networks.
///
/// The root key signs the genesis of a network and its successions, and nothing else: make it on a machine
/// without a network and keep it there. The authority key signs everything else, online.
///
/// Exit codes: 0 done, 1 refused (one line on standard error says what, why and what to do; nothing was
/// written), 2 wrong usage. Existing files are never replaced.
#[derive(Debug, Parser)]
#[command(name = "tidegate-authority", version, max_term_width = 100)]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The root key, which stays offline
    #[command(subcommand)]
    Root(keys::Root),
    /// Authority keys, which sign online
    #[command(subcommand)]
    Key(keys::Key),
    /// The genesis: a network's constitution, signed by its root
    #[command(subcommand)]
    Genesis(genesis::Command),
}

impl Program {
    /// Runs the command at `now`. Says what was done and what comes next.
    pub(crate) fn run(self, now: UnixTime) -> anyhow::Result<String> {
        match self.command {
            Command::Root(root) => root.run(),
            Command::Key(key) => key.run(),
            Command::Genesis(command) => command.run(now),
        }
    }
}
