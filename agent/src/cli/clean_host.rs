//! What a stopped agent left of itself in the host's network, taken back: before the package goes.

use std::path::PathBuf;

use clap::Args;
use tidegate::config::STATE;
use tidegate::owner::as_owner;
use tidegate::state::StateDirectory;
use tidegate_netconfig::Host;
use tidegate_netconfig::desired::Marks;
use tidegate_netconfig::host::JOURNAL;

use super::Failure;

#[derive(Args, Debug)]
pub(super) struct CleanHost {
    /// The agent's state directory
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state_dir: PathBuf,
}

impl CleanHost {
    /// Refused while a daemon works in the directory. Identity and membership stay.
    pub(super) fn run(&self) -> Result<(), Failure> {
        if !self.state_dir.exists() {
            return Ok(()); // then nobody noted a change
        }
        as_owner(&self.state_dir, || self.undo())?
    }

    fn undo(&self) -> Result<(), Failure> {
        let directory = StateDirectory::open(&self.state_dir)?;
        if !directory.has(JOURNAL) {
            return Ok(());
        }
        Host::open(directory.path(), Marks::default())?
            .undo()?
            .check_undone()?;
        Ok(())
    }
}
