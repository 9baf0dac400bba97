//! `tidegate admin`: what operators do.

use clap::{Args, Subcommand};
use tidegate::admin::ProfileFile;

use super::Failure;

/// Commands for operators.
#[derive(Args, Debug)]
pub(super) struct Admin {
    /// The network to speak to, by the name of its profile; otherwise the default one
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the networks that you have logged in to
    Profiles,
}

impl Admin {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Profiles => profiles(),
        }
    }
}

fn profiles() -> Result<(), Failure> {
    let file = ProfileFile::of_user().map_err(Failure::new)?;
    for name in file.names() {
        println!("{name}");
    }
    Ok(())
}
