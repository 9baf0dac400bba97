//! What a stopped agent left of itself in the host's network, taken back: before the package goes.

use std::path::PathBuf;

use clap::Args;
use tidegate::config::STATE;
use tidegate::state::StateDirectory;
use tidegate_netconfig::Host;
use tidegate_netconfig::desired::Marks;

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
        let directory = StateDirectory::open(&self.state_dir).map_err(Failure::new)?;
        let mut host = Host::open(directory.path(), Marks::default()).map_err(Failure::new)?;
        let outcome = host.undo().map_err(Failure::new)?;
        if outcome.settled {
            return Ok(());
        }
        let complaints: Vec<String> = outcome.complaints().collect();
        Err(Failure::new(format!(
            "not all of the host's network is as it was: {}; see to that, then try again",
            complaints.join("; ")
        )))
    }
}
