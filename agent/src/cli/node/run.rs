//! `run`, `up`, `down`, `leave`, `log`, `reload`.

use std::path::PathBuf;

use clap::Args;
use tidegate::config::{CONFIG, SOCKET, STATE};
use tidegate::daemon;
use tidegate::local::{Client, ClientError, Reply, Request};
use tidegate::state::StateDirectory;
use tidegate_netconfig::Host;
use tidegate_netconfig::desired::Marks;

use super::{Talk, odd};
use crate::cli::{Failure, print};

/// Runs the daemon.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    /// The state directory
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state_dir: PathBuf,
    /// The socket to be spoken to at
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
}

impl Run {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let options = daemon::Options {
            config: self.config,
            state: self.state_dir,
            socket: self.socket,
        };
        daemon::run(options).map_err(|error| Failure {
            exit: error.exit(),
            message: error.to_string(),
        })
    }
}

/// A change that the daemon makes.
#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    talk: Talk,
}

impl Change {
    pub(crate) fn run(self, request: &Request) -> Result<(), Failure> {
        done(&self.talk, request)
    }
}

fn done(talk: &Talk, request: &Request) -> Result<(), Failure> {
    match talk.ask(request)? {
        Reply::Done => Ok(()),
        _ => Err(odd()),
    }
}

/// Logs more or less.
#[derive(Args, Debug)]
pub(crate) struct Log {
    /// error, warn, info, debug or trace; or directives by module, like info,tidegate=debug
    level: String,
    #[command(flatten)]
    talk: Talk,
}

impl Log {
    pub(crate) fn run(self) -> Result<(), Failure> {
        done(&self.talk, &Request::Log { level: self.level })
    }
}

/// Leaves the network for good.
#[derive(Args, Debug)]
pub(crate) struct Leave {
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// The state directory, where no daemon runs
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state_dir: PathBuf,
}

impl Leave {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match Client::new(&self.socket).ask(&Request::Leave {}) {
            Ok(Reply::Done) => {}
            Ok(_) => return Err(odd()),
            Err(ClientError::NoDaemon { .. }) => self.leave_alone()?,
            Err(error) => return Err(error.into()),
        }
        print(
            "This host has left the network; its keys are erased, and its network is as it was.\n",
        )
    }

    /// Without a daemon: undoes what it has left, and erases the identity.
    fn leave_alone(&self) -> Result<(), Failure> {
        let refused = |error: tidegate::state::StateError| Failure {
            exit: error.exit(),
            message: error.to_string(),
        };
        let directory = StateDirectory::open(&self.state_dir).map_err(refused)?;
        Host::open(directory.path(), Marks::default())
            .and_then(|mut host| host.undo())
            .map_err(Failure::new)?;
        directory.empty().map_err(refused)
    }
}
