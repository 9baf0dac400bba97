//! The node's secret keys but its identity key, and their succession.

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use tidegate_proto::{
    Certificate, NodeKeys, PublicKey, SealingKeyHash, SealingSecretKey, WgPublicKey, WgSecretKey,
};

use crate::kept::Secret;

/// A WireGuard key and a sealing key, which one certificate names.
pub(crate) struct Pair {
    pub(crate) wireguard: WgSecretKey,
    pub(crate) sealing: SealingSecretKey,
    sealing_hash: SealingKeyHash,
}

/// How a pair lies in its file.
#[derive(Clone, Deserialize, Serialize)]
struct KeptPair {
    wireguard: Secret,
    sealing: Secret,
}

/// How all of them lie in their file.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct KeptKeys {
    current: KeptPair,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<KeptPair>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<KeptPair>,
}

/// The keys in use, those that the next certificate is asked for with, and those before until the first grant that is
/// sealed to the ones in use.
pub(crate) struct Keys {
    current: Pair,
    next: Option<Pair>,
    previous: Option<Pair>,
}

impl Pair {
    pub(crate) fn new(wireguard: WgSecretKey, sealing: SealingSecretKey) -> Option<Self> {
        let sealing_hash = sealing.public_key().ok()?.hash();
        Some(Self {
            wireguard,
            sealing,
            sealing_hash,
        })
    }

    fn keep(&self) -> KeptPair {
        KeptPair {
            wireguard: Secret::new(self.wireguard.expose()),
            sealing: Secret::new(self.sealing.expose()),
        }
    }

    fn public(&self, identity: PublicKey) -> Option<NodeKeys> {
        Some(NodeKeys {
            identity,
            wireguard: self.wireguard.public_key(),
            sealing: self.sealing.public_key().ok()?,
        })
    }

    fn is_named_by(&self, certificate: &Certificate) -> bool {
        self.wireguard.public_key() == certificate.wireguard
            && self.sealing_hash == certificate.sealing
    }
}

impl KeptPair {
    fn open(&self) -> Option<Pair> {
        Pair::new(
            WgSecretKey::from_bytes(*self.wireguard.0),
            SealingSecretKey::from_seed(*self.sealing.0),
        )
    }
}

/// Whether the next certificate gets a new WireGuard key as well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Renewed {
    /// Only the sealing key, as at every renewal.
    Sealing,
    /// Both, as after a reinstatement.
    Both,
}

impl Keys {
    pub(crate) fn new(current: Pair) -> Self {
        Self {
            current,
            next: None,
            previous: None,
        }
    }

    pub(crate) fn open(kept: &KeptKeys) -> Option<Self> {
        Some(Self {
            current: kept.current.open()?,
            next: kept.next.as_ref().and_then(KeptPair::open),
            previous: kept.previous.as_ref().and_then(KeptPair::open),
        })
    }

    pub(crate) fn keep(&self) -> KeptKeys {
        KeptKeys {
            current: self.current.keep(),
            next: self.next.as_ref().map(Pair::keep),
            previous: self.previous.as_ref().map(Pair::keep),
        }
    }

    pub(crate) fn wireguard(&self) -> &WgSecretKey {
        &self.current.wireguard
    }

    pub(crate) fn wireguard_public(&self) -> WgPublicKey {
        self.current.wireguard.public_key()
    }

    /// The keys to ask for the next certificate with: drawn once, and the same until they are certified. `None` if no
    /// pair can be made of what was drawn.
    pub(crate) fn next(
        &mut self,
        identity: PublicKey,
        renewed: Renewed,
        rng: &mut impl CryptoRng,
    ) -> Option<(NodeKeys, Drawn)> {
        let same_wireguard = |pair: &Pair| pair.wireguard.public_key() == self.wireguard_public();
        let fits = |pair: &Pair| same_wireguard(pair) == (renewed == Renewed::Sealing);
        if let Some(next) = self.next.as_ref().filter(|next| fits(next)) {
            return Some((next.public(identity)?, Drawn::Before));
        }
        let wireguard = match renewed {
            Renewed::Sealing => WgSecretKey::from_bytes(*self.current.wireguard.expose()),
            Renewed::Both => WgSecretKey::generate(rng),
        };
        let next = Pair::new(wireguard, SealingSecretKey::generate(rng))?;
        let public = next.public(identity)?;
        self.next = Some(next);
        Some((public, Drawn::Now))
    }

    /// The public halves of the keys that a certificate names, or without one of those in use.
    pub(crate) fn public(
        &self,
        identity: PublicKey,
        certificate: Option<&Certificate>,
    ) -> Option<NodeKeys> {
        let named =
            certificate.map(|certificate| self.all().find(|pair| pair.is_named_by(certificate)));
        named.unwrap_or(Some(&self.current))?.public(identity)
    }

    /// The private halves of these keys, if they are ours.
    pub(crate) fn secrets_of(&self, keys: &NodeKeys) -> Option<&Pair> {
        let hash = keys.sealing.hash();
        let same = |pair: &&Pair| {
            pair.wireguard.public_key() == keys.wireguard && pair.sealing_hash == hash
        };
        [self.next.as_ref(), Some(&self.current)]
            .into_iter()
            .flatten()
            .find(same)
    }

    /// Whether we hold the keys that a certificate names.
    pub(crate) fn hold(&self, certificate: &Certificate) -> bool {
        self.all().any(|pair| pair.is_named_by(certificate))
    }

    fn all(&self) -> impl Iterator<Item = &Pair> {
        [
            Some(&self.current),
            self.next.as_ref(),
            self.previous.as_ref(),
        ]
        .into_iter()
        .flatten()
    }

    /// Takes the keys of a new certificate into use. True if they are others than before.
    pub(crate) fn take_up(&mut self, certificate: &Certificate) -> bool {
        let Some(next) = self.next.take_if(|next| next.is_named_by(certificate)) else {
            return false;
        };
        self.previous = Some(std::mem::replace(&mut self.current, next));
        true
    }

    /// The key that opens what is sealed to `hash`.
    pub(crate) fn opening(&self, hash: &SealingKeyHash) -> Option<&SealingSecretKey> {
        let pair = self.all().find(|pair| pair.sealing_hash == *hash);
        pair.map(|pair| &pair.sealing)
    }

    /// Erases the keys before the current ones once something sealed to the current ones has come. True if there were any.
    pub(crate) fn forget_previous(&mut self, opened: &SealingKeyHash) -> bool {
        *opened == self.current.sealing_hash && self.previous.take().is_some()
    }
}

/// Whether keys are new, and have to be on the disk before anybody hears of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Drawn {
    /// On the disk already, or on the way, or still to be written after a failure.
    Before,
    /// Not yet.
    Now,
}
