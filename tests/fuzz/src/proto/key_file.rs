//! Key files.

use tidegate_proto::base64_encode;
use tidegate_proto::pem::{
    Passphrase, PemError, public_key_from_pem, public_key_to_pem, signing_key_from_pem,
    signing_key_to_pem, wg_key_from_pem, wg_key_to_pem,
};

use super::promise::check_refusal;

/// A key file: the data as its text, and as the document inside one under each of the labels.
pub fn pem(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
    for label in ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "PUBLIC KEY"] {
        check(&pem_around(label, data));
    }
}

/// A key that is read is written as a file that reads as the same key.
fn check(text: &str) {
    let passphrase = Passphrase::from_first_line(b"correct horse");
    for passphrase in [None, passphrase.as_ref()] {
        if let Some(key) = sound(signing_key_from_pem(text, passphrase)) {
            let again = signing_key_from_pem(&signing_key_to_pem(&key), None).unwrap();
            assert_eq!(again.public_key(), key.public_key());
        }
    }
    if let Some(key) = sound(wg_key_from_pem(text)) {
        let again = wg_key_from_pem(&wg_key_to_pem(&key)).unwrap();
        assert_eq!(again.expose(), key.expose());
    }
    if let Some(key) = sound(public_key_from_pem(text)) {
        assert_eq!(public_key_from_pem(&public_key_to_pem(&key)), Ok(key));
    }
}

fn sound<T>(read: Result<T, PemError>) -> Option<T> {
    read.inspect_err(check_refusal).ok()
}

/// A PEM text around `der`, in lines of 64.
fn pem_around(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = base64_encode(der);
    for (at, digit) in body.char_indices() {
        text.push(digit);
        if at % 64 == 63 && at + 1 < body.len() {
            text.push('\n');
        }
    }
    if !body.is_empty() {
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}
