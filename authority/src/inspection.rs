//! A genesis as people and programs read it.

use std::fmt;

use serde::Serialize;
use tidegate_proto::{
    AuthoritySet, EpochCeilings, Genesis, GenesisHash, KeyId, PublicKey, Span, Suite, TlsTrust,
    TrustChain, UnixTime, Verified,
};

use crate::fingerprint::Fingerprint;

/// All that a verified genesis says. Prints as a page for people; as JSON it holds the document as it was signed.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    hash: GenesisHash,
    fingerprint: String,
    root_id: KeyId,
    authority_ids: Vec<KeyId>,
    worst_case_ms: Span,
    worst_case_at_ceilings_ms: Span,
    genesis: Genesis,
    #[serde(skip)]
    now: UnixTime,
}

impl Inspection {
    /// What the genesis in force in `chain` says, seen at `now`.
    pub fn new(chain: &TrustChain, now: UnixTime) -> Self {
        let genesis: &Verified<Genesis> = chain.genesis();
        Self {
            hash: genesis.digest(),
            fingerprint: Fingerprint(genesis.digest()).to_string(),
            root_id: KeyId::of(&genesis.root),
            authority_ids: genesis.authority.keys.iter().map(KeyId::of).collect(),
            worst_case_ms: genesis.epochs.worst_case(),
            worst_case_at_ceilings_ms: worst_case_at(&genesis.ceilings),
            genesis: (**genesis).clone(),
            now,
        }
    }

    fn identity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let genesis = &self.genesis;
        row(
            f,
            "network",
            format_args!("{} ({})", genesis.name, genesis.network),
        )?;
        row(
            f,
            "revision",
            format_args!("{}, signed at {}", genesis.revision, genesis.issued_at),
        )?;
        if let Some(previous) = genesis.previous {
            row(f, "follows", Fingerprint(previous))?;
        }
        row(f, "hash", &self.fingerprint)?;
        row(f, "", format_args!("{} in base64", self.hash))
    }

    fn keys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.genesis.authority;
        row(f, "root", Key(&self.genesis.root))?;
        let count = authority.keys.len();
        let must = format_args!("{} of {count} must sign", authority.threshold);
        row(f, "authority", must)?;
        for key in authority.keys.iter() {
            row(f, "", Key(key))?;
        }
        row(f, "earlier keys", EarlierKeys(authority, self.now))
    }

    fn addresses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for range in self.genesis.ipv4.iter() {
            row(
                f,
                "IPv4",
                format_args!("{range}, room for {} nodes", range.capacity()),
            )?;
        }
        row(f, "IPv6", self.genesis.ipv6)
    }

    fn suites(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.genesis.suites.iter().map(|suite| match suite {
            Suite::V1 => "ed25519-x25519-xwing-v1",
        });
        names.try_for_each(|name| row(f, "suite", name))
    }

    fn timing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epochs, ceilings) = (&self.genesis.epochs, &self.genesis.ceilings);
        row(
            f,
            "epochs",
            format_args!(
                "epoch {}, overlap {}, lead {}, offline tolerance {}, certificate {}",
                epochs.epoch,
                epochs.overlap,
                epochs.lead,
                epochs.offline_tolerance,
                epochs.certificate
            ),
        )?;
        row(
            f,
            "ceilings",
            format_args!(
                "epoch {}, overlap {}, lead {}, lease {}, certificate {}",
                ceilings.epoch,
                ceilings.overlap,
                ceilings.lead,
                ceilings.lease,
                ceilings.certificate
            ),
        )?;
        row(
            f,
            "cut-off",
            format_args!(
                "at the latest {} after a revocation, and the clock allowance; a policy can choose up to {}",
                self.worst_case_ms, self.worst_case_at_ceilings_ms
            ),
        )
    }

    fn whereabouts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let genesis = &self.genesis;
        if genesis.urls.is_empty() {
            row(f, "URL", "none")?;
        }
        for url in genesis.urls.iter() {
            row(f, "URL", url)?;
        }
        match &genesis.tls {
            TlsTrust::SystemRoots => row(f, "TLS", "any certificate that the system trusts")?,
            TlsTrust::Pins(pins) => pins.iter().try_for_each(|pin| row(f, "TLS pin", pin))?,
        }
        for anchor in genesis.anchors.iter() {
            let endpoints: Vec<_> = anchor.endpoints.iter().map(ToString::to_string).collect();
            let text = format_args!("{} at {}", anchor.identity, endpoints.join(", "));
            row(f, "anchor", text)?;
        }
        match genesis.policy {
            Some(digest) => row(f, "first policy", digest),
            None => row(f, "first policy", "any that the authority signs"),
        }
    }
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity(f)?;
        self.keys(f)?;
        self.addresses(f)?;
        self.suites(f)?;
        self.timing(f)?;
        self.whereabouts(f)
    }
}

/// The longest cut-off that a policy within the ceilings can choose.
fn worst_case_at(ceilings: &EpochCeilings) -> Span {
    ceilings.lead + ceilings.lease
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<13} {value}")
}

/// A key and its id.
struct Key<'a>(&'a PublicKey);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0, KeyId::of(self.0))
    }
}

/// What became of the keys of the revision before.
struct EarlierKeys<'a>(&'a AuthoritySet, UnixTime);

impl fmt::Display for EarlierKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.previous_until {
            Some(until) if self.1 < until => write!(f, "count as well until {until}"),
            Some(until) => write!(f, "do not count since {until}"),
            None => f.write_str("do not count"),
        }
    }
}
