//! The authority's host, and the bridge.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::{Node, PATIENCE};
use crate::{Host, Lab, Link, Network, Process, binary, wait_until};

/// Which addresses the bridge has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Underlay {
    /// IPv4 and IPv6.
    V4,
    /// IPv6 alone.
    V6,
}

/// A network with its authority.
pub struct Overlay {
    pub(super) lab: Lab,
    bridge: Network,
    underlay: Underlay,
    pub(super) authority: Host,
    authority_link: Link,
    server: Option<Process>,
    folder: TempDir,
    nodes: u8,
}

/// The authority's number on the bridge.
const AUTHORITY: u8 = 250;

impl Overlay {
    /// An authority that serves, and nobody else.
    pub fn new(underlay: Underlay) -> Result<Self> {
        let lab = Lab::new()?;
        let bridge = lab.network("underlay")?;
        let authority = lab.host("authority")?;
        let addresses = addresses(underlay, AUTHORITY);
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let authority_link = bridge.attach(&authority, &addresses)?;
        let mut overlay = Self {
            lab,
            bridge,
            underlay,
            authority,
            authority_link,
            server: None,
            folder: tempfile::tempdir()?,
            nodes: 0,
        };
        overlay.init()?;
        overlay.start_authority()?;
        overlay.log_in()?;
        Ok(overlay)
    }

    fn init(&self) -> Result<()> {
        let dir = self.dir();
        let listen = self.listen();
        self.authority
            .run(
                binary("tidegate-authority")?,
                [
                    OsStr::new("init"),
                    "--name".as_ref(),
                    "demo".as_ref(),
                    "--dir".as_ref(),
                    dir.as_os_str(),
                    "--listen".as_ref(),
                    listen.as_ref(),
                ],
            )
            .context("init")?;
        Ok(())
    }

    /// Starts the authority, and waits until it is ready.
    pub fn start_authority(&mut self) -> Result<()> {
        let dir = self.dir();
        let arguments = [OsStr::new("serve"), "--dir".as_ref(), dir.as_os_str()];
        let server = self
            .authority
            .spawn(binary("tidegate-authority")?, arguments)?;
        let url = format!("https://{}/readyz", self.listen());
        wait_until(PATIENCE, "the authority to be ready", || {
            let asked = ["-k", "-s", "-f", "-m", "2", "-g", "-o", "/dev/null", &url];
            self.authority.run("curl", asked).is_ok()
        })?;
        self.server = Some(server);
        Ok(())
    }

    /// Ends the authority as a loss of power would.
    pub fn kill_authority(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
    }

    fn log_in(&self) -> Result<()> {
        let dir = self.dir();
        let (genesis, key) = (
            dir.join("genesis/genesis-1.json"),
            dir.join("operator-first.key"),
        );
        let url = format!("https://{}", self.listen());
        self.admin([
            OsStr::new("login"),
            url.as_ref(),
            "--genesis".as_ref(),
            genesis.as_os_str(),
            "--key".as_ref(),
            key.as_os_str(),
        ])?;
        Ok(())
    }

    /// Runs `tidegate admin` as the first operator, on the authority's host. It has to end well.
    pub fn admin<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        Ok(self
            .authority
            .command(binary("tidegate")?)
            .arg("admin")
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.folder.path())
            .run()?)
    }

    /// An invite.
    pub fn invite(&self) -> Result<String> {
        let text = self.admin(["invite", "new", "--role", "member"])?;
        let word = text
            .split_whitespace()
            .find(|word| word.starts_with("tidegate-invite"));
        Ok(word.context("no invite was printed")?.to_owned())
    }

    /// A host on the bridge, in no network yet.
    pub fn host(&mut self, name: &str) -> Result<Node> {
        self.nodes += 1;
        ensure!(self.nodes < AUTHORITY, "the bridge is full");
        let host = self.lab.host(name)?;
        let addresses = addresses(self.underlay, self.nodes);
        let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let link = self.bridge.attach(&host, &texts)?;
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder)?;
        Ok(Node::new(host, link, folder))
    }

    /// A node that has joined, and whose daemon runs.
    pub fn node(&mut self, name: &str) -> Result<Node> {
        self.node_with(name, "")
    }

    /// A node with a configuration.
    pub fn node_with(&mut self, name: &str, config: &str) -> Result<Node> {
        let mut node = self.host(name)?;
        node.configure(config)?;
        node.join(&self.invite()?)?;
        node.start()?;
        Ok(node)
    }

    /// The authority's link to the bridge.
    pub fn authority_link(&self) -> &Link {
        &self.authority_link
    }

    /// The authority's data directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("authority")
    }

    /// A folder for whatever a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn listen(&self) -> String {
        match self.underlay {
            Underlay::V4 => format!("10.0.0.{AUTHORITY}:7443"),
            Underlay::V6 => format!("[fd00:5::{AUTHORITY:x}]:7443"),
        }
    }
}

fn addresses(underlay: Underlay, number: u8) -> Vec<String> {
    let v6 = format!("fd00:5::{number:x}/64");
    match underlay {
        Underlay::V4 => vec![format!("10.0.0.{number}/24"), v6],
        Underlay::V6 => vec![v6],
    }
}
