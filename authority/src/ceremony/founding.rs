//! The first genesis of a network.

use rand_core::CryptoRng;
use tidegate_proto::{
    Anchor, AuthoritySet, BoundedSet, Digest, EpochCeilings, EpochSettings, Genesis, Ipv4Range,
    Ipv6Range, NetworkId, NetworkName, Origin, Revision, Signed, SigningKey, Suite, TlsTrust,
    TrustChain, UnixTime,
};

use super::{CeremonyError, bounded, distinct};

/// What a new network is to be.
#[derive(Clone, Debug)]
pub struct Founding {
    /// Its name.
    pub name: NetworkName,
    /// Who signs for the authority.
    pub authority: AuthoritySet,
    /// The overlay's IPv4 addresses.
    pub ipv4: Vec<Ipv4Range>,
    /// The overlay's IPv6 addresses; drawn at random if absent.
    pub ipv6: Option<Ipv6Range>,
    /// What no policy and no grant may exceed.
    pub ceilings: EpochCeilings,
    /// The settings that hold until a policy changes them.
    pub epochs: EpochSettings,
    /// Nodes that introduce newcomers.
    pub anchors: Vec<Anchor>,
    /// The digest of the policy that must be in force first.
    pub policy: Option<Digest>,
    /// Where the authority is found.
    pub urls: Vec<Origin>,
    /// How its TLS key is recognised.
    pub tls: TlsTrust,
}

impl Founding {
    /// The genesis of a new network with a random id, signed by its root.
    pub fn sign(
        self,
        root: &SigningKey,
        rng: &mut impl CryptoRng,
        now: UnixTime,
    ) -> Result<Signed<Genesis>, CeremonyError> {
        let genesis = self.draft(root, rng, now)?;
        let signed = Signed::sign(&genesis, &[root])?;
        TrustChain::trusting(&signed)?;
        Ok(signed)
    }

    fn draft(
        self,
        root: &SigningKey,
        rng: &mut impl CryptoRng,
        now: UnixTime,
    ) -> Result<Genesis, CeremonyError> {
        let network = NetworkId::from_bytes(random(rng));
        let drawn = Ipv6Range::from_random(random(rng));
        Ok(Genesis {
            network,
            name: self.name,
            revision: Revision::new(1).ok_or(CeremonyError::LastRevision)?,
            previous: None,
            issued_at: now,
            root: root.public_key(),
            authority: self.authority,
            ipv4: bounded("IPv4 ranges", self.ipv4)?,
            ipv6: self.ipv6.unwrap_or(drawn),
            suites: BoundedSet::new(vec![Suite::V1]).unwrap_or_default(), // one of at most four
            ceilings: self.ceilings,
            epochs: self.epochs,
            anchors: bounded("anchors", self.anchors)?,
            policy: self.policy,
            urls: distinct("URLs", self.urls)?,
            tls: self.tls,
        })
    }
}

fn random<const N: usize>(rng: &mut impl CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}
