//! Writes the sound inputs of the corpus, from the test fixtures: `cargo run --example seeds`.

use std::num::NonZeroU32;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;
use tidegate_fuzz::proto::fixtures::log::Log;
use tidegate_fuzz::proto::fixtures::{NOW, Network, nonce, place, seq, set};
use tidegate_proto::api::{
    Enroll, Enrolled, GrantWithList, Heartbeat, HeartbeatReply, Outstanding, Problem, Renew,
    RevocationStatus, Revoke,
};
use tidegate_proto::policy::PolicyFile;
use tidegate_proto::{
    BoundedList, Digest, Document, Invite, InviteToken, NodeKeys, Place, RequestParts,
    RevocationKind, Signed, SigningKey, TlsPin, TlsTrust, pem,
};

fn main() -> io::Result<()> {
    let network = Network::new();
    documents(&network)?;
    logs(&network)?;
    bodies(&network)?;
    texts(&network)?;
    key_files(&network)
}

fn write(target: &str, name: &str, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

fn documents(network: &Network) -> io::Result<()> {
    let (authority, node) = ([&network.authority], [&network.identity]);
    envelope(&network.genesis, &[&network.root])?;
    envelope(&network.certificate(), &authority)?;
    envelope(&network.revocation_list(), &authority)?;
    envelope(&network.policy(), &authority)?;
    envelope(&network.roster(), &authority)?;
    envelope(&network.grant(), &authority)?;
    envelope(&network.time_statement(), &authority)?;
    envelope(&network.command(), &[&network.operator, &network.authority])?;
    envelope(&network.peer_record(), &node)?;
    envelope(&network.receipt(), &node)?;
    envelope(&network.checkpoint(), &authority)
}

fn logs(network: &Network) -> io::Result<()> {
    let mut log = Log::of(network, 5);
    write("proto_audit", "export", log.export(&[2, 4]))?;
    write("proto_audit", "record", &log.records[0].0)?;
    log.append_at(NOW, tidegate_proto::audit::Record::RESTORED);
    write("proto_audit", "restored", log.export(&[]))?;
    write(
        "proto_audit",
        "uncovered",
        log.upto(3).export(&[1, 2]).split_off(40),
    )
}

fn envelope<T: Document>(document: &T, signers: &[&SigningKey]) -> io::Result<()> {
    let signed = Signed::sign(document, signers).map_err(io::Error::other)?;
    let name = T::KIND.name();
    write("proto_document", name, serde_json::to_vec(document)?)?;
    write("proto_envelope_json", name, signed.to_json())?;
    write("proto_envelope_compact", name, signed.to_compact())
}

fn body(name: &str, body: &impl Serialize) -> io::Result<()> {
    write("proto_api", name, serde_json::to_vec(body)?)
}

fn bodies(network: &Network) -> io::Result<()> {
    let other = io::Error::other::<tidegate_proto::SignError>;
    let time = Signed::sign(&network.time_statement(), &[&network.authority]).map_err(other)?;
    let certificate = Signed::sign(&network.certificate(), &[&network.authority]).map_err(other)?;
    let record = Signed::sign(&network.peer_record(), &[&network.identity]).map_err(other)?;
    let grant = Signed::sign(&network.grant(), &[&network.authority]).map_err(other)?;
    let list = Signed::sign(&network.revocation_list(), &[&network.authority]).map_err(other)?;
    let (keys, challenge, answer) = possession(network);
    body("node-keys", &keys)?;
    body("challenge", &challenge)?;
    body(
        "enroll",
        &Enroll {
            keys: keys.clone(),
            challenge: challenge.nonce,
            answer: answer.clone(),
            name: parsed("web-1"),
            routes: set([parsed("192.168.7.0/24")]),
            token: Some(InviteToken::from_bytes([7; 16])),
        },
    )?;
    body("enrolled-admitted", &Enrolled::Admitted(certificate))?;
    body("enrolled-pending", &Enrolled::Pending)?;
    body(
        "renew",
        &Renew {
            keys,
            challenge: challenge.nonce,
            answer,
        },
    )?;
    body("problem", &problem(time.clone()))?;
    body("heartbeat-reply", &HeartbeatReply { time })?;
    body("heartbeat", &heartbeat(network, record))?;
    body("grant-with-list", &GrantWithList { grant, list })?;
    body(
        "revoke",
        &Revoke {
            kind: RevocationKind::Revoked,
            reason: parsed("laptop \"lost\" – Zoë"),
        },
    )?;
    body("revocation-status", &status(network))
}

fn possession(network: &Network) -> (NodeKeys, tidegate_proto::Challenge, tidegate_proto::Answer) {
    use rand_core::SeedableRng;
    let keys = NodeKeys {
        identity: network.identity.public_key(),
        wireguard: network.wireguard.public_key(),
        sealing: network.sealing.public_key().expect("a sound key"),
    };
    let mut rng = rand_chacha::ChaCha20Rng::seed_from_u64(11);
    let origin = parsed("https://authority.example.org:7443");
    let place = Place {
        network: network.genesis.network,
        origin: &origin,
    };
    let (challenge, answer) = keys.challenge(place, &mut rng).expect("sound keys");
    (keys, challenge, answer)
}

fn problem(time: Signed<tidegate_proto::TimeStatement>) -> Problem {
    Problem {
        code: parsed("clock-skew"),
        status: 401,
        detail: parsed("signed too early; correct the clock"),
        request: None,
        time: Some(time),
    }
}

fn heartbeat(network: &Network, record: Signed<tidegate_proto::PeerRecord>) -> Heartbeat {
    Heartbeat {
        program: parsed("0.1.0"),
        nonce: nonce(3),
        list: place(7),
        policy: seq(3),
        roster: seq(12),
        record: Some(record),
        peers_seen: set([network.node()]),
    }
}

fn status(network: &Network) -> RevocationStatus {
    let outstanding = Outstanding {
        node: network.node(),
        stopped_at: NOW,
    };
    RevocationStatus {
        list: place(7),
        confirmed: set([network.node()]),
        confirmed_unnamed: None,
        outstanding_unnamed: NonZeroU32::new(7),
        outstanding: BoundedList::new(vec![outstanding]).expect("one is not too many"),
        bound: Some(NOW),
        trusts_rtc: true,
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a sound text")
}

fn texts(network: &Network) -> io::Result<()> {
    let url = || parsed("https://authority.example.org:7443");
    for (name, tls) in [
        ("system-roots", TlsTrust::SystemRoots),
        ("one-pin", TlsTrust::Pins(set([TlsPin::of(b"key")]))),
        (
            "two-pins",
            TlsTrust::Pins(set([TlsPin::of(b"key"), TlsPin::of(b"spare")])),
        ),
    ] {
        let token = InviteToken::from_bytes([7; 16]);
        let invite = Invite {
            url: url(),
            tls,
            genesis: Digest::of(b"genesis"),
            token,
        };
        write("proto_invite", name, invite.expose().as_bytes())?;
    }
    let body = [&[1][..], &[2; 32], &[3; 32], &[4; 16], b"https://a.example"].concat();
    write("proto_invite", "body", body)?;
    let origin = url();
    let parts = RequestParts {
        network: network.genesis.network,
        origin: &origin,
        method: "POST",
        target: "/v1/nodes?x=1",
        body: b"{}",
    };
    write(
        "proto_request_header",
        "signed",
        parts.sign(&network.operator, NOW, nonce(4)).to_string(),
    )?;
    write(
        "proto_policy_file",
        "fixture",
        PolicyFile::render(&network.policy()),
    )?;
    write("proto_policy_file", "conditions", CONDITIONS)?;
    words(network)
}

/// Every condition and the short forms.
const CONDITIONS: &str = r#"
[epochs]
epoch = "10m"
[groups]
ops = ["tag:ops", "role:admin", "cidr:10.211.0.0/24"]
[[rules]]
from = ["group:ops"]
to = ["all"]
protocol = "udp"
ports = ["53", "8000-8010"]
[[membership]]
name = "silent"
nodes = ["all"]
silent_for = "10m"
then = "offline"
[[membership]]
name = "slow"
nodes = ["tag:db"]
score = "disk"
below = 50
then = "quarantine"
[[membership]]
name = "alarm"
nodes = ["node:a"]
alert = "smoke"
then = "quarantine"
"#;

fn words(network: &Network) -> io::Result<()> {
    let id = network.node();
    for (name, text) in [
        ("network-id", network.genesis.network.to_string()),
        ("node-id", id.to_string()),
        ("key", network.identity.public_key().to_string()),
        ("selector", "group:developers".into()),
        ("selector-cidr", "cidr:2001:db8:7::/48".into()),
        ("prefix", "10.211.0.0/16".into()),
        ("prefix-v6", "fd01:203:405::/48".into()),
        ("endpoint", "192.0.2.7:51820".into()),
        ("endpoint-v6", "[2001:db8::7]:51820".into()),
        ("origin", "https://authority-1.example.org:7443".into()),
        ("origin-v6", "https://[2001:db8::7]:7443".into()),
        ("operator", "jane.doe@example.org".into()),
        ("reason", "laptop stolen – ask Zoë".into()),
        ("ports", "8000-8010".into()),
        ("span", "1500ms".into()),
        ("nonce", nonce(1).to_string()),
    ] {
        write("proto_text", name, text)?;
    }
    Ok(())
}

/// The encrypted ones beside these come from `openssl pkcs8`, with few rounds: the passphrase is `correct horse`.
fn key_files(network: &Network) -> io::Result<()> {
    write(
        "proto_pem",
        "signing",
        pem::signing_key_to_pem(&network.identity).as_bytes(),
    )?;
    write(
        "proto_pem",
        "wireguard",
        pem::wg_key_to_pem(&network.wireguard).as_bytes(),
    )?;
    write(
        "proto_pem",
        "public",
        pem::public_key_to_pem(&network.identity.public_key()),
    )
}
