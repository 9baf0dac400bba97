//! `run`, `up`, `down`, `leave`, `log`, `reload`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidegate::config::{CONFIG, SOCKET, STATE};
use tidegate::daemon;
use tidegate::local::{Client, ClientError, Reply, Request};
use tidegate::owner::as_owner;
use tidegate::state::{Membership, StateDirectory, StateError};
use tidegate_netconfig::Host;
use tidegate_netconfig::desired::Marks;
use tidegate_netconfig::host::JOURNAL;

use super::{Talk, odd};
use crate::cli::Failure;

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
        Ok(daemon::run(options)?)
    }
}

/// A change that the daemon makes.
#[derive(Args, Debug)]
pub(crate) struct Change {
    #[command(flatten)]
    talk: Talk,
}

impl Change {
    /// `said` is what people are told when it is done.
    pub(crate) fn run(self, request: &Request, said: &str) -> Result<(), Failure> {
        done(&self.talk, request, said)
    }
}

fn done(talk: &Talk, request: &Request, said: &str) -> Result<(), Failure> {
    match talk.ask(request)? {
        Reply::Done => talk.show(&Done { done: true }, || format!("{said}\n")),
        _ => Err(odd()),
    }
}

#[derive(Serialize)]
struct Done {
    done: bool,
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
        let said = format!("The daemon logs {} from now on.", self.level);
        done(&self.talk, &Request::Log { level: self.level }, &said)
    }
}

/// Leaves the network for good.
#[derive(Args, Debug)]
pub(crate) struct Leave {
    #[command(flatten)]
    talk: Talk,
    /// The state directory, where no daemon runs
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state_dir: PathBuf,
}

impl Leave {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match Client::new(&self.talk.socket).ask(&Request::Leave {}) {
            Ok(Reply::Done) => {}
            Ok(_) => return Err(odd()),
            Err(ClientError::NoDaemon { .. }) => {
                as_owner(&self.state_dir, || self.leave_alone())??;
            }
            Err(error) => return Err(error.into()),
        }
        self.talk.show(&Done { done: true }, || {
            "This host has left the network; its keys are erased, and its network is as it was.\n"
                .to_owned()
        })
    }

    /// Without a daemon: undoes what it has left, and erases the identity. What cannot be undone yet is not forgotten.
    fn leave_alone(&self) -> Result<(), Failure> {
        if !self.state_dir.exists() {
            return Err(StateError::NotJoined.into());
        }
        let directory = StateDirectory::open(&self.state_dir)?;
        let joined = Membership::check_none(&directory).is_err() || directory.has(JOURNAL);
        Host::open(directory.path(), Marks::default())?
            .undo()?
            .check_undone()
            .map_err(|error| {
                Failure::new(format!(
                    "nothing is erased: {error}; then run: tidegate leave"
                ))
            })?;
        directory.empty()?;
        if joined {
            Ok(())
        } else {
            Err(StateError::NotJoined.into())
        }
    }
}
