//! Somebody between a node and its authority who has the authority's TLS key, but none of its signing keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::overlay::{Node, Overlay};
use crate::{Host, Process};

const SCRIPT: &str = include_str!("liar.py");
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of the authority's words on their way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lie {
    /// Nothing: they pass as they are.
    None,
    /// Every signature is another.
    Signatures,
    /// Every document says something else.
    Payloads,
    /// Bytes are changed without understanding them.
    Bytes,
}

/// The one in between. When it is dropped, the node speaks with the authority itself again.
pub struct Liar {
    host: Host,
    way: PathBuf,
    process: Process,
}

impl Liar {
    /// Stands between the node and its authority from now on; what was connected breaks off.
    pub fn between(node: &Node, overlay: &Overlay) -> Result<Self> {
        let listen = overlay.listen();
        let (address, port) = listen.split_once(':').context("an IPv4 underlay")?;
        let way = overlay.folder().join("way-of-lying");
        let [certificate, key] = tls_files(&overlay.dir())?;
        write(&way, Lie::None)?;
        let host = node.host().clone();
        let process = host
            .command("python3")
            .args(["-c", SCRIPT])
            .args([&certificate, &key])
            .args([address, port])
            .arg(&way)
            .spawn()?;
        process.wait_for_output(PATIENCE, "listening")?;
        host.sh(&format!(
            "nft 'table ip liar {{ chain out {{ type nat hook output priority -100; \
             ip daddr {address} tcp dport {port} meta mark != 7 redirect to :9443; }}; }}'; \
             ss -K dst {address} dport = {port} >/dev/null"
        ))?;
        process.wait_for_output(PATIENCE, "connection")?;
        Ok(Self { host, way, process })
    }

    /// Lies in this way from now on.
    pub fn lie(&self, lie: Lie) -> Result<()> {
        write(&self.way, lie)
    }

    /// How many connections it has carried.
    pub fn connections(&self) -> usize {
        self.process.output().matches("connection").count()
    }
}

/// From now on nothing that the authority says reaches the node.
pub fn deafen(node: &Node) -> Result<()> {
    let rule = "chain in { type filter hook input priority 0; tcp sport 7443 drop; };";
    node.host()
        .sh(&format!("nft 'table inet deaf {{ {rule} }}'"))?;
    Ok(())
}

impl Drop for Liar {
    fn drop(&mut self) {
        // Where the host is gone already, so is the rule.
        let _ = self.host.sh("nft delete table ip liar");
    }
}

fn write(way: &Path, lie: Lie) -> Result<()> {
    let word = match lie {
        Lie::None => "honest",
        Lie::Signatures => "signatures",
        Lie::Payloads => "payloads",
        Lie::Bytes => "bytes",
    };
    // Whole or not at all, since it is read at any time.
    let beside = way.with_extension("new");
    fs::write(&beside, word)?;
    Ok(fs::rename(beside, way)?)
}

/// The authority's TLS certificate and key.
fn tls_files(dir: &Path) -> Result<[PathBuf; 2]> {
    let settings = fs::read_to_string(dir.join("authority.toml"))?;
    let value = |name: &str| {
        let line = settings.lines().find(|line| line.starts_with(name))?;
        Some(dir.join(line.split('"').nth(1)?))
    };
    let certificate = value("certificate = ").context("no certificate in authority.toml")?;
    Ok([
        certificate,
        value("key = ").context("no key in authority.toml")?,
    ])
}
