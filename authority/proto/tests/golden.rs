//! Golden vectors: what the protocol computes, byte for byte, as `golden/README.md` describes it.
//!
//! Each vector is computed by the crate and, wherever there is a formula, again from that formula.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod fixtures;
#[path = "golden/vector.rs"]
mod vector;

use fixtures::{NOW, Network, nonce, set};
use hkdf::Hkdf;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, single_shot_open};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sha2::{Digest as _, Sha256};
use tidegate_proto::*;
use vector::{Json, compare, hex, list, number, object, text};

fn hkdf(salt: &[u8], material: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(Some(salt), material)
        .expand(info, &mut key)
        .unwrap();
    key
}

/// SHA-256 of a domain string, a zero byte and `bytes`, cut to `length`.
fn domain_hash(domain: &str, bytes: &[u8], length: usize) -> Vec<u8> {
    Sha256::digest([domain.as_bytes(), &[0], bytes].concat())[..length].to_vec()
}

fn x25519(secret: &WgSecretKey, public: &WgPublicKey) -> [u8; 32] {
    let secret = x25519_dalek::StaticSecret::from(*secret.expose());
    secret
        .diffie_hellman(&(*public.as_bytes()).into())
        .to_bytes()
}

fn open(seed: &[u8; 32], sealed: &SealedKey, info: &[u8]) -> Vec<u8> {
    let private = <XWing as Kem>::PrivateKey::from_bytes(seed).unwrap();
    let (encapsulated, ciphertext) = sealed.as_bytes().split_at(1120);
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).unwrap();
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        info,
        ciphertext,
        &[],
    )
    .unwrap()
}

#[test]
fn every_domain_string_is_what_it_was() {
    compare("domains", &list(DOMAINS.map(text)));
}

/// Some stand in front of other bytes without a separator, so being different is not enough.
#[test]
fn no_domain_string_begins_with_another() {
    for (index, one) in DOMAINS.iter().enumerate() {
        for (other_index, other) in DOMAINS.iter().enumerate() {
            assert!(
                index == other_index || !other.starts_with(one),
                "'{one}' begins '{other}'"
            );
        }
    }
}

fn signing_key(byte: u8, key: &SigningKey) -> Json {
    let public = key.public_key();
    let bytes = public.as_bytes();
    let node = domain_hash("tidegate node id v1", bytes, 16);
    let operator = domain_hash("tidegate operator id v1", bytes, 16);
    let id = domain_hash("tidegate key id v1", bytes, 8);
    assert_eq!(NodeId::of(&public).as_bytes(), &node[..]);
    assert_eq!(OperatorId::of(&public).as_bytes(), &operator[..]);
    assert_eq!(KeyId::of(&public).as_bytes(), &id[..]);
    object([
        ("seed", hex([byte; 32])),
        ("public", hex(bytes)),
        ("public_text", text(public)),
        ("key_id", hex(id)),
        ("key_id_text", text(KeyId::of(&public))),
        ("node_id", hex(node)),
        ("node_id_text", text(NodeId::of(&public))),
        ("operator_id", hex(operator)),
        ("operator_id_text", text(OperatorId::of(&public))),
    ])
}

#[test]
fn every_key_has_the_id_and_hash_that_it_had() {
    let network = Network::new();
    let sealing = network.sealing.public_key().unwrap();
    let hash = domain_hash("tidegate sealing key v1", &sealing.to_bytes(), 32);
    assert_eq!(sealing.hash().as_bytes(), &hash[..]);
    compare(
        "keys",
        &object([
            ("root", signing_key(1, &network.root)),
            ("authority", signing_key(2, &network.authority)),
            ("operator", signing_key(3, &network.operator)),
            ("identity", signing_key(4, &network.identity)),
            (
                "wireguard",
                object([
                    ("secret", hex(network.wireguard.expose())),
                    ("public", hex(network.wireguard.public_key().as_bytes())),
                ]),
            ),
            (
                "sealing",
                object([
                    ("seed", hex(network.sealing.expose())),
                    ("public", hex(sealing.to_bytes())),
                    ("hash", hex(hash)),
                    ("hash_text", text(sealing.hash())),
                ]),
            ),
        ]),
    );
}

#[test]
fn every_key_of_the_schedule_is_what_it_was() {
    let (network, epoch) = (
        NetworkId::from_bytes([9; 16]),
        EpochNumber::new(9001).unwrap(),
    );
    let secret = [8; 32];
    let grant_info = [b"tidegate grant v1".as_slice(), &9001_u64.to_be_bytes()].concat();
    let grant = EpochSecret::from_bytes(secret).grant_key(network, epoch);
    assert_eq!(
        *grant.expose(),
        hkdf(network.as_bytes(), &secret, &grant_info)
    );
    assert_eq!(
        grant.id().as_bytes(),
        &domain_hash("tidegate grant key id v1", grant.expose(), 8)[..]
    );
    compare(
        "schedule",
        &object([
            ("network", hex(network.as_bytes())),
            ("network_text", text(network)),
            ("epoch", number(epoch.value())),
            ("epoch_secret", hex(secret)),
            ("grant_info", hex(grant_info)),
            ("grant_key", hex(grant.expose())),
            ("grant_key_id", text(grant.id())),
            ("pair", pair(network, epoch, &grant)),
        ]),
    );
}

fn pair(network: NetworkId, epoch: EpochNumber, grant: &GrantKey) -> Json {
    let [a, b] = [5, 6].map(|byte| WgSecretKey::from_bytes([byte; 32]));
    let (public_a, public_b) = (a.public_key(), b.public_key());
    let (lower, higher) = (public_a.min(public_b), public_a.max(public_b));
    let shared = x25519(&a, &public_b);
    let material = [*grant.expose(), shared].concat();
    let info = [
        b"tidegate psk v1".as_slice(),
        &epoch.value().to_be_bytes(),
        lower.as_bytes(),
        higher.as_bytes(),
    ]
    .concat();
    let key = grant.pairwise(network, epoch, &a, &public_b).unwrap();
    assert!(key == grant.pairwise(network, epoch, &b, &public_a).unwrap());
    assert_eq!(*key.expose(), hkdf(network.as_bytes(), &material, &info));
    object([
        ("a_secret", hex(a.expose())),
        ("a_public", hex(public_a.as_bytes())),
        ("b_secret", hex(b.expose())),
        ("b_public", hex(public_b.as_bytes())),
        ("shared", hex(shared)),
        ("salt", hex(network.as_bytes())),
        ("ikm", hex(material)),
        ("info", hex(info)),
        ("psk", hex(key.expose())),
    ])
}

#[test]
fn a_grant_seals_to_what_it_did_and_opens() {
    let network = Network::new();
    let (grant, context) = (network.grant(), network.seal_context());
    let info = [
        b"tidegate seal v1".as_slice(),
        context.network.as_bytes(),
        context.node.as_bytes(),
        &context.serial.value().to_be_bytes(),
        &context.epoch.value().to_be_bytes(),
        &context.redraw.to_be_bytes(),
        context.sealing.as_bytes(),
    ]
    .concat();
    let opened = context.open(&grant.sealed, &network.sealing).unwrap();
    assert_eq!(opened.expose(), network.grant_key().expose());
    assert_eq!(
        open(network.sealing.expose(), &grant.sealed, &info),
        opened.expose()
    );
    compare(
        "sealed-grant",
        &object([
            ("network", hex(context.network.as_bytes())),
            ("node", hex(context.node.as_bytes())),
            ("serial", number(context.serial.value())),
            ("epoch", number(context.epoch.value())),
            ("redraw", number(context.redraw.into())),
            ("sealing_key_hash", hex(context.sealing.as_bytes())),
            ("recipient_seed", hex(network.sealing.expose())),
            ("info", hex(info)),
            ("sealed", hex(grant.sealed.as_bytes())),
            ("opened", hex(opened.expose())),
        ]),
    );
}

/// The number of each kind in the compact form.
fn code(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|other| *other == kind).unwrap() as u8 + 1
}

fn document<T: Document>(document: &T, signers: &[&SigningKey]) -> Json {
    let signed = Signed::sign(document, signers).unwrap();
    let envelope = signed.envelope();
    let payload = serde_json::to_string(document).unwrap();
    let payload_type = format!("application/vnd.tidegate.{}.v1+json", T::KIND);
    let bytes = format!(
        "DSSEv1 {} {payload_type} {} {payload}",
        payload_type.len(),
        payload.len()
    );
    assert_eq!(String::from_utf8(envelope.signed_bytes()).unwrap(), bytes);
    assert_eq!(*signed.digest().as_bytes(), *Sha256::digest(&bytes));
    let compact = signed.to_compact();
    assert_eq!(compact[..4], [1, code(T::KIND), 1, signers.len() as u8]);
    assert_eq!(Signed::<T>::from_compact(&compact).as_ref(), Ok(&signed));
    assert_eq!(
        Signed::<T>::from_json(&signed.to_json()).as_ref(),
        Ok(&signed)
    );
    let signature = |signature: &Signature| {
        object([
            ("key", text(signature.key)),
            ("signature", hex(signature.bytes)),
        ])
    };
    object([
        ("kind", text(T::KIND)),
        ("code", number(code(T::KIND).into())),
        ("version", number(T::VERSION.into())),
        ("payload_type", text(payload_type)),
        ("payload", text(payload)),
        ("signed_bytes", text(bytes)),
        ("digest", hex(signed.digest().as_bytes())),
        ("digest_text", text(signed.digest())),
        (
            "signatures",
            list(envelope.signatures().iter().map(signature)),
        ),
        ("json", text(String::from_utf8(signed.to_json()).unwrap())),
        ("compact", hex(compact)),
    ])
}

#[test]
fn every_document_is_signed_over_the_bytes_that_it_was() {
    let network = Network::new();
    let (authority, node) = ([&network.authority], [&network.identity]);
    let documents = [
        document(&network.genesis, &[&network.root]),
        document(&network.certificate(), &authority),
        document(&network.revocation_list(), &authority),
        document(&network.policy(), &authority),
        document(&network.roster(), &authority),
        document(&network.grant(), &authority),
        document(&network.time_statement(), &authority),
        document(&network.command(), &[&network.operator, &network.authority]),
        document(&network.peer_record(), &node),
        document(&network.receipt(), &node),
        document(&network.checkpoint(), &authority),
    ];
    assert_eq!(documents.len(), Kind::ALL.len());
    compare("documents", &list(documents));
}

#[test]
fn a_request_is_signed_over_the_bytes_that_it_was() {
    let network = Network::new();
    let origin: Origin = "https://authority.example.org:7443".parse().unwrap();
    let parts = RequestParts {
        network: network.genesis.network,
        origin: &origin,
        method: "POST",
        target: "/v1/nodes?x=1",
        body: b"{\"hello\":\"world\"}",
    };
    let nonce = nonce(4);
    let signature = parts.sign(&network.operator, NOW, nonce);
    let fields: [&[u8]; 9] = [
        b"tidegate request v1",
        parts.network.as_bytes(),
        origin.as_str().as_bytes(),
        parts.method.as_bytes(),
        parts.target.as_bytes(),
        &Sha256::digest(parts.body),
        signature.key.as_bytes(),
        &NOW.as_millis().to_be_bytes(),
        nonce.as_bytes(),
    ];
    let framed = |field: &&[u8]| [&(field.len() as u32).to_be_bytes(), *field].concat();
    let bytes = fields.iter().flat_map(framed).collect::<Vec<_>>();
    assert_eq!(parts.signed_bytes(signature.key, NOW, nonce), bytes);
    assert_eq!(signature.to_string().parse(), Ok(signature));
    compare(
        "request",
        &object([
            ("network", hex(parts.network.as_bytes())),
            ("origin", text(&origin)),
            ("method", text(parts.method)),
            ("target", text(parts.target)),
            ("body", text(std::str::from_utf8(parts.body).unwrap())),
            ("seed", hex([3; 32])),
            ("key_id", hex(signature.key.as_bytes())),
            ("time", number(NOW.as_millis())),
            ("nonce", hex(nonce.as_bytes())),
            ("signed_bytes", hex(bytes)),
            ("authorization", text(signature)),
        ]),
    );
}

fn invite(tls: TlsTrust) -> Json {
    let (trust, pins) = match &tls {
        TlsTrust::Pins(pins) => (pins.len() as u8, pins.to_vec()),
        TlsTrust::SystemRoots => (255, Vec::new()),
    };
    let invite = Invite {
        url: "https://authority.example.org:7443".parse().unwrap(),
        tls,
        genesis: Network::new().signed_genesis().digest(),
        token: InviteToken::from_bytes([7; 16]),
    };
    let mut body = vec![trust];
    pins.iter().for_each(|pin| body.extend(pin.as_bytes()));
    body.extend(invite.genesis.as_bytes());
    body.extend(invite.token.expose());
    body.extend(invite.url.as_str().as_bytes());
    let checksum = domain_hash("tidegate invite v1", &body, 4);
    let digits = base64_encode(&[&body[..], &checksum].concat());
    let url_safe = digits
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    assert_eq!(*invite.expose(), format!("tidegate-invite-1-{url_safe}"));
    let token_hash = domain_hash("tidegate invite token v1", invite.token.expose(), 32);
    assert_eq!(invite.token.hash().as_bytes(), &token_hash[..]);
    object([
        ("url", text(&invite.url)),
        ("pins", list(pins.iter().map(|pin| hex(pin.as_bytes())))),
        ("genesis", hex(invite.genesis.as_bytes())),
        ("token", hex(invite.token.expose())),
        ("token_hash", hex(token_hash)),
        ("body", hex(body)),
        ("checksum", hex(checksum)),
        ("invite", text(invite.expose().as_str())),
    ])
}

#[test]
fn an_invite_is_the_word_that_it_was() {
    let pins = |names: &[&str]| TlsTrust::Pins(set(names.iter().map(|n| TlsPin::of(n.as_bytes()))));
    compare(
        "invites",
        &list([
            invite(TlsTrust::SystemRoots),
            invite(pins(&["key"])),
            invite(pins(&["key", "spare"])),
        ]),
    );
}

#[test]
fn a_challenge_has_the_answer_that_it_had() {
    let network = Network::new();
    let keys = NodeKeys {
        identity: network.identity.public_key(),
        wireguard: network.wireguard.public_key(),
        sealing: network.sealing.public_key().unwrap(),
    };
    let origin: Origin = "https://authority.example.org:7443".parse().unwrap();
    let place = Place {
        network: network.genesis.network,
        origin: &origin,
    };
    let rng = &mut ChaCha20Rng::seed_from_u64(11);
    let (challenge, expected) = keys.challenge(place, rng).unwrap();
    let answer = keys
        .answer(place, &challenge, &network.wireguard, &network.sealing)
        .unwrap();
    assert_eq!(answer, expected);
    let info = [
        b"tidegate possession v1".as_slice(),
        place.network.as_bytes(),
        keys.identity.as_bytes(),
        keys.wireguard.as_bytes(),
        keys.sealing.hash().as_bytes(),
        challenge.ephemeral.as_bytes(),
        origin.as_str().as_bytes(),
    ]
    .concat();
    let secret = open(network.sealing.expose(), &challenge.sealed, &info);
    let shared = x25519(&network.wireguard, &challenge.ephemeral);
    let material = [&shared[..], &secret].concat();
    let formula = hkdf(challenge.nonce.as_bytes(), &material, &info);
    let answer_text: String = serde_json::to_value(&answer)
        .unwrap()
        .as_str()
        .unwrap()
        .into();
    assert_eq!(answer_text, base64_encode(&formula));
    compare(
        "possession",
        &object([
            ("network", hex(place.network.as_bytes())),
            ("origin", text(&origin)),
            ("identity", hex(keys.identity.as_bytes())),
            ("wireguard_secret", hex(network.wireguard.expose())),
            ("sealing_seed", hex(network.sealing.expose())),
            ("info", hex(info)),
            ("nonce", hex(challenge.nonce.as_bytes())),
            ("ephemeral", hex(challenge.ephemeral.as_bytes())),
            ("sealed", hex(challenge.sealed.as_bytes())),
            ("secret", hex(secret)),
            ("shared", hex(shared)),
            ("answer", hex(formula)),
            ("answer_text", text(answer_text)),
        ]),
    );
}

#[test]
fn every_audit_record_hashes_as_it_did() {
    let network = Network::new();
    let log = fixtures::log::Log::of(&network, 2);
    let before_first = domain_hash(
        "tidegate audit log v1",
        network.genesis.network.as_bytes(),
        32,
    );
    let record = |(bytes, hash): &(Vec<u8>, Digest)| {
        assert_eq!(
            hash.as_bytes(),
            &domain_hash("tidegate audit record v1", bytes, 32)[..]
        );
        object([
            (
                "bytes_text",
                text(String::from_utf8(bytes.clone()).unwrap()),
            ),
            ("hash_text", text(hash)),
        ])
    };
    compare(
        "audit",
        &object([
            ("network", hex(network.genesis.network.as_bytes())),
            ("before_first", hex(before_first)),
            (
                "records",
                list([record(&log.records[0]), record(&log.records[1])]),
            ),
        ]),
    );
}
