//! A whole Debian, booted.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Stdio},
    sync::Arc,
    time::Duration,
};

use crate::{
    Command, LabError, Network,
    space::{Depth, Space, text},
    wait_for,
};

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/debian/boot");
const DEBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/debian/debs");

/// How long a machine may take to go down and boot again.
const REBOOT: Duration = Duration::from_secs(120);

/// A booted Debian with systemd, D-Bus, systemd-resolved and polkit, plugged into a network by its device `host0`.
///
/// It shares no file with the machine the tests run on or with another one, and is gone when it is dropped, or
/// when the test is killed. The first one takes a minute, because the Debian that all of them start from is made then.
pub struct Machine {
    name: String,
    switch: Arc<Space>,
    boot: Child,
    /// The machine lives for as long as this is open.
    lifeline: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    console: File,
    leader: u32,
}

impl Machine {
    /// Boots one, with these Debian packages besides the usual ones, and returns when it is up.
    pub fn boot(name: &str, network: &Network, packages: &[&str]) -> Result<Self, LabError> {
        let console = tempfile::tempfile().map_err(LabError::os("create a log file"))?;
        let switch = Arc::clone(&network.switch.space);
        let log = console
            .try_clone()
            .map_err(LabError::os("share a log file"))?;
        let mut boot = process::Command::new(BOOT)
            .args(["--hostname", name, "--bridge", &network.bridge])
            .args(["--netns", &format!("/proc/{}/ns/net", switch.id())])
            .args(packages.iter().flat_map(|package| ["--package", package]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(LabError::os("run tests/debian/boot"))?;
        let lifeline = boot.stdin.take();
        let Some(stdout) = boot.stdout.take() else {
            return Err(LabError::Gone(name.to_owned()));
        };
        let mut machine = Self {
            name: name.to_owned(),
            switch,
            boot,
            lifeline,
            said: BufReader::new(stdout),
            console,
            leader: 0,
        };
        machine.await_ready()?;
        Ok(machine)
    }

    /// A command to run as root in it, outside of all units. Only [`Command::run`] and [`Command::output`] reach the
    /// program's end; run daemons with `systemd-run` instead.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(&self.switch, Depth::Network, "nsenter")
            .args(["--target", &self.leader.to_string()])
            .args(["--all", "--wdns=/", "--"])
            .arg(program)
    }

    /// Runs a line of shell to the end and returns its standard output; see [`Command::run`].
    pub fn sh(&self, line: &str) -> Result<String, LabError> {
        self.command("/bin/sh").args(["-euc", line]).run()
    }

    /// Where one of its files is, as this machine sees it, until it reboots.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.leader))
    }

    /// Copies a file into it, mode and all.
    pub fn copy(&self, from: &Path, inside: &str) -> Result<(), LabError> {
        let what = format!("copy {} into machine {:?}", from.display(), self.name);
        std::fs::copy(from, self.path(inside))
            .map(drop)
            .map_err(LabError::os(what))
    }

    /// Installs packages from files, such as those of [`debs`].
    pub fn install(&self, debs: &[PathBuf]) -> Result<(), LabError> {
        let mut names = Vec::new();
        for deb in debs {
            let name = deb.file_name().unwrap_or_default().to_string_lossy();
            names.push(format!("/var/tmp/{name}"));
            self.copy(deb, &format!("/var/tmp/{name}"))?;
        }
        self.command("dpkg")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .arg("--install")
            .args(names)
            .timeout(Duration::from_secs(120))
            .run()
            .map(drop)
    }

    /// Reboots it and returns when it is up again, with the files it had on disk.
    pub fn reboot(&mut self) -> Result<(), LabError> {
        // It may go down before it has answered.
        let _ = self.command("systemctl").arg("reboot").output()?;
        self.await_ready()
    }

    /// Like [`Machine::reboot`], as by a power cut: nothing in it is told to end.
    pub fn reboot_at_once(&mut self) -> Result<(), LabError> {
        let now = ["reboot", "--force", "--force"];
        let _ = self.command("systemctl").args(now).output()?;
        self.await_ready()
    }

    /// What it wrote to its console.
    pub fn console(&self) -> String {
        text(&self.console)
    }

    fn await_ready(&mut self) -> Result<(), LabError> {
        let mut line = String::new();
        self.said
            .read_line(&mut line)
            .map_err(LabError::os("read what tests/debian/boot says"))?;
        let leader = line.trim().strip_prefix("ready ");
        match leader.and_then(|leader| leader.parse().ok()) {
            Some(leader) => {
                self.leader = leader;
                Ok(())
            }
            None => Err(LabError::Setup {
                host: self.name.clone(),
                log: self.console(),
            }),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let ended = wait_for(REBOOT, "the machine to end", || {
            self.boot.try_wait().ok().flatten()
        });
        if ended.is_err() {
            let _ = self.boot.kill();
            let _ = self.boot.wait();
        }
    }
}

/// Fetches Debian packages, without what they need, to be installed in a machine later.
pub fn debs(packages: &[&str]) -> Result<Vec<PathBuf>, LabError> {
    let output = process::Command::new(DEBS)
        .args(packages)
        .output()
        .map_err(LabError::os("run tests/debian/debs"))?;
    if !output.status.success() {
        return Err(LabError::Setup {
            host: packages.join(" "),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    let paths = String::from_utf8_lossy(&output.stdout);
    Ok(paths.lines().map(PathBuf::from).collect())
}
