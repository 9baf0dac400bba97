//! The application object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tidegate_proto::{
    Authority as AuthorityKeys, Genesis, Keyring, NetworkId, NodeId, Revision, Sequence, SignError,
    Signed, SigningKey, Span, SuccessionError, TokenId, TrustChain, UnixTime,
};
use tokio::sync::{Notify, watch};

use super::alarms::Alarms;
use super::checked::Checked;
use super::feed::{EventId, Feed, Subscription};
use super::heartbeats::Pulse;
use super::pace::Pace;
use super::policies::InForce;
use super::view::View;
use super::whereabouts::Whereabouts;
use crate::clock::Clock;
use crate::signer::{AtRestKey, Signer, SignerError};
use crate::store::{Location, Store, StoreError, Tx};

/// Limits on what strangers and nodes can cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Nodes that wait for a decision.
    pub pending: u32,
    /// How long they may wait.
    pub pending_for: Span,
    /// Invites that stand open.
    pub invites: u32,
    /// A node silent for longer is offline, unless the policy says otherwise.
    pub offline_after: Span,
    /// Commits that a follower may be behind before it has to come back for everything.
    pub changes: u32,
    /// Every so many audit records the authority signs the head of the log.
    pub checkpoint_every: u32,
    /// A node that is there and has not confirmed a revocation after so long is recorded as overdue.
    pub receipt_overdue: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 1000,
            pending_for: Span::from_hours(7 * 24),
            invites: 1000,
            offline_after: Span::from_secs(90),
            changes: 4096,
            checkpoint_every: 1000,
            receipt_overdue: Span::from_secs(60),
        }
    }
}

/// What an authority is opened with.
pub struct Options {
    /// The database.
    pub location: Location,
    /// The authority's signing keys, of this and, if need be, of the next revision.
    pub keys: Vec<Arc<SigningKey>>,
    /// The key under which epoch secrets rest.
    pub at_rest: AtRestKey,
    /// The genesis chain as far as it is known outside the database, the first revision first.
    pub genesis: Vec<Signed<Genesis>>,
    /// The time.
    pub clock: Clock,
    /// The limits.
    pub limits: Limits,
}

/// Why an authority does not start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither the database nor the options hold a genesis.
    #[error("there is no genesis; run 'tidegate-authority init'")]
    NoGenesis,
    /// The chain does not hold together.
    #[error("the genesis chain is refused: {0}")]
    Genesis(#[from] SuccessionError),
    /// The keys do not serve.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The first list could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The database does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A succession was not put in force.
    #[error("the genesis was not put in force: {0}")]
    Refused(String),
    /// The operating system gave no random numbers.
    #[error("the system's random number generator failed: {0}")]
    Random(String),
}

/// What is trusted and who signs, for one genesis revision.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) chain: TrustChain,
    pub(crate) keyring: Keyring<AuthorityKeys>,
    pub(crate) signer: Signer,
}

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) trust: RwLock<Arc<Trust>>,
    pub(crate) keys: RwLock<Vec<Arc<SigningKey>>>,
    pub(crate) at_rest: AtRestKey,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) feed: Arc<Feed>,
    /// Wakes what runs by itself.
    pub(crate) work: Notify,
    /// Certificates whose signatures were found good.
    pub(crate) checked: Arc<Checked>,
    /// Members who wait for grants since they came in or back, or got other keys.
    pub(crate) wanting: Mutex<BTreeSet<NodeId>>,
    /// Rings when one was added.
    pub(crate) wanted: Notify,
    pub(crate) policy: Mutex<Option<Arc<InForce>>>,
    pub(crate) view: RwLock<Option<Arc<View>>>,
    /// Held by whoever brings the view up to date, so that many who ask at once do it once.
    pub(crate) looking: tokio::sync::Mutex<()>,
    pub(crate) whereabouts: Whereabouts,
    pub(crate) pulse: Mutex<Pulse>,
    pub(crate) pace: Mutex<Pace>,
    /// Held by whoever looks whether the time was set ahead, so that the ledger is moved along once.
    pub(crate) pacing: tokio::sync::Mutex<()>,
    /// The genesis revision under which every member's certificate counts.
    pub(crate) reissued: AtomicU64,
    /// When what has passed was last forgotten, in milliseconds.
    pub(crate) forgotten_at: AtomicU64,
    pub(crate) alarms: Mutex<Alarms>,
    /// Tokens used since that was last written.
    pub(crate) used: Mutex<BTreeMap<TokenId, UnixTime>>,
    /// The sequence of the last audit record.
    pub(crate) audit_head: watch::Sender<Sequence>,
}

/// The authority of one network. Clones are handles to the same one.
#[derive(Clone)]
pub struct Authority(pub(crate) Arc<Inner>);

impl Trust {
    /// The revision under which documents are signed now.
    pub(crate) fn revision(&self) -> Revision {
        self.chain.genesis().revision
    }

    pub(crate) fn of(chain: TrustChain, keys: &[Arc<SigningKey>]) -> Result<Self, OpenError> {
        let keyring = chain.keyring()?;
        let signer = Signer::new(keys, chain.genesis())?;
        Ok(Self {
            chain,
            keyring,
            signer,
        })
    }
}

impl Authority {
    /// Opens the database, follows the genesis chain, and checks that the keys can sign.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let store = Store::open(&options.location, options.clock.clone()).await?;
        let (chain, fresh) = super::genesis::follow(&store, options.genesis).await?;
        let trust = Trust::of(chain, &options.keys)?;
        let feed = super::telling::feed(&store, &options.limits).await?;
        let authority = Self(Arc::new(Inner {
            store,
            trust: RwLock::new(Arc::new(trust)),
            keys: RwLock::new(options.keys),
            at_rest: options.at_rest,
            pace: Mutex::new(Pace::new(options.clock.sample())),
            pacing: tokio::sync::Mutex::default(),
            clock: options.clock,
            limits: options.limits,
            feed,
            work: Notify::new(),
            checked: Arc::default(),
            wanting: Mutex::default(),
            wanted: Notify::new(),
            policy: Mutex::default(),
            view: RwLock::default(),
            looking: tokio::sync::Mutex::default(),
            whereabouts: Whereabouts::default(),
            pulse: Mutex::default(),
            reissued: AtomicU64::new(0),
            forgotten_at: AtomicU64::new(0),
            alarms: Mutex::default(),
            used: Mutex::default(),
            audit_head: watch::Sender::new(Sequence::default()),
        }));
        authority.keep_fresh(fresh).await?;
        // From the first moment on there is a list, if an empty one.
        authority
            .effect(async move |this, tx| {
                this.note_time_ahead(tx).await?;
                this.keep_up::<OpenError>(tx).await
            })
            .await?;
        authority.tell_changes().await?;
        authority.start_telling();
        Ok(authority)
    }

    /// The network.
    pub fn network(&self) -> NetworkId {
        self.trust().chain.network()
    }

    /// The genesis in force.
    pub fn genesis(&self) -> Signed<Genesis> {
        self.trust().chain.genesis().signed().clone()
    }

    /// The genesis revision in force.
    pub fn revision(&self) -> Revision {
        self.trust().chain.genesis().revision
    }

    /// The place of the revocation list in force.
    pub async fn list_sequence(&self) -> Result<Option<Sequence>, StoreError> {
        let mut connection = self.0.store.read().await?;
        Ok(crate::store::list::place(&mut connection)
            .await?
            .map(|place| place.sequence))
    }

    /// The origins that the genesis names.
    pub fn urls(&self) -> tidegate_proto::BoundedList<tidegate_proto::Origin, 8> {
        self.trust().chain.genesis().urls.clone()
    }

    /// The keys whose signatures count.
    pub fn keyring(&self) -> Keyring<AuthorityKeys> {
        self.trust().keyring.clone()
    }

    /// The time as the authority tells it.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The database, for what runs beside the service: backups and health.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Everything that changes from now on, for operators and measurements.
    pub fn follow(&self) -> Subscription {
        self.0.feed.follow()
    }

    /// Everything that changed behind `id`; none if that is not known any more.
    pub fn resume(&self, id: EventId) -> Option<Subscription> {
        self.0.feed.resume(id)
    }

    /// Waits until what was accepted is on disk, and takes on nothing more.
    pub async fn close(&self) {
        let written = self.effect(async move |this, tx| this.write_pulse(tx).await);
        if let Err(error) = written.await {
            tracing::warn!(%error, "the last heartbeats were not kept");
        }
        self.finish_audit().await;
        self.0.store.close().await;
    }

    /// The signing keys that are at hand.
    pub(super) fn keys(&self) -> Vec<Arc<SigningKey>> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.0.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Carries out `effect` as one serialised transaction, and returns when it is on disk. If it fails, or the commit
    /// does, nothing of it remains and nobody hears of it.
    pub(crate) async fn effect<T, E, F>(&self, effect: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Self, &mut Tx) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let this = self.clone();
        self.0
            .store
            .write(move |tx| {
                Box::pin(async move {
                    this.follow_trust(tx).await?;
                    effect(&this, tx).await
                })
            })
            .await
    }
}

/// A generator of its own for whoever asks, seeded by the operating system.
pub(crate) fn rng() -> Result<ChaCha20Rng, OpenError> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| OpenError::Random(error.to_string()))?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
