//! The authority's host, and the bridge.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::{Node, PATIENCE, Timing, ceremony};
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
/// The table that keeps the authority and a node apart.
const CUT: &str = "cut_off";

impl Overlay {
    /// An authority that serves, and nobody else.
    pub fn new(underlay: Underlay) -> Result<Self> {
        Self::founded(underlay, None)
    }

    /// The same, in a network where things last as long as `timing` says.
    pub fn timed(underlay: Underlay, timing: &Timing) -> Result<Self> {
        Self::founded(underlay, Some(timing))
    }

    fn founded(underlay: Underlay, timing: Option<&Timing>) -> Result<Self> {
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
        match timing {
            None => overlay.init()?,
            Some(timing) => {
                let (folder, listen) = (overlay.folder.path(), overlay.listen());
                ceremony::found(&overlay.authority, folder, &listen, timing)?;
            }
        }
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
        self.serve("readyz")
    }

    /// Starts an authority that will not be ready yet, and waits until it answers.
    pub fn start_unready_authority(&mut self) -> Result<()> {
        self.serve("healthz")
    }

    fn serve(&mut self, page: &str) -> Result<()> {
        let dir = self.dir();
        let arguments = [OsStr::new("serve"), "--dir".as_ref(), dir.as_os_str()];
        let server = self
            .authority
            .spawn(binary("tidegate-authority")?, arguments)?;
        let url = format!("https://{}/{page}", self.listen());
        wait_until(PATIENCE, "the authority to answer well", || {
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

    /// The same, and reads what it printed as JSON.
    pub fn ask<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Value> {
        let words = arguments.into_iter().map(|word| word.as_ref().to_owned());
        let text = self.admin(words.chain(["--json".into()]))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Puts the authority out of the reach of one node, and the node out of the authority's. Neither is told.
    pub fn cut_off(&self, node: &Node) -> Result<()> {
        let (family, address) = match self.underlay {
            Underlay::V4 => ("ip", format!("10.0.0.{AUTHORITY}")),
            Underlay::V6 => ("ip6", format!("fd00:5::{AUTHORITY:x}")),
        };
        let rules = format!(
            "table inet {CUT} {{\nchain in {{ type filter hook input priority 0; {family} saddr {address} drop; }}\n\
             chain out {{ type filter hook output priority 0; {family} daddr {address} drop; }}\n}}\n"
        );
        let nft = node.host().command("nft").args(["-f", "-"]).input(rules);
        Ok(nft.run().map(drop)?)
    }

    /// Undoes [`Self::cut_off`].
    pub fn reconnect(&self, node: &Node) -> Result<()> {
        let arguments = ["delete", "table", "inet", CUT];
        Ok(node.host().run("nft", arguments).map(drop)?)
    }

    /// An invite for one node.
    pub fn invite(&self) -> Result<String> {
        self.invite_with(&[])
    }

    /// An invite, with what else is asked of `invite new`.
    pub fn invite_with(&self, more: &[&str]) -> Result<String> {
        let words = ["invite", "new", "--role", "member"];
        let text = self.admin(words.iter().chain(more))?;
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

    /// The authority's host.
    pub fn authority(&self) -> &Host {
        &self.authority
    }

    /// The authority's link to the bridge.
    pub fn authority_link(&self) -> &Link {
        &self.authority_link
    }

    /// The authority's data directory.
    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("authority")
    }

    /// What the network began with, for those who ask to be admitted.
    pub fn genesis(&self) -> PathBuf {
        self.dir().join("genesis/genesis-1.json")
    }

    /// A folder for whatever a test needs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address and port at which the authority listens.
    pub fn listen(&self) -> String {
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
