//! One authority over a real, migrated database, under a clock that the test moves.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses some of it"
)]

pub mod log;
pub mod operators;
pub mod server;
pub mod web;

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tempfile::TempDir;
use tidegate_authority::service::{
    Actor, Caller, EnrollError, Limits, NewInvite, NodeError, Options, ReadError,
};
use tidegate_authority::signer::AtRestKey;
use tidegate_authority::store::Location;
use tidegate_authority::{Authority, Clock, Hand};
use tidegate_proto::api::{Enroll, Enrolled, Renew, RosterUpdate};
use tidegate_proto::*;

pub const START: UnixTime = UnixTime::from_millis(1_790_000_000_000);

pub const MEMBERS: &str = r#"
[[rules]]
from = ["all"]
to = ["all"]
protocol = "any"
"#;

pub struct World {
    pub dir: TempDir,
    pub authority: Authority,
    pub clock: Clock,
    pub hand: Hand,
    pub root: SigningKey,
    pub keys: Vec<Arc<SigningKey>>,
    pub genesis: Genesis,
    pub seed: u64,
}

/// Whoever runs the authority's own program on its machine; who may do what over the network is tested in `access.rs`.
pub fn operator() -> Caller {
    Caller::system()
}

pub fn set<T: Ord, const MAX: usize>(entries: impl IntoIterator<Item = T>) -> BoundedSet<T, MAX> {
    BoundedSet::new(entries.into_iter().collect()).unwrap()
}

pub fn genesis(range: &str) -> (SigningKey, Vec<Arc<SigningKey>>, Genesis) {
    let root = SigningKey::from_seed(&[1; 32]);
    let keys = vec![Arc::new(SigningKey::from_seed(&[2; 32]))];
    let genesis = Genesis {
        network: NetworkId::from_bytes([9; 16]),
        name: "demo".parse().unwrap(),
        revision: Revision::new(1).unwrap(),
        previous: None,
        issued_at: START - Span::from_hours(24),
        root: root.public_key(),
        authority: AuthoritySet {
            keys: set(keys.iter().map(|key| key.public_key())),
            threshold: 1,
            since: Revision::new(1).unwrap(),
            previous_until: None,
        },
        ipv4: BoundedList::new(vec![range.parse().unwrap()]).unwrap(),
        ipv6: "fd01:203:405::/48".parse().unwrap(),
        suites: set([Suite::V1]),
        ceilings: EpochCeilings::default(),
        epochs: EpochSettings::default(),
        anchors: BoundedList::default(),
        policy: None,
        urls: BoundedList::new(vec!["https://127.0.0.1:7443".parse().unwrap()]).unwrap(),
        tls: TlsTrust::Pins(set([TlsPin::of(b"key")])),
    };
    (root, keys, genesis)
}

/// The token of a new invite.
pub async fn invite_of(authority: &Authority, uses: u32) -> InviteToken {
    let new = NewInvite {
        roles: set(["member".parse().unwrap()]),
        tags: set(["eu".parse().unwrap()]),
        uses,
        valid_for: Span::from_hours(24),
    };
    let made = authority.new_invite(new, operator()).await.unwrap();
    made.invite.token
}

impl World {
    pub async fn new() -> Self {
        Self::with(Limits::default(), "10.211.0.0/16").await
    }

    pub async fn with(limits: Limits, range: &str) -> Self {
        let (root, keys, genesis) = genesis(range);
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual(START);
        let signed = Signed::sign(&genesis, &[&root]).unwrap();
        let options = options(&dir, &keys, vec![signed], &clock, limits);
        let authority = Authority::open(options).await.unwrap();
        Self {
            dir,
            authority,
            clock,
            hand,
            root,
            keys,
            genesis,
            seed: 100,
        }
    }

    /// Another authority on the same database, as a second server or after a restart.
    pub async fn another(&self) -> Authority {
        let options = options(
            &self.dir,
            &self.keys,
            Vec::new(),
            &self.clock,
            Limits::default(),
        );
        Authority::open(options).await.unwrap()
    }

    /// The same authority on another database.
    pub async fn on(&self, location: Location) -> Authority {
        let mut options = options(
            &self.dir,
            &self.keys,
            Vec::new(),
            &self.clock,
            Limits::default(),
        );
        options.location = location;
        Authority::open(options).await.unwrap()
    }

    /// Another authority on the same database, with these keys and limits.
    pub async fn beside(&self, keys: &[Arc<SigningKey>], limits: Limits) -> Authority {
        let options = options(&self.dir, keys, Vec::new(), &self.clock, limits);
        Authority::open(options).await.unwrap()
    }

    /// An authority on the same database under another clock.
    pub async fn under(&self, clock: &Clock) -> Authority {
        let options = options(&self.dir, &self.keys, Vec::new(), clock, Limits::default());
        Authority::open(options).await.unwrap()
    }

    /// The database itself, as somebody with the file has it.
    pub async fn database(&self) -> sqlx::SqliteConnection {
        let file = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(self.dir.path().join("authority.db"));
        sqlx::ConnectOptions::connect(&file).await.unwrap()
    }

    /// What a query over the database counts.
    pub async fn count(&self, query: &'static str) -> i64 {
        let mut connection = self.database().await;
        sqlx::query_scalar(query)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    pub fn node(&mut self) -> TestNode {
        self.seed += 1;
        TestNode::new(self.seed)
    }

    pub async fn invite(&self, uses: u32) -> InviteToken {
        invite_of(&self.authority, uses).await
    }

    /// A node that is in.
    pub async fn member(&mut self, name: &str) -> TestNode {
        let node = self.node();
        let token = self.invite(1).await;
        node.join(&self.authority, name, Some(token)).await.unwrap();
        node
    }
}

fn options(
    dir: &TempDir,
    keys: &[Arc<SigningKey>],
    genesis: Vec<Signed<Genesis>>,
    clock: &Clock,
    limits: Limits,
) -> Options {
    Options {
        location: Location::File(dir.path().join("authority.db")),
        keys: keys.to_vec(),
        at_rest: AtRestKey::from_bytes([7; 32]),
        genesis,
        clock: clock.clone(),
        limits,
    }
}

pub struct TestNode {
    pub identity: SigningKey,
    pub wireguard: WgSecretKey,
    pub sealing: SealingSecretKey,
    pub seed: u64,
}

impl TestNode {
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Self {
            identity: SigningKey::generate(&mut rng),
            wireguard: WgSecretKey::generate(&mut rng),
            sealing: SealingSecretKey::generate(&mut rng),
            seed,
        }
    }

    /// The same identity with new WireGuard and sealing keys.
    pub fn with_new_keys(&self) -> Self {
        let fresh = Self::new(self.seed + 1_000_000);
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed % 1_000_000);
        Self {
            identity: SigningKey::generate(&mut rng),
            ..fresh
        }
    }

    pub fn id(&self) -> NodeId {
        NodeId::of(&self.identity.public_key())
    }

    pub fn keys(&self) -> NodeKeys {
        NodeKeys {
            identity: self.identity.public_key(),
            wireguard: self.wireguard.public_key(),
            sealing: self.sealing.public_key().unwrap(),
        }
    }

    pub fn caller(&self) -> Caller {
        Caller {
            actor: Actor::Node(self.id()),
            nonce: None,
            origin: Some(origin()),
        }
    }

    pub async fn request(
        &self,
        authority: &Authority,
        name: &str,
        token: Option<InviteToken>,
    ) -> Enroll {
        let keys = self.keys();
        let challenge = authority.challenge(&keys, &origin()).await.unwrap();
        let answer = keys
            .answer(place(&origin()), &challenge, &self.wireguard, &self.sealing)
            .unwrap();
        Enroll {
            keys,
            challenge: challenge.nonce,
            answer,
            name: name.parse().unwrap(),
            routes: BoundedSet::default(),
            token,
        }
    }

    pub async fn join(
        &self,
        authority: &Authority,
        name: &str,
        token: Option<InviteToken>,
    ) -> Result<Enrolled, EnrollError> {
        let request = self.request(authority, name, token).await;
        authority.enroll(request, self.caller()).await
    }

    pub async fn renew(&self, authority: &Authority) -> Result<Signed<Certificate>, NodeError> {
        let keys = self.keys();
        let challenge = authority.challenge(&keys, &origin()).await.unwrap();
        let answer = keys
            .answer(place(&origin()), &challenge, &self.wireguard, &self.sealing)
            .unwrap();
        let request = Renew {
            keys,
            challenge: challenge.nonce,
            answer,
        };
        authority.renew(self.id(), request, self.caller()).await
    }

    pub fn receipt(
        &self,
        list: &Signed<RevocationList>,
        at: ListPlace,
        sequence: u64,
        now: UnixTime,
    ) -> Signed<Receipt> {
        let receipt = Receipt {
            network: NetworkId::from_bytes([9; 16]),
            node: self.id(),
            sequence: Sequence::new(sequence).unwrap(),
            list: at,
            list_digest: list.digest(),
            applied_at: now,
        };
        Signed::sign(&receipt, &[&self.identity]).unwrap()
    }

    pub fn record(&self, sequence: u64, endpoint: &str, now: UnixTime) -> Signed<PeerRecord> {
        let record = PeerRecord {
            network: NetworkId::from_bytes([9; 16]),
            node: self.id(),
            sequence: Sequence::new(sequence).unwrap(),
            issued_at: now,
            endpoints: BoundedList::new(vec![endpoint.parse().unwrap()]).unwrap(),
            services: BoundedSet::default(),
            capabilities: BoundedSet::default(),
            reads: BoundedSet::default(),
        };
        Signed::sign(&record, &[&self.identity]).unwrap()
    }
}

/// Where the authority is reached in these tests.
pub fn origin() -> Origin {
    "https://authority.example".parse().unwrap()
}

/// Where a challenge for `origin` is asked and answered.
pub fn place(origin: &Origin) -> Place<'_> {
    Place {
        network: NetworkId::from_bytes([9; 16]),
        origin,
    }
}

/// Whom a node may talk to, read as nodes read it.
pub async fn roster(
    authority: &Authority,
    node: NodeId,
    since: Option<Sequence>,
) -> Result<RosterUpdate, ReadError> {
    let json = authority.roster(node, since).await?.to_bytes();
    let update: RosterUpdate = strict::read(&json, 1 << 24).unwrap();
    assert_eq!(serde_json::to_vec(&update).unwrap(), json);
    Ok(update)
}

pub fn revoke(kind: RevocationKind) -> tidegate_proto::api::Revoke {
    tidegate_proto::api::Revoke {
        kind,
        reason: "laptop lost".parse().unwrap(),
    }
}
