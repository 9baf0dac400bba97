//! OpenSSL and Python's cryptography agree with us: on key files, on a genesis' signature, on a derived key.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod folder;

use std::io::Write;
use std::process::{Command, Stdio};

use folder::{Folder, text};
use tidegate_authority::{read_public_key, read_signing_key};
use tidegate_proto::pem::public_key_to_pem;
use tidegate_proto::{EpochNumber, EpochSecret, NetworkId, TlsPin, WgSecretKey};

/// Runs a shell script here that must succeed; what it prints.
fn shell(folder: &Folder, script: &str) -> Vec<u8> {
    let output = Command::new("sh")
        .args(["-euc", script])
        .current_dir(folder.root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{script}: {}",
        text(&output.stderr)
    );
    output.stdout
}

/// Runs a Python program that must succeed; what it prints.
fn python(folder: &Folder, program: &str, arguments: &[&str]) -> String {
    let mut child = Command::new("/usr/bin/python3")
        .arg("-")
        .args(arguments)
        .current_dir(folder.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(program.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    text(&output.stdout)
}

#[test]
fn openssl_reads_our_keys() {
    let folder = Folder::with_keys();
    let public = public_key_to_pem(&folder.key("root.pem").public_key());
    assert_eq!(
        text(&shell(&folder, "openssl pkey -in root.pem -pubout")),
        public
    );
    let ours = folder.read("authority.pub");
    assert_eq!(
        shell(&folder, "openssl pkey -in authority.pem -pubout"),
        ours
    );
    assert_eq!(
        shell(&folder, "openssl pkey -pubin -in authority.pub -pubout"),
        ours
    );
    assert_eq!(
        shell(&folder, "openssl pkey -in root.pem"),
        folder.read("root.pem")
    );
}

#[test]
fn openssl_opens_our_encrypted_root_with_the_passphrase_only() {
    let folder = Folder::new();
    folder.write("passphrase", b"correct horse\n", 0o600);
    folder.write("other", b"wrong horse\n", 0o600);
    folder.done("root new --out root.pem --passphrase-file passphrase");
    let opened = text(&shell(
        &folder,
        "openssl pkey -in root.pem -passin file:passphrase -pubout",
    ));
    let passphrase = tidegate_authority::read_passphrase(&folder.path("passphrase")).unwrap();
    let key = read_signing_key(&folder.path("root.pem"), Some(&passphrase)).unwrap();
    assert_eq!(opened, public_key_to_pem(&key.public_key()));
    shell(
        &folder,
        "! openssl pkey -in root.pem -passin file:other -noout 2>errors",
    );
}

#[test]
fn we_accept_the_keys_that_openssl_makes() {
    let folder = Folder::new();
    // OpenSSL takes the passphrase to write from the second line.
    folder.write("passphrase", b"correct horse\ncorrect horse\n", 0o600);
    shell(
        &folder,
        "umask 077
         openssl genpkey -algorithm ed25519 -out authority.pem
         openssl pkey -in authority.pem -pubout -out authority.pub
         openssl genpkey -algorithm ed25519 -aes-256-cbc -pass file:passphrase -out root.pem
         openssl pkcs8 -topk8 -in root.pem -passin file:passphrase -passout file:passphrase -scrypt -out scrypt.pem
         openssl genpkey -algorithm x25519 -out x25519.pem
         openssl genpkey -algorithm rsa -quiet -out rsa.pem",
    );
    let public = read_public_key(&folder.path("authority.pub")).unwrap();
    assert_eq!(folder.key("authority.pem").public_key(), public);
    for root in ["root.pem", "scrypt.pem"] {
        folder.done(&format!(
            "genesis new --name demo --root {root} --passphrase-file passphrase --authority-key authority.pub --ipv4 10.211.0.0/16 --out {root}.json"
        ));
        folder.done(&format!("genesis verify {root}.json"));
    }
    for (other, why) in [
        ("x25519.pem", "the key is not Ed25519"),
        ("rsa.pem", "no usable key"),
    ] {
        let line = folder.refused(&format!(
            "genesis new --name demo --root {other} --authority-key authority.pub --ipv4 10.211.0.0/16 --out genesis.json"
        ));
        assert!(line.contains(why), "{line}");
    }
}

/// Builds the pre-authentication encoding from the file alone, verifies it, and leaves it for OpenSSL.
const VERIFY_GENESIS: &str = r#"
import base64, hashlib, json
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

envelope = json.load(open("genesis.json"))
payload = base64.b64decode(envelope["payload"], validate=True)
kind = envelope["payloadType"].encode()
message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
(signature,) = [base64.b64decode(s["sig"], validate=True) for s in envelope["signatures"]]
root = Ed25519PublicKey.from_public_bytes(base64.b64decode(json.loads(payload)["root"]))
root.verify(signature, message)
try:
    root.verify(signature, message + b" ")
    raise SystemExit("a longer message verifies as well")
except InvalidSignature:
    pass
open("message", "wb").write(message)
open("signature", "wb").write(signature)
print(base64.b64encode(hashlib.sha256(message).digest()).decode())
"#;

#[test]
fn python_and_openssl_verify_a_genesis() {
    let folder = Folder::with_network();
    let chain = folder.chain(&["genesis.json"]);
    let hash = python(&folder, VERIFY_GENESIS, &[]);
    assert_eq!(hash.trim(), chain.genesis().digest().to_string());
    assert_eq!(
        folder.read("message"),
        chain.genesis().signed().envelope().signed_bytes()
    );
    let verify = "openssl pkeyutl -verify -pubin -inkey root.pub -rawin -sigfile signature -in";
    let said = shell(
        &folder,
        &format!(
            "openssl pkey -in root.pem -pubout -out root.pub
             {verify} message
             printf x >>message
             ! {verify} message"
        ),
    );
    let said = text(&said);
    assert!(said.contains("Signature Verified Successfully"), "{said}");
    assert!(said.contains("Signature Verification Failure"), "{said}");
}

const DERIVE_PAIRWISE_KEY: &str = r#"
import sys
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

network, secret, one, other = (bytes.fromhex(a) for a in sys.argv[1:5])
epoch = int(sys.argv[5]).to_bytes(8, "big")

def derive(material, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=network, info=info).derive(material)

def raw(key):
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

grant = derive(secret, b"tidegate grant v1" + epoch)
one, other = (X25519PrivateKey.from_private_bytes(key) for key in (one, other))
lower, higher = sorted([raw(one), raw(other)])
print(derive(grant + one.exchange(other.public_key()), b"tidegate psk v1" + epoch + lower + higher).hex())
"#;

#[test]
fn python_derives_the_same_pairwise_key() {
    let (network, secret, epoch) = ([3; 16], [8; 32], 9001);
    let keys = [[21; 32], [22; 32]];
    let [one, other] = keys.map(WgSecretKey::from_bytes);
    let (id, number) = (
        NetworkId::from_bytes(network),
        EpochNumber::new(epoch).unwrap(),
    );
    let grant = EpochSecret::from_bytes(secret).grant_key(id, number);
    let ours = grant
        .pairwise(id, number, &one, &other.public_key())
        .unwrap();
    let arguments = [
        hex(&network),
        hex(&secret),
        hex(&keys[0]),
        hex(&keys[1]),
        epoch.to_string(),
    ];
    let arguments = arguments.each_ref().map(String::as_str);
    let theirs = python(&Folder::new(), DERIVE_PAIRWISE_KEY, &arguments);
    assert_eq!(theirs.trim(), hex(ours.expose()));
}

#[test]
fn the_help_tells_how_to_compute_a_tls_pin() {
    let folder = Folder::with_keys();
    shell(
        &folder,
        "openssl req -x509 -newkey ed25519 -noenc -subj /CN=authority -keyout tls.pem -out cert.pem",
    );
    let help = folder.done("genesis new --help");
    let words: Vec<_> = help.split_whitespace().collect();
    let joined = words.join(" ");
    let start = joined.find("openssl x509").unwrap();
    let end = start + joined[start..].find("base64").unwrap() + "base64".len();
    let pin = text(&shell(&folder, &joined[start..end]));
    let spki = shell(&folder, "openssl pkey -in tls.pem -pubout -outform der");
    assert_eq!(pin.trim(), TlsPin::of(&spki).to_string());
    folder.done(&format!(
        "genesis new --name demo --root root.pem --authority-key authority.pub --ipv4 10.211.0.0/16 --url https://a.example.org --tls-pin {pin} --out genesis.json"
    ));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
