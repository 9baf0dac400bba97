//! An authority in memory: it signs the real documents, keeps a ledger of what it released, and publishes the bound.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tidegate_proto::bound::{PublishedBound, Release, Revocation};
use tidegate_proto::policy::Policy;
use tidegate_proto::*;

use super::set;
use super::signing::{genesis, sign_list, sign_policy};

/// When every world begins.
pub const BEGIN: UnixTime = UnixTime::from_millis(1_790_000_000_000);

/// Short spans, so that much happens in little time.
pub const SETTINGS: EpochSettings = EpochSettings {
    epoch: Span::from_secs(60),
    overlap: Span::from_secs(5),
    lead: Span::from_secs(12),
    offline_tolerance: Span::from_secs(120),
    certificate: Span::from_minutes(20),
};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    Pending,
    Allowed,
    Suspended,
    Revoked,
    Readmitted,
}

/// A node on the books.
pub struct Entry {
    pub keys: NodeKeys,
    pub number: u8,
    pub standing: Standing,
    pub serial: Serial,
    pub certificate: Option<Signed<Certificate>>,
    pub record: Option<Signed<PeerRecord>>,
    pub routes: Vec<Prefix>,
}

pub struct Epoch {
    pub number: EpochNumber,
    pub redraw: u32,
    pub starts: UnixTime,
    pub ends: UnixTime,
    pub lease_until: UnixTime,
    pub secret: EpochSecret,
}

/// A revocation under way, and what was told about it.
pub struct CutOff {
    pub revocation: Revocation,
    pub key: WgPublicKey,
    pub published: PublishedBound,
}

pub struct Authority {
    root: SigningKey,
    pub signer: SigningKey,
    pub chain: Vec<Signed<Genesis>>,
    pub genesis: Genesis,
    pub rng: ChaCha20Rng,
    pub now: UnixTime,
    pub entries: BTreeMap<NodeId, Entry>,
    listed: BTreeMap<PublicKey, RevocationEntry>,
    pub list: Signed<RevocationList>,
    pub place: ListPlace,
    digests: BTreeMap<ListPlace, Digest>,
    pub policy: Signed<Policy>,
    pub permits: bool,
    pub settings: EpochSettings,
    pub trust_rtc: bool,
    pub version: u64,
    pub epochs: Vec<Epoch>,
    pub ledger: Vec<Release>,
    pub granted: BTreeMap<(NodeId, EpochNumber, u32, Serial), Signed<EpochGrant>>,
    pub receipts: BTreeMap<NodeId, (Sequence, ListPlace)>,
    pub cutoffs: BTreeMap<NodeId, CutOff>,
}

impl Authority {
    pub fn new(seed: u64) -> Self {
        let (root, signer) = (
            SigningKey::from_seed(&[1; 32]),
            SigningKey::from_seed(&[2; 32]),
        );
        let genesis = genesis(&root, &signer, SETTINGS);
        let chain = vec![Signed::sign(&genesis, &[&root]).unwrap()];
        let place = ListPlace {
            revision: Revision::FIRST,
            sequence: Sequence::new(1).unwrap(),
        };
        let empty = sign_list(&genesis, &signer, place, &BTreeMap::new(), BEGIN);
        let policy = sign_policy(&genesis, &signer, 1, true, SETTINGS, true, BEGIN);
        let mut authority = Self {
            root,
            signer,
            chain,
            genesis,
            rng: ChaCha20Rng::seed_from_u64(seed),
            now: BEGIN,
            entries: BTreeMap::new(),
            listed: BTreeMap::new(),
            digests: BTreeMap::from([(place, empty.digest())]),
            list: empty,
            place,
            policy,
            permits: true,
            settings: SETTINGS,
            trust_rtc: true,
            version: 1,
            epochs: Vec::new(),
            ledger: Vec::new(),
            granted: BTreeMap::new(),
            receipts: BTreeMap::new(),
            cutoffs: BTreeMap::new(),
        };
        authority.tick();
        authority
    }

    pub fn keyring(&self) -> Keyring<tidegate_proto::Authority> {
        let mut chain = TrustChain::trusting(&self.chain[0]).unwrap();
        for next in &self.chain[1..] {
            chain.succeed(next).unwrap();
        }
        chain.keyring().unwrap()
    }

    pub fn next_version(&mut self) -> Sequence {
        self.version += 1;
        Sequence::new(self.version).unwrap()
    }

    pub fn enroll(&mut self, keys: NodeKeys, number: u8) -> NodeId {
        let node = NodeId::of(&keys.identity);
        let entry = Entry {
            keys,
            number,
            standing: Standing::Pending,
            serial: Serial::default(),
            certificate: None,
            record: None,
            routes: Vec::new(),
        };
        self.entries.insert(node, entry);
        node
    }

    pub fn admit(&mut self, node: NodeId) -> Signed<Certificate> {
        self.entries.get_mut(&node).unwrap().standing = Standing::Allowed;
        self.issue(node)
    }

    pub fn issue(&mut self, node: NodeId) -> Signed<Certificate> {
        let serial = Serial::new(self.next_version().value()).unwrap();
        let certificate = self.certificate(node, serial);
        let signed = Signed::sign(&certificate, &[&self.signer]).unwrap();
        let entry = self.entries.get_mut(&node).unwrap();
        (entry.serial, entry.certificate) = (serial, Some(signed.clone()));
        signed
    }

    pub fn certificate(&self, node: NodeId, serial: Serial) -> Certificate {
        let entry = &self.entries[&node];
        let number = entry.number;
        Certificate {
            network: self.genesis.network,
            revision: self.genesis.revision,
            node,
            name: format!("node-{number}").parse().unwrap(),
            identity: entry.keys.identity,
            wireguard: entry.keys.wireguard,
            sealing: entry.keys.sealing.hash(),
            ipv4: format!("10.211.0.{number}").parse().unwrap(),
            ipv6: format!("fd01:203:405::{number:x}").parse().unwrap(),
            roles: set(["member".parse().unwrap()]),
            tags: set([format!("t-{number}").parse().unwrap()]),
            routes: set(entry.routes.iter().copied()),
            not_before: self.now - Span::from_secs(60),
            not_after: self.now + self.settings.certificate,
            serial,
        }
    }

    /// Renewal, and the return of a node that was let back in: the possession of the keys has been shown.
    pub fn renew(&mut self, keys: &NodeKeys, anew: bool) -> Option<Signed<Certificate>> {
        let node = NodeId::of(&keys.identity);
        let entry = self.entries.get_mut(&node)?;
        let may = match entry.standing {
            Standing::Allowed => entry.keys.wireguard == keys.wireguard,
            Standing::Readmitted => anew && entry.keys.wireguard != keys.wireguard,
            _ => false,
        };
        if !may {
            return None;
        }
        (entry.keys, entry.standing) = (keys.clone(), Standing::Allowed);
        Some(self.issue(node))
    }

    pub fn publish_list(&mut self) {
        let sequence = self.next_version();
        self.place = ListPlace {
            revision: self.genesis.revision,
            sequence,
        };
        self.list = sign_list(
            &self.genesis,
            &self.signer,
            self.place,
            &self.listed,
            self.now,
        );
        self.digests.insert(self.place, self.list.digest());
    }

    pub fn put_out(&mut self, node: NodeId, kind: RevocationKind) {
        let entry = self.entries.get_mut(&node).unwrap();
        entry.standing = match kind {
            RevocationKind::Revoked => Standing::Revoked,
            RevocationKind::Suspended => Standing::Suspended,
        };
        let (identity, serial, key) = (entry.keys.identity, entry.serial, entry.keys.wireguard);
        let listed = RevocationEntry {
            identity,
            serials_up_to: serial,
            kind,
            reason: "lost".parse().unwrap(),
            since: self.now,
        };
        self.listed.insert(identity, listed);
        for epoch in self
            .epochs
            .iter_mut()
            .filter(|epoch| epoch.starts > self.now)
        {
            epoch.redraw += 1;
            epoch.secret = EpochSecret::generate(&mut self.rng);
        }
        self.publish_list();
        let revocation = Revocation {
            node,
            list: self.place,
            since: self.now,
        };
        let published = PublishedBound::first(&self.progress(&revocation));
        self.cutoffs.insert(
            node,
            CutOff {
                revocation,
                key,
                published,
            },
        );
    }

    fn progress(&self, revocation: &Revocation) -> bound::Progress {
        let receipts = self
            .receipts
            .iter()
            .map(|(node, (_, place))| (*node, *place))
            .collect();
        revocation.progress(&self.ledger, &receipts, &[])
    }

    pub fn reinstate(&mut self, node: NodeId) {
        let entry = self.entries.get_mut(&node).unwrap();
        match entry.standing {
            Standing::Suspended => {
                entry.standing = Standing::Allowed;
                let identity = entry.keys.identity;
                self.listed.remove(&identity);
                self.cutoffs.remove(&node);
                self.publish_list();
            }
            Standing::Revoked => entry.standing = Standing::Readmitted,
            _ => {}
        }
        self.next_version();
    }

    pub fn put_policy(&mut self, permits: bool) {
        self.permits = permits;
        let version = self.next_version().value();
        let (settings, rtc) = (self.settings, self.trust_rtc);
        self.policy = sign_policy(
            &self.genesis,
            &self.signer,
            version,
            permits,
            settings,
            rtc,
            self.now,
        );
    }

    /// Takes a node's word, if it is properly signed, of a list that there was, and newer than the last.
    pub fn take_receipt(&mut self, signed: &Signed<Receipt>, from: NodeId) -> bool {
        let certificate = self.entries[&from].certificate.clone().unwrap();
        let certificate = certificate.verify(&self.keyring(), self.now).unwrap();
        let receipt = signed
            .verify(&Keyring::of_node(&certificate), self.now)
            .unwrap();
        assert_eq!(self.digests.get(&receipt.list), Some(&receipt.list_digest));
        let last = self.receipts.get(&from).copied();
        if last
            .is_some_and(|(sequence, place)| receipt.sequence <= sequence || receipt.list < place)
        {
            return false;
        }
        self.receipts.insert(from, (receipt.sequence, receipt.list));
        let progress: Vec<_> = self
            .cutoffs
            .iter()
            .map(|(node, cutoff)| (*node, self.progress(&cutoff.revocation)))
            .collect();
        for (node, progress) in progress {
            let cutoff = self.cutoffs.get_mut(&node).unwrap();
            cutoff.published = cutoff.published.fallen(&progress);
        }
        true
    }

    pub fn time(&self, nonce: Nonce) -> Signed<TimeStatement> {
        let statement = TimeStatement {
            network: self.genesis.network,
            nonce,
            at: self.now,
        };
        Signed::sign(&statement, &[&self.signer]).unwrap()
    }

    /// Signs a succession. With new keys the old ones count until `overlap`.
    pub fn succeed(&mut self, signer: Option<SigningKey>, overlap: Option<UnixTime>) {
        let revision = self.genesis.revision.next().unwrap();
        let changed = signer.is_some();
        if let Some(signer) = signer {
            self.signer = signer;
        }
        let mut next = self.genesis.clone();
        next.previous = Some(self.chain.last().unwrap().digest());
        next.revision = revision;
        next.authority.keys = set([self.signer.public_key()]);
        if changed {
            next.authority.since = revision;
        }
        next.authority.previous_until = overlap;
        self.chain.push(Signed::sign(&next, &[&self.root]).unwrap());
        self.genesis = next;
    }

    /// A second document for the revision in force, signed by the root.
    pub fn sibling(&self) -> Signed<Genesis> {
        let mut other = self.genesis.clone();
        other.issued_at = other.issued_at + Span::from_secs(1);
        Signed::sign(&other, &[&self.root]).unwrap()
    }

    pub fn random(&mut self) -> u64 {
        self.rng.next_u64()
    }
}
