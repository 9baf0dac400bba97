//! The genesis: found, verify, inspect, succeed.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use tidegate_authority::ceremony::{Founding, Succession};
use tidegate_authority::{
    Access, Fingerprint, Inspection, NewFile, follow, publish, read_genesis, shown,
};
use tidegate_proto::{
    BoundedSet, Digest, EpochCeilings, Genesis, GenesisHash, Ipv4Range, Ipv6Range, NetworkId,
    NetworkName, Origin, Revision, Signed, Span, TlsTrust, TrustChain, UnixTime,
};

use super::install::Install;
use super::keys::{PassphraseFile, random};
use super::settings::{AnchorAt, Ceilings, Epochs, Tls, anchors, authority_keys};

/// Commands for the genesis.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Found a network: sign its first genesis with the root key
    New(Box<New>),
    /// Check who signed a genesis, and that it follows from what is trusted already
    Verify(Verify),
    /// Show all that a genesis says
    Inspect(Inspect),
    /// Change a network: sign the genesis that follows
    ///
    /// Everything that is not said stays as it is. Sign each succession once only: nodes that see two different
    /// ones for the same revision stop trusting the network altogether.
    Succeed(Box<Succeed>),
    /// Put a succession in force: give it to the authority of a data directory, beside its running server
    Install(Install),
}

#[derive(Args, Debug)]
pub(super) struct New {
    /// The network's name: a-z, 0-9 and -, at most 32
    #[arg(long)]
    name: NetworkName,
    /// The root key
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
    /// An authority's public key; give it again for each further authority
    #[arg(long, value_name = "FILE", required = true)]
    authority_key: Vec<PathBuf>,
    /// How many authority keys must sign [default: more than half of them]
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// The overlay's IPv4 range, private or shared, like 10.211.0.0/16; at most four
    #[arg(long, value_name = "RANGE", required = true)]
    ipv4: Vec<Ipv4Range>,
    /// The overlay's IPv6 range, a /48 in fd00::/8 [default: drawn at random]
    #[arg(long, value_name = "RANGE")]
    ipv6: Option<Ipv6Range>,
    /// Where the authority is found, like https://authority.example.org:7443; at most eight
    #[arg(long, value_name = "URL")]
    url: Vec<Origin>,
    #[command(flatten)]
    tls: Tls,
    /// A node with a fixed address that introduces others: identity key and endpoint, KEY@192.0.2.7:51820
    #[arg(long, value_name = "KEY@ENDPOINT")]
    anchor: Vec<AnchorAt>,
    /// Digest of the policy that must be in force first, in base64
    #[arg(long, value_name = "DIGEST")]
    policy: Option<Digest>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    epochs: Epochs,
    #[command(flatten)]
    ceilings: Ceilings,
}

#[derive(Args, Debug)]
pub(super) struct Verify {
    /// The genesis to check
    #[arg(value_name = "GENESIS")]
    genesis: PathBuf,
    /// The hash that you were told by a trusted way, of this genesis or of one before it
    #[arg(long, value_name = "HASH")]
    hash: Option<Fingerprint>,
    /// The genesis documents before it, the oldest first
    #[arg(long, value_name = "GENESIS", num_args = 1..)]
    chain: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Inspect {
    /// The genesis to show
    #[arg(value_name = "GENESIS")]
    genesis: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
pub(super) struct Succeed {
    /// The genesis that is in force
    #[arg(value_name = "GENESIS")]
    genesis: PathBuf,
    /// The root key
    #[arg(long, value_name = "FILE")]
    root: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
    /// An authority's public key; these replace all the old ones
    #[arg(long, value_name = "FILE")]
    authority_key: Vec<PathBuf>,
    /// How many authority keys must sign; must be said when the number of keys changes
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// How long the old authority keys count beside the new ones [default: not at all]
    ///
    /// For a routine change give at least the certificates' validity, so that nodes renew before the old keys
    /// end. After a theft give nothing: the thief's key counts for nothing wherever the succession is known.
    #[arg(long, value_name = "SPAN")]
    overlap_for: Option<Span>,
    /// A further IPv4 range; ranges are never taken away
    #[arg(long, value_name = "RANGE")]
    add_ipv4: Vec<Ipv4Range>,
    /// Where the authority is found; these replace the old ones
    #[arg(long, value_name = "URL")]
    url: Vec<Origin>,
    #[command(flatten)]
    tls: Tls,
    /// An anchor; these replace the old ones
    #[arg(long, value_name = "KEY@ENDPOINT")]
    anchor: Vec<AnchorAt>,
    /// Have no anchors any more
    #[arg(long, conflicts_with = "anchor")]
    no_anchors: bool,
    /// Digest of the policy that must be in force first, in base64
    #[arg(long, value_name = "DIGEST")]
    policy: Option<Digest>,
    /// Let the authority sign any first policy
    #[arg(long, conflicts_with = "policy")]
    no_policy: bool,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    epochs: Epochs,
    #[command(flatten)]
    ceilings: Ceilings,
}

impl Command {
    pub(super) fn run(self, now: UnixTime) -> anyhow::Result<String> {
        match self {
            Self::New(new) => new.run(now),
            Self::Verify(verify) => verify.run(),
            Self::Inspect(inspect) => inspect.run(now),
            Self::Succeed(succeed) => succeed.run(now),
            Self::Install(install) => install.run(),
        }
    }
}

impl New {
    fn run(self, now: UnixTime) -> anyhow::Result<String> {
        let keys = authority_keys(&self.authority_key)?;
        let threshold = self.threshold.unwrap_or(keys.majority());
        let root = self.passphrase.open(&self.root)?;
        let founding = Founding {
            name: self.name,
            authority: keys.with_threshold(threshold, Revision::FIRST)?,
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            ceilings: self.ceilings.changes().applied_to(EpochCeilings::default()),
            epochs: self.epochs.changes().founding(),
            anchors: anchors(&self.anchor)?,
            policy: self.policy,
            urls: self.url,
            tls: self
                .tls
                .trust()?
                .unwrap_or(TlsTrust::Pins(BoundedSet::default())),
        };
        let signed = founding.sign(&root, &mut random()?, now)?;
        write(&signed, &self.out)?;
        founded(&signed, &self.out)
    }
}

impl Verify {
    fn run(self) -> anyhow::Result<String> {
        let earlier = self.chain.iter().map(|path| read_genesis(path));
        let earlier = earlier.collect::<Result<Vec<_>, _>>()?;
        let last = read_genesis(&self.genesis)?;
        let trusted = self.hash.map(|fingerprint| fingerprint.0);
        let chain = follow(&earlier, &last, trusted).with_context(|| shown(&self.genesis))?;
        let verdict = Verdict::new(&chain, earlier.len(), trusted);
        if self.json {
            return in_json(&verdict);
        }
        Ok(verdict.to_text())
    }
}

impl Inspect {
    fn run(self, now: UnixTime) -> anyhow::Result<String> {
        let chain = own_word(&self.genesis)?;
        let inspection = Inspection::new(&chain, now);
        if self.json {
            return in_json(&inspection);
        }
        Ok(format!(
            "{inspection}\nSigned by the root above. Compare the hash with one that you got by another way.\n"
        ))
    }
}

impl Succeed {
    fn run(self, now: UnixTime) -> anyhow::Result<String> {
        let chain = own_word(&self.genesis)?;
        let root = self.passphrase.open(&self.root)?;
        let out = self.out.clone();
        let signed = self.succession()?.sign(&chain, &root, now)?;
        write(&signed, &out)?;
        succeeded(&chain, &signed, &out)
    }

    fn succession(self) -> anyhow::Result<Succession> {
        let keys = Some(&self.authority_key).filter(|keys| !keys.is_empty());
        let replaced = Some(&self.anchor).filter(|anchors| self.no_anchors || !anchors.is_empty());
        Ok(Succession {
            keys: keys.map(|paths| authority_keys(paths)).transpose()?,
            threshold: self.threshold,
            overlap: self.overlap_for,
            more_ipv4: self.add_ipv4,
            ceilings: self.ceilings.changes(),
            epochs: self.epochs.changes(),
            anchors: replaced.map(|parts| anchors(parts)).transpose()?,
            policy: if self.no_policy {
                Some(None)
            } else {
                self.policy.map(Some)
            },
            urls: Some(self.url).filter(|urls| !urls.is_empty()),
            tls: self.tls.trust()?,
        })
    }
}

/// The genesis in a file, checked against the root that it names itself.
fn own_word(path: &Path) -> anyhow::Result<TrustChain> {
    follow(&[], &read_genesis(path)?, None).with_context(|| shown(path))
}

fn write(signed: &Signed<Genesis>, out: &Path) -> anyhow::Result<()> {
    let mut json = signed.to_json();
    json.push(b'\n');
    publish(&[NewFile::prepare(out, &json, Access::Everyone)?])?;
    Ok(())
}

fn founded(signed: &Signed<Genesis>, out: &Path) -> anyhow::Result<String> {
    let chain = follow(&[], signed, None)?;
    let genesis = chain.genesis();
    Ok(format!(
        "Founded {name} ({network}); wrote its genesis to {out}.\n\
         By this machine's clock it was signed at {at}; of {count} authority keys {threshold} must sign.\n\
         Hash: {hash}\n\
         Next: put the root key away, take {out} along, and have it verified elsewhere, with the hash by another way:\n  \
         tidegate-authority genesis verify {out} --hash '{hash}'\n",
        name = genesis.name,
        network = genesis.network,
        out = shown(out),
        at = genesis.issued_at,
        count = genesis.authority.keys.len(),
        threshold = genesis.authority.threshold,
        hash = Fingerprint(signed.digest()),
    ))
}

fn succeeded(before: &TrustChain, signed: &Signed<Genesis>, out: &Path) -> anyhow::Result<String> {
    let mut chain = before.clone();
    chain.succeed(signed)?;
    let (old, new) = (before.genesis(), chain.genesis());
    let mut text = format!(
        "Signed revision {} of {} at {} by this machine's clock; wrote it to {}.\n",
        new.revision,
        new.name,
        new.issued_at,
        shown(out)
    );
    if (&old.authority.keys, old.authority.threshold)
        != (&new.authority.keys, new.authority.threshold)
    {
        match new.authority.previous_until {
            Some(until) => writeln!(text, "The old authority keys count as well until {until}.")?,
            None => text.push_str(
                "The old authority keys count for nothing any more: whatever they signed must be signed again.\n",
            ),
        }
    }
    write!(
        text,
        "Hash: {}\nNext: give {} to the authority. Never sign another revision {}: nodes that see two stop.\n",
        Fingerprint(signed.digest()),
        shown(out),
        new.revision
    )?;
    Ok(text)
}

/// What a verification found.
#[derive(Serialize)]
struct Verdict {
    name: NetworkName,
    network: NetworkId,
    revision: Revision,
    hash: GenesisHash,
    fingerprint: String,
    /// How many documents before this one were followed.
    followed: usize,
    /// Whether the chain holds a hash that was given as trusted.
    trusted: bool,
}

impl Verdict {
    fn new(chain: &TrustChain, followed: usize, trusted: Option<GenesisHash>) -> Self {
        let genesis = chain.genesis();
        Self {
            name: genesis.name.clone(),
            network: genesis.network,
            revision: genesis.revision,
            hash: genesis.digest(),
            fingerprint: Fingerprint(genesis.digest()).to_string(),
            followed,
            trusted: trusted.is_some(),
        }
    }

    fn to_text(&self) -> String {
        let (name, network, revision) = (&self.name, self.network, self.revision);
        let hash = &self.fingerprint;
        let (verdict, next) = if self.trusted {
            ("Good: it goes back to the hash that you trust.", "")
        } else if self.followed > 0 {
            (
                "It follows from the first genesis given.",
                "Next: trust it as far as you trust that one.\n",
            )
        } else {
            (
                "Its root signed it. Anybody can make such a file for a root of his own.",
                "Next: compare the hash with one that you got by another way, with --hash.\n",
            )
        };
        format!("{name} ({network}), revision {revision}\nHash: {hash}\n{verdict}\n{next}")
    }
}

fn in_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
