//! The command line: arguments in, a short text for a person out.

mod audit;
mod backup;
mod genesis;
mod init;
mod install;
mod keys;
mod manual;
mod passphrase;
mod serve;
mod settings;
mod tls;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use tidegate_proto::UnixTime;

/// The authority of a Tidegate network: its keys, its genesis, and the service that admits, signs and revokes.
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
    /// TLS keys, by which nodes recognise the authority
    #[command(subcommand)]
    Tls(tls::Tls),
    /// Make an authority: its data directory with keys, genesis, database, settings and first operator
    ///
    /// With --name everything is made on this machine, the root key too. With --genesis it is installed after a
    /// ceremony elsewhere.
    Init(Box<init::Init>),
    /// Run the service: admit, sign, revoke
    ///
    /// SIGTERM stops it in good order; SIGHUP has it read settings, TLS key and genesis files again. The log goes to
    /// standard error.
    Serve(serve::Serve),
    /// Write all of an authority to one encrypted file, beside its running server
    Backup(backup::Backup),
    /// Make an authority's data directory out of a backup
    ///
    /// The restored authority issues nothing until the nodes have told it what happened after the backup.
    Restore(backup::Restore),
    /// The audit log
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Write the manual pages and completions that the packages ship
    #[command(hide = true)]
    Manual(manual::Manual),
}

impl Program {
    /// Runs the command at `now`. Says what was done and what comes next.
    pub(crate) fn run(self, now: UnixTime) -> anyhow::Result<String> {
        match self.command {
            Command::Root(root) => root.run(),
            Command::Key(key) => key.run(),
            Command::Genesis(command) => command.run(now),
            Command::Tls(tls) => tls.run(),
            Command::Init(init) => init.run(now),
            Command::Serve(serve) => serve.run(),
            Command::Backup(backup) => backup.run(now),
            Command::Restore(restore) => restore.run(),
            Command::Audit(audit) => audit.run(),
            Command::Manual(manual) => manual.run(Self::command()),
        }
    }
}

/// What runs a command that works with the database.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the system lets no threads be started")
}
