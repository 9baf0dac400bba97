//! A host of the lab.

use std::{
    ffi::OsStr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    Command, LabError, Process,
    space::{Depth, Space},
};

/// A host: its own network, mounts, processes and name.
///
/// A clone is another handle to the same host. The host ends with its [`Lab`](crate::Lab), whoever keeps handles.
#[derive(Clone)]
pub struct Host {
    pub(crate) space: Arc<Space>,
    devices: Arc<AtomicU32>,
}

impl Host {
    pub(crate) fn new(name: &str) -> Result<Self, LabError> {
        Ok(Self {
            space: Arc::new(Space::new(name)?),
            devices: Arc::default(),
        })
    }

    /// The name it was made with, which is its host name too.
    pub fn name(&self) -> &str {
        self.space.name()
    }

    /// The process id of its first process, as the machine sees it: `nsenter --all --target ID` looks around in it.
    pub fn id(&self) -> u32 {
        self.space.id()
    }

    /// A command to run here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(&self.space, Depth::All, program)
    }

    /// Runs a program to the end and returns its standard output; see [`Command::run`].
    pub fn run(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String, LabError> {
        self.command(program).args(args).run()
    }

    /// Runs a line of shell to the end and returns its standard output; see [`Command::run`].
    pub fn sh(&self, line: &str) -> Result<String, LabError> {
        self.run("/bin/sh", ["-euc", line])
    }

    /// Starts a program; see [`Command::spawn`].
    pub fn spawn(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Process, LabError> {
        self.command(program).args(args).spawn()
    }

    /// Runs `work` on a fresh thread that is in the host's network, mounts and host name, and returns its result.
    ///
    /// A panic in `work` goes on in the caller. Threads and sockets made in `work` belong to the host; processes
    /// do not live in its process namespace, so start those with [`Host::spawn`]. `/proc` shows the host's
    /// processes, of which this thread is none: `/proc/self` leads nowhere, `/proc/sys/net` works.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.space.enter(Depth::Files, work)
    }

    /// Sets a kernel parameter of this host's network, such as `net.ipv4.ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<(), LabError> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.enter(|| std::fs::write(&path, value))?
            .map_err(LabError::os(format!("set {name} to {value}")))
    }

    /// Adds a route, in the words of `ip route`: `["default", "via", "10.0.0.1"]`.
    pub fn route(
        &self,
        words: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(), LabError> {
        self.command("ip")
            .args(["route", "replace"])
            .args(words)
            .run()
            .map(drop)
    }

    /// Sends on what arrives for others, IPv4 and IPv6.
    pub fn forward(&self) -> Result<(), LabError> {
        self.sysctl("net.ipv4.ip_forward", "1")?;
        self.sysctl("net.ipv6.conf.all.forwarding", "1")
    }

    pub(crate) fn next_device(&self) -> String {
        format!("eth{}", self.devices.fetch_add(1, Ordering::Relaxed))
    }
}
