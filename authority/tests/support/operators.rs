//! Operators who sign their requests, and the policy that names them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tidegate_authority::Authority;
use tidegate_authority::service::{AuthenticationError, Caller};
use tidegate_proto::policy::{Operator, OperatorRole};
use tidegate_proto::*;

use super::{MEMBERS, World, operator};

static NONCES: AtomicU64 = AtomicU64::new(0);

/// A nonce that no other request has.
pub fn nonce() -> Nonce {
    let seed = NONCES.fetch_add(1, Ordering::Relaxed);
    Nonce::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

/// Where the test network's authority is.
pub fn origin() -> Origin {
    "https://127.0.0.1:7443".parse().unwrap()
}

#[derive(Clone)]
pub struct Person {
    pub key: Arc<SigningKey>,
    pub operator: Operator,
}

impl Person {
    pub fn new(name: &str, role: OperatorRole, seed: u8) -> Self {
        let key = Arc::new(SigningKey::from_seed(&[seed; 32]));
        let operator = Operator {
            name: name.parse().unwrap(),
            key: key.public_key(),
            role,
        };
        Self { key, operator }
    }

    pub fn id(&self) -> OperatorId {
        OperatorId::of(&self.operator.key)
    }

    /// As whom the authority takes a request that this person signs now.
    pub async fn authenticate(&self, authority: &Authority) -> Result<Caller, AuthenticationError> {
        let origin = origin();
        let parts = RequestParts {
            network: authority.network(),
            origin: &origin,
            method: "POST",
            target: "/v1/anything",
            body: b"{}",
        };
        let signature = parts.sign(&self.key, authority.clock().now(), nonce());
        authenticate_operator(authority, &signature, &parts, None).await
    }

    pub async fn caller(&self, authority: &Authority) -> Caller {
        self.authenticate(authority).await.unwrap()
    }
}

/// Whoever signed a request at the door for operators.
pub async fn authenticate_operator(
    authority: &Authority,
    signature: &RequestSignature,
    parts: &RequestParts<'_>,
    from: Option<IpAddr>,
) -> Result<Caller, AuthenticationError> {
    match authority.claimed_operator(signature.key).await? {
        Some(claim) => authority.authenticate(&claim, signature, parts, from),
        None => Err(authority.unknown(signature.key, from)),
    }
}

/// A policy file under which everybody reaches everybody, with these operators.
pub fn policy(people: &[&Person]) -> String {
    let one = |person: &&Person| {
        let Operator { name, key, role } = &person.operator;
        format!("\n[[operators]]\nname = \"{name}\"\nkey = \"{key}\"\nrole = \"{role}\"\n")
    };
    people
        .iter()
        .fold(MEMBERS.to_owned(), |text, person| text + &one(person))
}

/// One operator of each role, in the order of the roles.
pub fn one_of_each() -> [Person; 4] {
    let [viewer, operator, admin, sovereign] = OperatorRole::ALL;
    [
        Person::new("vera@example.org", viewer, 61),
        Person::new("otto@example.org", operator, 62),
        Person::new("ada@example.org", admin, 63),
        Person::new("sam@example.org", sovereign, 64),
    ]
}

impl World {
    /// Puts a policy with these operators in force, as whoever set the authority up.
    pub async fn govern(&self, people: &[&Person]) {
        self.authority
            .put_policy(policy(people), None, operator())
            .await
            .unwrap();
    }
}
