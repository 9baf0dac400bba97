//! `join`: from an invite to a node that runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use tidegate::admin::read_genesis;
use tidegate::config::STATE;
use tidegate::exit::Exit;
use tidegate::join::{Guide, Joined, Wanted, join};
use tidegate::owner::{Owner, as_owner};
use tidegate::state::{PENDING, StateDirectory};
use tidegate_proto::{Invite, NodeName, Origin, Prefix};

use crate::cli::{Failure, print};

/// Joins a network.
#[derive(Args, Debug)]
pub(crate) struct Join {
    /// The invite, one word from the network's operator
    #[arg(required_unless_present = "genesis", conflicts_with = "genesis")]
    invite: Option<String>,
    /// Join without an invite: the network's genesis, from a source that you trust; an operator has to admit the node
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Where to ask, if not where the genesis says
    #[arg(long, value_name = "URL", requires = "genesis")]
    url: Option<Origin>,
    /// The name in the network; this host's name if left out
    #[arg(long)]
    name: Option<NodeName>,
    /// A network behind this host that it would route for
    #[arg(long = "route", value_name = "CIDR")]
    routes: Vec<Prefix>,
    /// The state directory
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state_dir: PathBuf,
    /// Leave systemd alone
    #[arg(long)]
    no_start: bool,
}

impl Join {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let guide = self.guide()?;
        let wanted = Wanted {
            name: self.name.clone().map_or_else(own_name, Ok)?,
            routes: self.routes.clone(),
        };
        let fresh = !self.state_dir.exists();
        if fresh {
            self.make_directory()?;
        }
        let join = || self.join(guide, wanted);
        let joined = as_owner(&self.state_dir, join)?.inspect_err(|_| {
            if fresh && !self.state_dir.join(PENDING).exists() {
                // Nothing but the lock is in it.
                let _ = std::fs::remove_dir_all(&self.state_dir);
            }
        })?;
        print(&said(&joined))?;
        self.start(&joined)
    }

    /// It belongs to the service's user, as whom the daemon runs, where there is one.
    fn make_directory(&self) -> Result<(), Failure> {
        let Some(owner) = Owner::service() else {
            return Ok(());
        };
        let made = owner.make_folder(&self.state_dir, 0o700);
        made.map_err(|error| Failure {
            exit: Exit::Storage,
            message: format!(
                "cannot make {}: {error}; give another --state-dir",
                self.state_dir.display()
            ),
        })
    }

    fn join(&self, guide: Guide, wanted: Wanted) -> Result<Joined, Failure> {
        let directory = StateDirectory::open(&self.state_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::new)?;
        Ok(runtime.block_on(join(&directory, guide, wanted))?)
    }

    fn guide(&self) -> Result<Guide, Failure> {
        if let Some(invite) = &self.invite {
            let invite: Invite = invite.parse().map_err(Failure::usage)?;
            return Ok(Guide::Invite(Box::new(invite)));
        }
        let path = self.genesis.as_deref().unwrap_or(Path::new(""));
        let genesis = read_genesis(path).map_err(Failure::new)?;
        Ok(Guide::Genesis(Box::new(genesis), self.url.clone()))
    }

    /// Has systemd run the daemon, where it is there and has the unit.
    fn start(&self, joined: &Joined) -> Result<(), Failure> {
        let by_hand = if self.state_dir == Path::new(STATE) {
            "tidegate run".to_owned()
        } else {
            format!("tidegate run --state-dir {}", self.state_dir.display())
        };
        let systemd = Path::new("/run/systemd/system").exists();
        if self.no_start || !systemd || self.state_dir != Path::new(STATE) {
            return print(&format!("Now run: {by_hand}\n"));
        }
        let started = Command::new("systemctl")
            .args(["enable", "--now", "tidegate.service"])
            .status();
        match (started, joined) {
            (Ok(status), Joined::Admitted { .. }) if status.success() => {
                print("The daemon runs. See: tidegate status\n")
            }
            (Ok(status), Joined::Pending { .. }) if status.success() => {
                print("The daemon runs and asks until the node is admitted.\n")
            }
            _ => print(&format!(
                "systemd did not start the daemon. Now run: {by_hand}\n"
            )),
        }
    }
}

fn said(joined: &Joined) -> String {
    match joined {
        Joined::Admitted { name, network } => format!("Joined {network} as {name}.\n"),
        Joined::Pending { network } => {
            format!("Asked to join {network}; an operator has to admit this node.\n")
        }
    }
}

/// This host's name, as far as it can be a node's.
fn own_name() -> Result<NodeName, Failure> {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy().to_lowercase();
    let name = name.split('.').next().unwrap_or_default();
    name.parse().map_err(|error| Failure {
        exit: Exit::Usage,
        message: format!("this host's name cannot be a node's ({error}); give one with --name"),
    })
}
