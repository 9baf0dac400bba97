//! The constitution of a network.

use serde::{Deserialize, Serialize};

use super::{Document, DocumentError, Kind, Ordered};
use crate::bounded::{BoundedList, BoundedSet};
use crate::envelope::MOST_SIGNATURES;
use crate::epochs::{EpochCeilings, EpochSettings};
use crate::id::{Digest, GenesisHash, NetworkId, Revision};
use crate::key::PublicKey;
use crate::keyring::{KeySet, Root};
use crate::name::NetworkName;
use crate::net::{Endpoint, Ipv4Range, Ipv6Range, Origin, Prefix, TlsTrust};
use crate::order::Order;
use crate::time::UnixTime;

/// A set of algorithms. A node refuses a genesis that names one it does not have.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Suite {
    /// Ed25519 signatures; WireGuard; HKDF-SHA-256; grants sealed with HPKE over X-Wing and ChaCha20-Poly1305.
    #[serde(rename = "ed25519-x25519-xwing-v1")]
    V1,
}

/// A node with a stable public endpoint that introduces others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Anchor {
    /// The anchor's identity key.
    pub identity: PublicKey,
    /// Where it is found.
    pub endpoints: BoundedList<Endpoint, 4>,
}

/// The keys that sign for the authority, and how many of them must.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuthoritySet {
    /// The keys.
    pub keys: BoundedSet<PublicKey, { AuthoritySet::MOST_KEYS }>,
    /// How many of them must sign.
    pub threshold: u32,
    /// The revision since which these keys sign: documents of that revision and later ones count.
    pub since: Revision,
    /// Until when the keys before them count as well; not at all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_until: Option<UnixTime>,
}

impl AuthoritySet {
    /// Room for an operator's signature beside all of them.
    pub const MOST_KEYS: usize = MOST_SIGNATURES - 1;

    /// The keys as a set that signatures are checked against.
    pub(crate) fn key_set(&self) -> Result<KeySet, DocumentError> {
        let threshold = self.threshold as usize;
        KeySet::new(&self.keys, threshold).ok_or(DocumentError::Threshold {
            threshold,
            keys: self.keys.len(),
        })
    }
}

/// The root-signed constitution of one network. Each succession is a new revision that names the one before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Genesis {
    /// The network, drawn at random for its first revision.
    pub network: NetworkId,
    /// The network's name.
    pub name: NetworkName,
    /// 1, and one more with each succession.
    pub revision: Revision,
    /// The hash of the revision before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<GenesisHash>,
    /// When it was signed.
    pub issued_at: UnixTime,
    /// The key that signs this and every succession.
    pub root: PublicKey,
    /// Who signs everything else.
    pub authority: AuthoritySet,
    /// The overlay's IPv4 addresses; a succession may add a range.
    pub ipv4: BoundedList<Ipv4Range, 4>,
    /// The overlay's IPv6 addresses.
    pub ipv6: Ipv6Range,
    /// The algorithms that nodes may use.
    pub suites: BoundedSet<Suite, 4>,
    /// What no policy and no grant may exceed.
    pub ceilings: EpochCeilings,
    /// The settings that hold until a policy changes them.
    pub epochs: EpochSettings,
    /// Nodes that introduce newcomers while no authority can be reached.
    pub anchors: BoundedList<Anchor, 16>,
    /// The digest of the policy that must be in force first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Digest>,
    /// Where the authority is found.
    pub urls: BoundedList<Origin, 8>,
    /// How its TLS key is recognised.
    pub tls: TlsTrust,
}

impl Genesis {
    /// Every prefix of the overlay.
    pub fn prefixes(&self) -> impl Iterator<Item = Prefix> + '_ {
        self.ipv4
            .iter()
            .map(Ipv4Range::prefix)
            .chain([self.ipv6.prefix()])
    }

    fn check_ranges(&self) -> Result<(), DocumentError> {
        if self.ipv4.is_empty() {
            return Err(DocumentError::Missing("IPv4 range"));
        }
        for (index, range) in self.ipv4.iter().enumerate() {
            if let Some(other) = self.ipv4[..index]
                .iter()
                .find(|other| other.prefix().overlaps(&range.prefix()))
            {
                return Err(DocumentError::RangesOverlap(other.prefix(), range.prefix()));
            }
        }
        Ok(())
    }

    fn check_succession(&self) -> Result<(), DocumentError> {
        let first = self.revision.value() == 1;
        let overlap_without_predecessor = first && self.authority.previous_until.is_some();
        if self.revision.value() == 0
            || first != self.previous.is_none()
            || overlap_without_predecessor
        {
            return Err(DocumentError::Predecessor);
        }
        let since = self.authority.since;
        if since > self.revision || since.value() == 0 {
            return Err(DocumentError::Since(since));
        }
        Ok(())
    }
}

impl Document for Genesis {
    type Signer = Root;
    const KIND: Kind = Kind::Genesis;

    fn network(&self) -> NetworkId {
        self.network
    }

    fn check(&self) -> Result<(), DocumentError> {
        self.authority.key_set()?;
        if self.authority.keys.contains(&self.root) {
            return Err(DocumentError::RootIsAuthority);
        }
        self.check_succession()?;
        self.check_ranges()?;
        if self.suites.is_empty() {
            return Err(DocumentError::Missing("suite"));
        }
        if matches!(&self.tls, TlsTrust::Pins(pins) if pins.is_empty() && !self.urls.is_empty()) {
            return Err(DocumentError::Missing("TLS pin for the authority's URLs"));
        }
        Ok(self.epochs.check(&self.ceilings)?)
    }
}

impl Ordered for Genesis {
    fn order(&self) -> Order {
        Order::alone(self.revision.sequence())
    }
}
