//! The flags.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Parser, ValueEnum};
use tidegate_wg::{Mono, PeerId, Prefix, PrivateKey, Psk, PublicKey};
use tidegate_wg_io::{Config, Families, Link, Offload, TunConfig, UdpConfig, boottime};

/// One engine with a fixed configuration.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// Name of the TUN device.
    #[arg(long)]
    pub(crate) tun: String,
    /// MTU of the TUN device.
    #[arg(long, default_value_t = 1420)]
    pub(crate) mtu: u16,
    /// UDP port; 0 lets the kernel choose.
    #[arg(long, default_value_t = 0)]
    listen: u16,
    /// File with our private key in base64.
    #[arg(long)]
    private_key_file: PathBuf,
    /// An address of ours in the overlay, with prefix length.
    #[arg(long = "address")]
    pub(crate) addresses: Vec<String>,
    /// A peer: `KEY[@ENDPOINT][,id=N][,allowed=PREFIX]…[,psk=KEY][,keepalive=SECONDS]`.
    #[arg(long = "peer")]
    pub(crate) peers: Vec<PeerSpec>,
    /// What the filter lets through.
    #[arg(long, value_enum, default_value_t = Policy::All)]
    pub(crate) policy: Policy,
    /// Number of the first epoch.
    #[arg(long, default_value_t = 0)]
    pub(crate) epoch: u64,
    /// Milliseconds from one epoch to the next; without it there is one epoch for ever.
    #[arg(long)]
    pub(crate) epoch_millis: Option<u64>,
    /// How often to rotate.
    #[arg(long, default_value_t = u64::MAX)]
    pub(crate) epochs: u64,
    /// Wall time since 1970 in milliseconds at which the first rotation is due.
    #[arg(long, default_value_t = 0)]
    pub(crate) epoch_origin: u64,
    /// How much later than the others this instance rotates.
    #[arg(long, default_value_t = 0)]
    pub(crate) skew_millis: u64,
    /// Everything ends this many milliseconds after the start.
    #[arg(long)]
    deadline_millis: Option<u64>,
    /// Path of the control socket.
    #[arg(long)]
    pub(crate) control: Option<PathBuf>,
    /// Do without offloads.
    #[arg(long)]
    no_offload: bool,
    /// Mark on every datagram.
    #[arg(long)]
    pub(crate) fwmark: Option<u32>,
}

/// What the filter lets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Policy {
    /// Everything, by one rule.
    All,
    /// ICMP alone.
    Ping,
    /// Everything, after many rules that do not match.
    Many,
}

/// A peer as the flags tell it.
#[derive(Clone)]
pub(crate) struct PeerSpec {
    pub(crate) id: Option<PeerId>,
    pub(crate) key: PublicKey,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) allowed: Vec<Prefix>,
    pub(crate) psk: Psk,
    pub(crate) keepalive: Option<Duration>,
}

impl Args {
    pub(crate) fn data_plane(&self) -> Result<Config> {
        let offload = if self.no_offload {
            Offload::Off
        } else {
            Offload::Try
        };
        let key = std::fs::read_to_string(&self.private_key_file)
            .with_context(|| format!("cannot read {}", self.private_key_file.display()))?;
        let addresses = self
            .addresses
            .iter()
            .map(|text| address(text))
            .collect::<Result<_>>()?;
        Ok(Config {
            tun: TunConfig {
                name: self.tun.clone(),
                mtu: self.mtu,
                link: Link::Up,
                offload,
            },
            udp: UdpConfig {
                port: self.listen,
                families: Families::Both,
                fwmark: self.fwmark,
                offload,
            },
            key: PrivateKey(key_bytes(key.trim())?),
            addresses,
            flows: 1 << 16,
        })
    }

    /// The deadline of the epoch that the program starts in.
    pub(crate) fn first_deadline(&self) -> Mono {
        self.deadline_millis.map_or(Mono::NEVER, |millis| {
            boottime() + Duration::from_millis(millis)
        })
    }
}

impl std::fmt::Debug for PeerSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peer {:?}", self.key)
    }
}

impl FromStr for PeerSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split(',');
        let who = words.next().unwrap_or_default();
        let (key, endpoint) = match who.split_once('@') {
            Some((key, endpoint)) => (key, Some(endpoint.parse()?)),
            None => (who, None),
        };
        let mut spec = Self {
            id: None,
            key: PublicKey(key_bytes(key)?),
            endpoint,
            allowed: Vec::new(),
            psk: Psk([0; 32]),
            keepalive: None,
        };
        for word in words {
            spec.set(word)?;
        }
        Ok(spec)
    }
}

impl PeerSpec {
    fn set(&mut self, word: &str) -> Result<()> {
        match word.split_once('=') {
            Some(("id", id)) => self.id = Some(PeerId(id.parse()?)),
            Some(("allowed", text)) => self.allowed.push(prefix(text)?),
            Some(("psk", key)) => self.psk = Psk(key_bytes(key)?),
            Some(("keepalive", seconds)) => {
                self.keepalive = Some(Duration::from_secs(seconds.parse()?))
            }
            _ => bail!("what is {word:?}? A peer is KEY@ENDPOINT,id=,allowed=,psk=,keepalive="),
        }
        Ok(())
    }
}

/// 32 bytes in base64.
pub(crate) fn key_bytes(text: &str) -> Result<[u8; 32]> {
    let bytes = STANDARD.decode(text).context("a key is base64")?;
    bytes.try_into().map_err(|_| anyhow!("a key has 32 bytes"))
}

/// The address of `10.0.0.1/24`.
pub(crate) fn address(text: &str) -> Result<IpAddr> {
    let address = text.split_once('/').map_or(text, |(address, _)| address);
    address
        .parse()
        .with_context(|| format!("{text:?} is no address"))
}

fn prefix(text: &str) -> Result<Prefix> {
    let whole = if text.contains(':') { 128 } else { 32 };
    let len = match text.split_once('/') {
        Some((_, len)) => len.parse()?,
        None => whole,
    };
    Prefix::new(address(text)?, len).with_context(|| format!("{text:?} is no prefix"))
}
