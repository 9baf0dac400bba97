//! A host with the agent.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::PATIENCE;
use super::wall_clock::WallClock;
use crate::{Command, Host, Link, Process, Signal, binary, wait_for, wait_until};

/// A host with the agent, in a network or not.
pub struct Node {
    host: Host,
    link: Link,
    folder: PathBuf,
    daemon: Option<Process>,
    wall: Option<WallClock>,
    environment: Vec<(OsString, OsString)>,
}

/// How a command ended that may fail.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// An epoch that a node holds the key to. Times are in milliseconds since 1970, by the authority's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// Its number.
    pub number: u64,
    /// When sending begins.
    pub starts_ms: u64,
    /// When sending passes to the next.
    pub ends_ms: u64,
    /// When it must not be used any more.
    pub lease_until_ms: u64,
}

impl Node {
    pub(super) fn new(host: Host, link: Link, folder: PathBuf) -> Self {
        Self {
            host,
            link,
            folder,
            daemon: None,
            wall: None,
            environment: Vec::new(),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its link to the bridge.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("tidegate.toml")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("tidegate.sock")
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.config(), text)?)
    }

    /// Joins under the host's name.
    pub fn join(&self, invite: &str) -> Result<()> {
        let ended = self.try_join(invite)?;
        anyhow::ensure!(ended.code == Some(0), "join: {ended:?}");
        Ok(())
    }

    /// Tries to join, however that ends.
    pub fn try_join(&self, invite: &str) -> Result<Ended> {
        let state = self.state();
        self.try_run([
            OsStr::new("join"),
            invite.as_ref(),
            "--name".as_ref(),
            self.host.name().as_ref(),
            "--no-start".as_ref(),
            "--state-dir".as_ref(),
            state.as_os_str(),
        ])
    }

    /// Asks to be admitted to the network that begins with this file, under the host's name.
    pub fn ask(&self, genesis: &Path, more: &[&str]) -> Result<()> {
        let state = self.state();
        let words = [
            OsStr::new("join"),
            "--name".as_ref(),
            self.host.name().as_ref(),
            "--no-start".as_ref(),
            "--genesis".as_ref(),
            genesis.as_os_str(),
            "--state-dir".as_ref(),
            state.as_os_str(),
        ];
        let more = more.iter().map(OsStr::new);
        let ended = self.try_run(words.into_iter().chain(more))?;
        anyhow::ensure!(ended.code == Some(0), "join: {ended:?}");
        Ok(())
    }

    /// Starts the daemon, and waits until it can be spoken to.
    pub fn start(&mut self) -> Result<()> {
        let daemon = self.spawn()?;
        let answers = || {
            self.try_cli(["epoch"])
                .is_ok_and(|ended| ended.code == Some(0))
        };
        wait_until(PATIENCE, "the daemon to answer", || {
            answers() || !daemon.is_running()
        })?;
        anyhow::ensure!(daemon.is_running(), "the daemon ended: {}", daemon.output());
        self.daemon = Some(daemon);
        Ok(())
    }

    /// Starts the daemon of a node that is not admitted yet, and waits until it can be spoken to.
    pub fn spawn_pending(&mut self) -> Result<()> {
        let daemon = self.spawn()?;
        wait_until(PATIENCE, "the daemon to answer", || {
            self.try_cli(["status"])
                .is_ok_and(|ended| ended.code == Some(15))
                || !daemon.is_running()
        })?;
        anyhow::ensure!(daemon.is_running(), "the daemon ended: {}", daemon.output());
        self.daemon = Some(daemon);
        Ok(())
    }

    fn spawn(&self) -> Result<Process> {
        let (config, state, socket) = (self.config(), self.state(), self.socket());
        if !config.exists() {
            self.configure("")?;
        }
        let arguments = [
            OsStr::new("run"),
            "--config".as_ref(),
            config.as_os_str(),
            "--state-dir".as_ref(),
            state.as_os_str(),
            "--socket".as_ref(),
            socket.as_os_str(),
        ];
        Ok(self.program()?.args(arguments).spawn()?)
    }

    /// The program, by this node's wall clock.
    fn program(&self) -> Result<Command> {
        let program = self.host.command(binary("tidegate")?);
        let wall = self.wall.iter().flat_map(WallClock::environment);
        let program = wall.fold(program, |program, (name, value)| program.env(name, value));
        let more = self.environment.iter();
        Ok(more.fold(program, |program, (name, value)| program.env(name, value)))
    }

    /// Sets an environment variable for this node's programs that are started from now on.
    pub fn set_environment(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.push((name.into(), value.into()));
    }

    /// Sets the wall clock of this node's programs to so much before or after the real time, such as `+10m` or `-1h`;
    /// for a daemon that runs, only if it had one when it was started.
    pub fn set_wall_clock(&mut self, offset: &str) -> Result<()> {
        let wall = match self.wall.take() {
            Some(wall) => wall,
            None => WallClock::new(&self.host, &self.folder)?,
        };
        wall.set(offset)?;
        self.wall = Some(wall);
        Ok(())
    }

    /// Ends the daemon as a crash would.
    pub fn kill(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Ends the daemon as systemd would.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(daemon) = self.daemon.take() {
            daemon.stop_with(Signal::SIGTERM)?;
        }
        Ok(())
    }

    /// The daemon's process.
    pub fn daemon(&self) -> Option<&Process> {
        self.daemon.as_ref()
    }

    /// Runs a command of the node that speaks to the daemon.
    pub fn cli<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        let ended = self.try_cli(arguments)?;
        anyhow::ensure!(ended.code == Some(0), "{ended:?}");
        Ok(ended.out)
    }

    /// The same, however it ends.
    pub fn try_cli<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ended> {
        let socket = self.socket();
        let mut words: Vec<OsString> = arguments
            .into_iter()
            .map(|word| word.as_ref().to_owned())
            .collect();
        words.extend([OsStr::new("--socket").to_owned(), socket.into_os_string()]);
        self.try_run(words)
    }

    /// Runs the program on the host, however it ends.
    pub fn try_run<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Ended> {
        let output = self.program()?.args(arguments).output()?;
        Ok(Ended {
            code: output.status.code(),
            out: output.text(),
            err: output.stderr,
        })
    }

    /// Everything that the daemon tells about itself.
    pub fn status(&self) -> Result<Value> {
        let ended = self.try_cli(["status", "--json"])?;
        serde_json::from_str(&ended.out).with_context(|| format!("{ended:?}"))
    }

    /// Waits until the daemon says that it is in this state.
    pub fn await_state(&self, state: &str, within: Duration) -> Result<()> {
        wait_until(
            within,
            &format!("{} to be {state}", self.host.name()),
            || self.status().is_ok_and(|status| status["state"] == state),
        )?;
        Ok(())
    }

    /// Waits until the host's network is as the daemon wants it.
    pub fn await_settled(&self, within: Duration) -> Result<()> {
        let settled = || {
            self.status()
                .is_ok_and(|status| status["host"]["settled"] == true)
        };
        Ok(wait_until(within, "the host's network to settle", settled)?)
    }

    /// Its overlay address: 0 for IPv4, 1 for IPv6.
    pub fn address(&self, family: usize) -> Result<String> {
        let found = wait_for(PATIENCE, "an overlay address", || {
            let status = self.status().ok()?;
            let address = &status["certificate"]["addresses"][family];
            address.as_str().map(str::to_owned)
        })?;
        Ok(found)
    }

    /// Whether one ping of the kernel is answered through the tunnel.
    pub fn pings(&self, address: &str) -> bool {
        let arguments = ["-c", "1", "-W", "1", address];
        self.host.run("ping", arguments).is_ok()
    }

    /// Waits until the kernel's ping to another node is answered, in both families.
    pub fn await_ping(&self, other: &Self) -> Result<()> {
        for family in [0, 1] {
            let address = other.address(family)?;
            wait_until(PATIENCE, &format!("a ping to {address}"), || {
                self.pings(&address)
            })?;
        }
        Ok(())
    }

    /// The epochs at hand, oldest first: number, start, end and end of the lease.
    pub fn epochs(&self) -> Result<Vec<Held>> {
        let status = self.status()?;
        let epochs = status["epochs"].as_array().context("no epochs")?;
        let of = |epoch: &Value| {
            Some(Held {
                number: epoch["number"].as_u64()?,
                starts_ms: epoch["starts_ms"].as_u64()?,
                ends_ms: epoch["ends_ms"].as_u64()?,
                lease_until_ms: epoch["lease_until_ms"].as_u64()?,
            })
        };
        epochs
            .iter()
            .map(|epoch| of(epoch).context("no epoch"))
            .collect()
    }

    /// When the last lease that this node holds ends, in milliseconds since 1970.
    pub fn lease_ms(&self) -> Result<u64> {
        let leases = self.epochs()?.into_iter().map(|held| held.lease_until_ms);
        leases.max().context("no key to any epoch")
    }
}
