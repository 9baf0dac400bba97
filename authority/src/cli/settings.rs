//! The options that a founding and a succession share.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use clap::Args;
use tidegate_authority::ceremony::{AuthorityKeys, CeilingChanges, EpochChanges};
use tidegate_authority::read_public_key;
use tidegate_proto::{
    Anchor, BoundedList, BoundedSet, Endpoint, PublicKey, Span, TlsPin, TlsTrust,
};

/// Epoch settings, each optional.
#[derive(Args, Debug)]
#[command(next_help_heading = "Epoch settings (like 500ms, 30s, 15m, 24h, 7d)")]
pub(super) struct Epochs {
    /// Length of an epoch; new networks: 15m
    #[arg(long, value_name = "SPAN")]
    epoch: Option<Span>,
    /// How long after its end an epoch is still received; new networks: 30s
    #[arg(long, value_name = "SPAN")]
    overlap: Option<Span>,
    /// How long before its start an epoch's grants are released; new networks: a fifth of the epoch
    #[arg(long, value_name = "SPAN")]
    lead: Option<Span>,
    /// How long nodes go on without the authority after an epoch's end; new networks: 1h
    #[arg(long, value_name = "SPAN")]
    offline_tolerance: Option<Span>,
    /// Validity of a node's certificate; new networks: 24h
    #[arg(long, value_name = "SPAN")]
    certificate: Option<Span>,
}

/// Ceilings, each optional.
#[derive(Args, Debug)]
#[command(next_help_heading = "Ceilings (what no policy may exceed without the root)")]
pub(super) struct Ceilings {
    /// Longest epoch; new networks: 4h
    #[arg(long, value_name = "SPAN")]
    max_epoch: Option<Span>,
    /// Longest overlap; new networks: 10m
    #[arg(long, value_name = "SPAN")]
    max_overlap: Option<Span>,
    /// Longest lead; new networks: 1h
    #[arg(long, value_name = "SPAN")]
    max_lead: Option<Span>,
    /// Longest lease, that is epoch and offline tolerance together; new networks: 48h
    #[arg(long, value_name = "SPAN")]
    max_lease: Option<Span>,
    /// Longest validity of a certificate; new networks: 7d
    #[arg(long, value_name = "SPAN")]
    max_certificate: Option<Span>,
}

impl Epochs {
    pub(super) fn changes(&self) -> EpochChanges {
        EpochChanges {
            epoch: self.epoch,
            overlap: self.overlap,
            lead: self.lead,
            offline_tolerance: self.offline_tolerance,
            certificate: self.certificate,
        }
    }
}

impl Ceilings {
    pub(super) fn changes(&self) -> CeilingChanges {
        CeilingChanges {
            epoch: self.max_epoch,
            overlap: self.max_overlap,
            lead: self.max_lead,
            lease: self.max_lease,
            certificate: self.max_certificate,
        }
    }
}

/// How the authority's TLS key is recognised.
#[derive(Args, Debug)]
pub(super) struct Tls {
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo in base64; a second one for a spare key
    ///
    /// From a certificate: openssl x509 -in cert.pem -noout -pubkey | openssl pkey -pubin -outform der |
    /// openssl dgst -sha256 -binary | base64
    #[arg(long, value_name = "PIN")]
    tls_pin: Vec<TlsPin>,
    /// Trust any TLS certificate that the nodes' systems trust, in place of pins
    #[arg(long, conflicts_with = "tls_pin")]
    tls_system_roots: bool,
}

impl Tls {
    /// What was said, if anything.
    pub(super) fn trust(&self) -> anyhow::Result<Option<TlsTrust>> {
        if self.tls_system_roots {
            return Ok(Some(TlsTrust::SystemRoots));
        }
        if self.tls_pin.is_empty() {
            return Ok(None);
        }
        let pins: BoundedSet<TlsPin, 2> = BoundedSet::new(self.tls_pin.clone()).map_err(|_| {
            anyhow::anyhow!("more than two TLS pins; give the one in use and a spare")
        })?;
        if pins.len() < self.tls_pin.len() {
            bail!("the two TLS pins are the same; give that of another, spare key or only one");
        }
        Ok(Some(TlsTrust::Pins(pins)))
    }
}

/// `KEY@ENDPOINT`: a node's identity key and where it is found.
#[derive(Clone, Debug)]
pub(super) struct AnchorAt {
    identity: PublicKey,
    endpoint: Endpoint,
}

impl FromStr for AnchorAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, endpoint)) = text.split_once('@') else {
            return Err(
                "write it like KEY@192.0.2.7:51820, with the node's identity key in base64".into(),
            );
        };
        let identity = key
            .parse()
            .map_err(|error| format!("{error}; give the anchor's identity key in base64"))?;
        let endpoint = endpoint.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { identity, endpoint })
    }
}

/// One anchor for each key, with all of its endpoints.
pub(super) fn anchors(parts: &[AnchorAt]) -> anyhow::Result<Vec<Anchor>> {
    let mut gathered: Vec<(PublicKey, Vec<Endpoint>)> = Vec::new();
    for part in parts {
        let known = gathered.iter_mut().find(|(key, _)| *key == part.identity);
        match known {
            Some((_, endpoints)) if endpoints.contains(&part.endpoint) => {
                bail!(
                    "the anchor at {} is given twice; give it once",
                    part.endpoint
                )
            }
            Some((_, endpoints)) => endpoints.push(part.endpoint),
            None => gathered.push((part.identity, vec![part.endpoint])),
        }
    }
    let anchor = |(identity, endpoints)| match BoundedList::new(endpoints) {
        Ok(endpoints) => Ok(Anchor {
            identity,
            endpoints,
        }),
        Err(_) => bail!("an anchor has at most four endpoints; give fewer for {identity}"),
    };
    gathered.into_iter().map(anchor).collect()
}

/// The keys in these files.
pub(super) fn authority_keys(paths: &[PathBuf]) -> anyhow::Result<AuthorityKeys> {
    let keys = paths.iter().map(|path| read_public_key(path));
    Ok(AuthorityKeys::new(keys.collect::<Result<_, _>>()?)?)
}
