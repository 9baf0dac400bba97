//! Who may sign: keys, how many of them, and for what kind of document.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::document::{Action, Author, Certificate, Document, Genesis};
use crate::envelope::Signature;
use crate::id::{KeyId, NetworkId, NodeId, OperatorId, Revision};
use crate::key::PublicKey;
use crate::policy::{OperatorRole, Policy};
use crate::time::UnixTime;
use crate::verify::{Verified, VerifyError};

mod sealed {
    pub trait Sealed {}
}

/// Who signs a kind of document. The type keeps a keyring from vouching for what its keys may not sign.
pub trait Signer: sealed::Sealed {}

macro_rules! signer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum $name {}
        impl sealed::Sealed for $name {}
        impl Signer for $name {}
    };
}

signer! {
    /// The root sovereign.
    Root
}
signer! {
    /// A threshold of the network's authority keys.
    Authority
}
signer! {
    /// One node, with its identity key.
    Node
}
signer! {
    /// An operator and, over the same bytes, a threshold of authority keys.
    OperatorAndAuthority
}

/// Keys of which a number must sign. Keys are distinct, and the threshold can be reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeySet {
    keys: Vec<(KeyId, PublicKey)>,
    threshold: usize,
}

impl KeySet {
    /// A set of `keys` of which `threshold` must sign; `None` if that cannot be or a key stands there twice.
    pub fn new(keys: &[PublicKey], threshold: usize) -> Option<Self> {
        let mut keys: Vec<_> = keys.iter().map(|key| (KeyId::of(key), *key)).collect();
        keys.sort_unstable();
        let distinct = keys.is_sorted_by(|a, b| a.0 < b.0);
        (distinct && threshold >= 1 && threshold <= keys.len()).then_some(Self { keys, threshold })
    }

    /// A single key that must sign.
    pub(crate) fn single(key: PublicKey) -> Self {
        Self {
            keys: vec![(KeyId::of(&key), key)],
            threshold: 1,
        }
    }

    fn key(&self, id: KeyId) -> Option<&PublicKey> {
        self.keys
            .binary_search_by_key(&id, |(id, _)| *id)
            .ok()
            .map(|at| &self.keys[at].1)
    }

    fn check_threshold(&self, signatures: &[Signature]) -> Result<(), VerifyError> {
        let valid = signatures
            .iter()
            .filter(|s| self.key(s.key).is_some())
            .count();
        if valid < self.threshold {
            return Err(VerifyError::Threshold {
                valid,
                threshold: self.threshold,
            });
        }
        Ok(())
    }
}

/// The key sets of one genesis revision, each of which must be satisfied.
#[derive(Clone, Debug)]
pub(crate) struct Quorum {
    /// The first and the last revision in which these keys sign.
    revisions: (Revision, Revision),
    sets: Vec<KeySet>,
    until: Option<UnixTime>,
}

impl Quorum {
    fn key(&self, id: KeyId) -> Option<&PublicKey> {
        self.sets.iter().find_map(|set| set.key(id))
    }

    fn signs_under(&self, revision: Revision) -> bool {
        self.revisions.0 <= revision && revision <= self.revisions.1
    }

    fn knows_all(&self, signatures: &[Signature]) -> bool {
        signatures
            .iter()
            .all(|signature| self.key(signature.key).is_some())
    }

    fn check(
        &self,
        message: &[u8],
        signatures: &[Signature],
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        if let Some(until) = self.until.filter(|&until| until <= now) {
            return Err(VerifyError::KeysRetired(until));
        }
        for set in &self.sets {
            set.check_threshold(signatures)?;
        }
        for signature in signatures {
            let verifies = self
                .key(signature.key)
                .is_some_and(|key| key.verifies(message, &signature.bytes));
            if !verifies {
                return Err(VerifyError::BadSignature(signature.key));
            }
        }
        Ok(())
    }
}

/// The keys that may sign documents of `S`, per genesis revision, newest first; and what those documents are
/// held against.
pub struct Keyring<S: Signer> {
    network: NetworkId,
    quorums: Vec<Quorum>,
    genesis: Option<Arc<Genesis>>,
    author: Option<Author>,
    role: Option<OperatorRole>,
    signer: PhantomData<S>,
}

impl<S: Signer> Keyring<S> {
    fn new(network: NetworkId, revisions: (Revision, Revision), set: KeySet) -> Self {
        let quorums = vec![Quorum {
            revisions,
            sets: vec![set],
            until: None,
        }];
        Self {
            network,
            quorums,
            genesis: None,
            author: None,
            role: None,
            signer: PhantomData,
        }
    }

    /// The network whose documents these keys sign.
    pub fn network(&self) -> NetworkId {
        self.network
    }

    /// Checks that every signature is good, that they are of distinct keys of one revision, and that they are
    /// enough. Gives the revisions under which these signatures count.
    pub(crate) fn check(
        &self,
        message: &[u8],
        signatures: &[Signature],
        now: UnixTime,
    ) -> Result<Vec<&Quorum>, VerifyError> {
        refuse_repeated_keys(signatures)?;
        let (mut satisfied, mut refusal) = (Vec::new(), None);
        for quorum in self
            .quorums
            .iter()
            .filter(|quorum| quorum.knows_all(signatures))
        {
            match quorum.check(message, signatures, now) {
                Ok(()) => satisfied.push(quorum),
                Err(error) => refusal = refusal.or(Some(error)),
            }
        }
        if satisfied.is_empty() {
            return Err(refusal.unwrap_or_else(|| self.stranger_among(signatures)));
        }
        Ok(satisfied)
    }

    /// Checks that a document belongs here: revision, network, author, the author's role, and the genesis.
    pub(crate) fn check_document<T: Document<Signer = S>>(
        &self,
        document: &T,
        satisfied: &[&Quorum],
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        if document.network() != self.network {
            return Err(VerifyError::ForeignNetwork {
                want: self.network,
                got: document.network(),
            });
        }
        if document.author() != self.author {
            return Err(VerifyError::ForeignAuthor);
        }
        let counts = |revision| satisfied.iter().any(|quorum| quorum.signs_under(revision));
        if let Some(revision) = document.revision().filter(|revision| !counts(*revision)) {
            return Err(VerifyError::OtherRevision(revision));
        }
        let forbidden = |action: &Action| !self.role.is_some_and(|role| role.may(*action));
        if let Some(action) = document.action().filter(forbidden) {
            return Err(VerifyError::Role(action));
        }
        let genesis = self.genesis.as_deref();
        genesis
            .map_or(Ok(()), |genesis| document.check_within(genesis, now))
            .map_err(VerifyError::Rule)
    }

    /// Why no revision knows all the signers.
    fn stranger_among(&self, signatures: &[Signature]) -> VerifyError {
        let known = |id: KeyId| self.quorums.iter().any(|quorum| quorum.key(id).is_some());
        match signatures.iter().find(|signature| !known(signature.key)) {
            Some(signature) => VerifyError::UnknownSigner(signature.key),
            None => VerifyError::MixedRevisions,
        }
    }
}

impl Keyring<Root> {
    /// The keyring of the root that `genesis` names. Whether that is the right one is for [`crate::TrustChain`].
    pub(crate) fn of_root(genesis: &Genesis) -> Self {
        let any = (Revision::default(), Revision::MAX);
        Self::new(genesis.network, any, KeySet::single(genesis.root))
    }
}

impl Keyring<Authority> {
    /// The keyring of the authority that `genesis` names.
    pub(crate) fn of_authority(genesis: Arc<Genesis>, keys: KeySet) -> Self {
        let revisions = (genesis.authority.since, genesis.revision);
        let keyring = Self::new(genesis.network, revisions, keys);
        Self {
            genesis: Some(genesis),
            ..keyring
        }
    }

    /// Adds the keys of the revisions before, which count until `until`.
    pub(crate) fn with_previous(
        mut self,
        revisions: (Revision, Revision),
        keys: KeySet,
        until: UnixTime,
    ) -> Self {
        self.quorums.push(Quorum {
            revisions,
            sets: vec![keys],
            until: Some(until),
        });
        self
    }

    /// The keyring under which a command of this operator counts: the operator's key, as the policy has it, and these
    /// authority keys. `None` if the policy knows no such operator.
    pub fn with_operator(
        &self,
        policy: &Verified<Policy>,
        operator: OperatorId,
    ) -> Option<Keyring<OperatorAndAuthority>> {
        let named = policy.operator(operator)?;
        let quorums = self.quorums.iter().cloned().map(|mut quorum| {
            quorum.sets.push(KeySet::single(named.key));
            quorum
        });
        Some(Keyring {
            network: self.network,
            quorums: quorums.collect(),
            genesis: self.genesis.clone(),
            author: Some(Author::Operator(operator)),
            role: Some(named.role),
            signer: PhantomData,
        })
    }
}

impl Keyring<Node> {
    /// The keyring of a node's own documents, out of its verified certificate.
    pub fn of_node(certificate: &Verified<Certificate>) -> Self {
        let any = (Revision::default(), Revision::MAX);
        let keyring = Self::new(
            certificate.network,
            any,
            KeySet::single(certificate.identity),
        );
        Self {
            author: Some(Author::Node(certificate.node)),
            ..keyring
        }
    }

    /// The keyring of a node that the authority itself has on its books. Everybody else has only the certificate.
    pub fn of_registered(network: NetworkId, identity: PublicKey) -> Self {
        let any = (Revision::default(), Revision::MAX);
        let keyring = Self::new(network, any, KeySet::single(identity));
        Self {
            author: Some(Author::Node(NodeId::of(&identity))),
            ..keyring
        }
    }
}

impl<S: Signer> Clone for Keyring<S> {
    fn clone(&self) -> Self {
        Self {
            network: self.network,
            quorums: self.quorums.clone(),
            genesis: self.genesis.clone(),
            author: self.author,
            role: self.role,
            signer: PhantomData,
        }
    }
}

impl<S: Signer> fmt::Debug for Keyring<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("network", &self.network)
            .field("quorums", &self.quorums)
            .finish()
    }
}

/// The same key twice must never count as two.
fn refuse_repeated_keys(signatures: &[Signature]) -> Result<(), VerifyError> {
    for (index, signature) in signatures.iter().enumerate() {
        if signatures[..index]
            .iter()
            .any(|earlier| earlier.key == signature.key)
        {
            return Err(VerifyError::RepeatedSigner(signature.key));
        }
    }
    Ok(())
}
