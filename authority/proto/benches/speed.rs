//! What one core does per second, as a table beside what is promised.
//!
//! Every figure is the median of several rounds; the spread between the fastest and the slowest round tells
//! whether something else was running. Nothing is asserted: a busy machine is no broken program.

#![allow(
    clippy::unwrap_used,
    reason = "there is nobody to tell but who runs it"
)]

#[allow(
    clippy::wildcard_imports,
    reason = "it is a module of the crate's own tests"
)]
#[path = "../tests/fixtures/mod.rs"]
mod fixtures;

use std::hint::black_box;
use std::process::{self, Command};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use fixtures::{NOW, Network, list, set};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tidegate_proto::policy::{Policy, Protocol, Rule, Subject};
use tidegate_proto::{
    Certificate, Document, Envelope, EpochNumber, Signed, SigningKey, WgSecretKey, strict,
};

const ROUNDS: usize = 11;
const ROUND: Duration = Duration::from_millis(60);

/// What is promised of an operation.
enum Target {
    None,
    PerSecond(f64),
    Micros(f64),
}

impl Target {
    fn is_met(&self, seconds: f64) -> bool {
        match *self {
            Self::None => true,
            Self::PerSecond(least) => 1.0 / seconds >= least,
            Self::Micros(most) => seconds * 1e6 < most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::PerSecond(least) => write!(f, ">= {least:.0}/s"),
            Self::Micros(most) => write!(f, "< {most:.0} us"),
        }
    }
}

fn main() {
    println!("{}\n", pinned());
    println!(
        "{:<44} {:>12} {:>10} {:>8}  target",
        "operation", "per second", "us each", "spread"
    );
    let network = Network::new();
    certificates(&network);
    keys(&network);
    envelopes(&network);
    policies(&network);
}

/// Measures `operation` and prints its line.
fn row<T>(name: &str, target: Target, mut operation: impl FnMut() -> T) {
    let times = rounds(&mut operation);
    let median = times[times.len() / 2];
    let spread = (times[times.len() - 1] - times[0]) / median * 100.0;
    let verdict = match (&target, target.is_met(median)) {
        (Target::None, _) => "",
        (_, true) => "  met",
        (_, false) => "  MISSED",
    };
    println!(
        "{name:<44} {:>12.0} {:>10.2} {spread:>7.0}%  {target}{verdict}",
        1.0 / median,
        median * 1e6
    );
}

/// Seconds per call in each round, the fastest first.
fn rounds<T>(operation: &mut impl FnMut() -> T) -> Vec<f64> {
    let mut calls = 1_u32;
    while time(calls, operation) < ROUND {
        calls *= 2;
    }
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| time(calls, operation).as_secs_f64() / f64::from(calls))
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

fn time<T>(calls: u32, operation: &mut impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(operation());
    }
    start.elapsed()
}

/// Keeps this program on the last core that it may use, and says how that went.
fn pinned() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map(str::trim)
        .unwrap_or_default();
    let core = allowed.rsplit([',', '-']).next().unwrap_or_default();
    let pinning = Command::new("taskset")
        .args(["--cpu-list", "--pid", core, &process::id().to_string()])
        .output();
    match pinning {
        Ok(output) if output.status.success() => format!("pinned to core {core}"),
        _ => "not pinned to a core: taskset is missing or refused".into(),
    }
}

fn certificates(network: &Network) {
    let certificate = network.certificate();
    let payload = serde_json::to_vec(&certificate).unwrap();
    let limit = Certificate::KIND.largest_payload();
    let signed = Signed::sign(&certificate, &[&network.authority]).unwrap();
    let (compact, json, keyring) = (signed.to_compact(), signed.to_json(), network.keyring());
    row("certificate: decode the payload", Target::None, || {
        strict::read::<Certificate>(black_box(&payload), limit).unwrap()
    });
    row(
        "certificate: decode and verify, compact",
        Target::PerSecond(10_000.0),
        || {
            let signed = Signed::<Certificate>::from_compact(black_box(&compact)).unwrap();
            signed.verify(&keyring, NOW).unwrap()
        },
    );
    row(
        "certificate: decode and verify, JSON",
        Target::PerSecond(10_000.0),
        || {
            let signed = Signed::<Certificate>::from_json(black_box(&json)).unwrap();
            signed.verify(&keyring, NOW).unwrap()
        },
    );
    row("certificate: sign", Target::None, || {
        Signed::sign(black_box(&certificate), &[&network.authority]).unwrap()
    });
}

fn keys(network: &Network) {
    let (grant_key, id) = (network.grant_key(), network.genesis.network);
    let epoch = EpochNumber::new(9001).unwrap();
    let peer = WgSecretKey::from_bytes([6; 32]).public_key();
    row(
        "pre-shared key: derive",
        Target::PerSecond(10_000.0),
        || {
            let own = black_box(&network.wireguard);
            grant_key.pairwise(id, epoch, own, &peer).unwrap()
        },
    );
    let (context, recipient) = (
        network.seal_context(),
        network.sealing.public_key().unwrap(),
    );
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let sealed = context.seal(&grant_key, &recipient, &mut rng).unwrap();
    row("grant: seal", Target::Micros(150.0), || {
        context
            .seal(black_box(&grant_key), &recipient, &mut rng)
            .unwrap()
    });
    row("grant: open", Target::None, || {
        context.open(black_box(&sealed), &network.sealing).unwrap()
    });
}

fn envelopes(network: &Network) {
    let (authority, node) = ([&network.authority], [&network.identity]);
    envelope(&network.genesis, &[&network.root]);
    envelope(&network.certificate(), &authority);
    envelope(&network.revocation_list(), &authority);
    envelope(&network.policy(), &authority);
    envelope(&network.roster(), &authority);
    envelope(&network.grant(), &authority);
    envelope(&network.time_statement(), &authority);
    envelope(&network.command(), &[&network.operator, &network.authority]);
    envelope(&network.peer_record(), &node);
    envelope(&network.receipt(), &node);
    envelope(&network.checkpoint(), &authority);
}

fn envelope<T: Document>(document: &T, signers: &[&SigningKey]) {
    let signed = Signed::sign(document, signers).unwrap();
    let (json, compact) = (signed.to_json(), signed.to_compact());
    row(
        &format!("envelope: {}, JSON, {} bytes", T::KIND, json.len()),
        Target::None,
        || Envelope::from_json(black_box(&json)).unwrap(),
    );
    row(
        &format!("envelope: {}, compact, {} bytes", T::KIND, compact.len()),
        Target::None,
        || Envelope::from_compact(black_box(&compact)).unwrap(),
    );
}

/// A thousand rules of which only the last can apply.
fn thousand_rules(network: &Network) -> Policy {
    let rule = |from: &str, to: String| Rule {
        from: set([from.parse().unwrap()]),
        to: set([to.parse().unwrap()]),
        protocol: Protocol::Tcp,
        ports: Some(set(["5432".parse().unwrap()])),
    };
    let others = (1..1000).map(|number| rule("group:developers", format!("tag:unused-{number}")));
    let last = rule("tag:eu", "role:member".to_owned());
    Policy {
        rules: list(others.chain([last])),
        ..network.policy()
    }
}

fn policies(network: &Network) {
    let policy = thousand_rules(network);
    let (own, peer) = (
        network.certificate(),
        Certificate {
            name: "alice".parse().unwrap(),
            ipv4: "10.211.3.8".parse().unwrap(),
            ipv6: "fd01:203:405::3:8".parse().unwrap(),
            ..network.certificate()
        },
    );
    let stranger = Certificate {
        roles: set([]),
        tags: set([]),
        ..own.clone()
    };
    let (own, peer, stranger) = (
        Subject::new(&own, &network.genesis),
        Subject::new(&peer, &network.genesis),
        Subject::new(&stranger, &network.genesis),
    );
    assert!(policy.permits(&own, &peer) && !policy.permits(&stranger, &stranger));
    row(
        "policy: 1,000 rules, the last permits",
        Target::None,
        || policy.permits(black_box(&own), black_box(&peer)),
    );
    row("policy: 1,000 rules, none permits", Target::None, || {
        policy.permits(black_box(&stranger), black_box(&stranger))
    });
}
