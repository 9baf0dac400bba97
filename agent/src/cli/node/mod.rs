//! The commands of a node: join, run, look.

mod bugreport;
mod doctor;
mod join;
mod netcheck;
mod page;
mod ping;
mod run;
mod status;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tidegate::config::SOCKET;
use tidegate::exit::Exit;
use tidegate::local::{Client, NodeState, Reply, Request, StatusView};

use super::Failure;

pub(super) use bugreport::Bugreport;
pub(super) use doctor::Doctor;
pub(super) use join::Join;
pub(super) use netcheck::Netcheck;
pub(super) use ping::Ping;
pub(super) use run::{Change, Leave, Log, Run};
pub(super) use status::{Cert, Epoch, Peers, Routes, Status, Whois};

/// Where the daemon is spoken to, and in which form its answers are shown.
#[derive(Args, Clone, Debug)]
pub(super) struct Talk {
    /// The daemon's socket
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    socket: PathBuf,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Talk {
    fn ask(&self, request: &Request) -> Result<Reply, Failure> {
        Ok(Client::new(&self.socket).ask(request)?)
    }

    fn status(&self, measure: bool) -> Result<Box<StatusView>, Failure> {
        match self.ask(&Request::Status { measure })? {
            Reply::Status(status) => Ok(status),
            _ => Err(odd()),
        }
    }

    /// Prints the thing itself for programs, or the text for people.
    fn show(&self, thing: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = if self.json {
            let mut text = serde_json::to_string_pretty(thing).map_err(Failure::new)?;
            text.push('\n');
            text
        } else {
            text()
        };
        super::print(&text)
    }
}

/// An answer to another question.
fn odd() -> Failure {
    Failure::new("the daemon gave an odd answer; are it and this program of one version?")
}

/// The exit code that says the same as a state.
fn exit_of(state: NodeState) -> Exit {
    match state {
        NodeState::Up => Exit::Done,
        NodeState::Pending => Exit::Pending,
        NodeState::Waiting => Exit::Failed,
        NodeState::Down => Exit::Down,
        NodeState::Revoked => Exit::Revoked,
        NodeState::Suspended => Exit::Suspended,
        NodeState::LeaseEnded => Exit::LeaseEnded,
        NodeState::Expired => Exit::Expired,
        NodeState::Untrusted => Exit::Untrusted,
    }
}
