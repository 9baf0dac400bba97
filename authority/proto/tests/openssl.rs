//! Golden vectors, checked by a program that shares no code with this one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs, process};

use serde_json::Value;
use tidegate_proto::{PublicKey, pem};

fn vectors(name: &str) -> Value {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    serde_json::from_slice(&fs::read(golden.join(name)).unwrap()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = text(hex).as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn openssl(arguments: &[&str]) -> Output {
    let run = Command::new("openssl").args(arguments).output();
    run.expect("openssl runs; tests/install-tools installs it")
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("tidegate-{name}-{}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // nothing can be done about it here
    }
}

fn verifies(key: &str, signature: &str, message: &str) -> bool {
    let input = [
        "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin", "-in", message, "-sigfile",
        signature,
    ];
    openssl(&input).status.success()
}

#[test]
fn openssl_verifies_every_authority_signature() {
    let folder = Folder::new("signatures");
    let (keys, documents) = (vectors("keys.json"), vectors("documents.json"));
    let authority = &keys["authority"];
    let public = PublicKey::from_bytes(bytes(&authority["public"]).try_into().unwrap()).unwrap();
    let key = folder.file("key.pem", pem::public_key_to_pem(&public).as_bytes());
    let mut checked = 0;
    for document in documents.as_array().unwrap() {
        let message = text(&document["signed_bytes"]);
        let good = folder.file("message", message.as_bytes());
        let other = folder.file("other", message.replacen("DSSEv1", "DSSEv2", 1).as_bytes());
        for signature in document["signatures"].as_array().unwrap() {
            if signature["key"] != authority["key_id_text"] {
                continue;
            }
            let file = folder.file("signature", &bytes(&signature["signature"]));
            assert!(verifies(&key, &file, &good), "{}", document["kind"]);
            assert!(!verifies(&key, &file, &other), "{}", document["kind"]);
            checked += 1;
        }
    }
    assert_eq!(
        checked, 8,
        "certificate, lists, policy, roster, grant, time, command, checkpoint"
    );
}

fn hkdf(salt: &Value, material: &Value, info: &Value) -> String {
    let option = |name: &str, value: &Value| format!("{name}:{}", text(value));
    let options = [
        "digest:SHA256".to_owned(),
        option("hexsalt", salt),
        option("hexkey", material),
        option("hexinfo", info),
    ];
    let mut arguments = vec!["kdf", "-keylen", "32"];
    options
        .iter()
        .for_each(|option| arguments.extend(["-kdfopt", option]));
    arguments.push("HKDF");
    let output = String::from_utf8(openssl(&arguments).stdout).unwrap();
    output.trim().replace(':', "").to_lowercase()
}

#[test]
fn openssl_derives_the_same_keys() {
    let schedule = vectors("schedule.json");
    let (secret, info) = (&schedule["epoch_secret"], &schedule["grant_info"]);
    assert_eq!(
        hkdf(&schedule["network"], secret, info),
        text(&schedule["grant_key"])
    );
    let pair = &schedule["pair"];
    assert_eq!(
        hkdf(&pair["salt"], &pair["ikm"], &pair["info"]),
        text(&pair["psk"])
    );
    let possession = vectors("possession.json");
    let material = format!(
        "{}{}",
        text(&possession["shared"]),
        text(&possession["secret"])
    );
    let answer = hkdf(
        &possession["nonce"],
        &Value::String(material),
        &possession["info"],
    );
    assert_eq!(answer, text(&possession["answer"]));
}
