//! Whoever has a copy of a node's keys, and cares for no lease and no revocation.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::admin::read_genesis;
use tidegate::client::GenesisChain;
use tidegate_proto::{
    EpochGrant, EpochNumber, GrantKey, NetworkId, Signed, UnixTime, WgPublicKey, WgSecretKey,
    base64_decode, base64_encode,
};

use super::{Node, Overlay, PATIENCE, unix_ms};
use crate::{Host, Process};

/// What was copied from a node: all that it could ever use to talk to others.
pub struct Loot {
    network: NetworkId,
    wireguard: WgSecretKey,
    grants: Vec<(EpochNumber, GrantKey)>,
    address: String,
}

/// Whom a thief talks to.
#[derive(Clone, Debug)]
pub struct Mark {
    key: WgPublicKey,
    address: String,
    underlay: String,
}

/// A data plane with stolen keys to one epoch, which knows no end of it.
pub struct Thief {
    _process: Process,
    _files: TempDir,
}

impl Loot {
    /// Copies what lies in the state directory of a node. Its overlay address has to be known already.
    pub fn of(overlay: &Overlay, node: &Node, address: &str) -> Result<Self> {
        let genesis = read_genesis(&overlay.dir().join("genesis/genesis-1.json"))?;
        let site = GenesisChain::trusting(genesis)?.site()?;
        let keys = content(node.state().join("keys"))?;
        let kept = content(node.state().join("grants"))?;
        let mut grants = Vec::new();
        for one in kept["grants"].as_array().context("no grants")? {
            let grant = Signed::<EpochGrant>::from_compact(&bytes(&one["grant"])?)?;
            let grant = grant.verify(&site.keyring, UnixTime::from_millis(unix_ms()))?;
            grants.push((grant.epoch, GrantKey::from_bytes(secret(&one["key"])?)));
        }
        Ok(Self {
            network: site.network,
            wireguard: WgSecretKey::from_bytes(secret(&keys["current"]["wireguard"])?),
            grants,
            address: address.to_owned(),
        })
    }

    /// The epochs to which it holds the keys.
    pub fn epochs(&self) -> Vec<u64> {
        let epochs = self.grants.iter().map(|(epoch, _)| epoch.value());
        epochs.collect()
    }
}

impl Mark {
    /// A node as its peer `seen_by` knows it.
    pub fn of(seen_by: &Node, name: &str) -> Result<Self> {
        let status = seen_by.status()?;
        let peers = status["peers"].as_array().context("no peers")?;
        let peer = peers.iter().find(|peer| peer["name"] == name);
        let peer = peer.with_context(|| format!("no peer {name}"))?;
        let word = |value: &Value| value.as_str().map(str::to_owned).context("no text");
        let key = <[u8; 32]>::try_from(base64_decode(&word(&peer["key"])?)?.as_slice())?;
        Ok(Self {
            key: WgPublicKey::from_bytes(key)?,
            address: word(&peer["addresses"][0])?,
            underlay: word(&peer["endpoint"])?,
        })
    }
}

impl Thief {
    /// Talks to `mark` with the stolen key to `epoch`, over a device of this name on `host`. `program` is `tidegate-static`,
    /// which a test that has no time to lose knows to be built.
    pub fn start(
        program: &str,
        host: &Host,
        device: &str,
        loot: &Loot,
        epoch: u64,
        mark: &Mark,
    ) -> Result<Self> {
        let stolen = loot.grants.iter().find(|(one, _)| one.value() == epoch);
        let (epoch, grant) = stolen.with_context(|| format!("no key to epoch {epoch}"))?;
        let psk = grant.pairwise(loot.network, *epoch, &loot.wireguard, &mark.key)?;
        // The low bit is a hint on the wire, by which the other side finds the epoch sooner; the program mixes the number
        // that it is given into the key, which is undone here.
        let hint = epoch.value() & 1;
        let mut psk = *psk.expose();
        psk[0] ^= u8::from(hint == 1);
        let files = tempfile::tempdir()?;
        let key = files.path().join("key");
        fs::write(&key, base64_encode(loot.wireguard.expose()))?;
        let peer = format!(
            "{}@{},id=1,allowed={}/32,psk={}",
            base64_encode(mark.key.as_bytes()),
            mark.underlay,
            mark.address,
            base64_encode(&psk)
        );
        let process = host
            .command(program)
            .args(["--tun", device, "--address", &loot.address])
            .args(["--epoch", &hint.to_string()])
            .args(["--peer", &peer, "--private-key-file"])
            .arg(&key)
            .spawn()?;
        process.wait_for_output(PATIENCE, "ready\n")?;
        host.sh(&format!(
            "ip address add {}/32 dev {device}; ip link set {device} up; ip route add {}/32 dev {device} src {}",
            loot.address, mark.address, loot.address
        ))?;
        Ok(Self {
            _process: process,
            _files: files,
        })
    }
}

/// The JSON behind the first line of a state file.
fn content(path: PathBuf) -> Result<Value> {
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let (_, body) = text.split_once('\n').context("no first line")?;
    Ok(serde_json::from_str(body)?)
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    Ok(base64_decode(value.as_str().context("no text")?)?)
}

fn secret(value: &Value) -> Result<[u8; 32]> {
    let bytes = <[u8; 32]>::try_from(bytes(value)?.as_slice());
    bytes.context("a secret has 32 bytes")
}
