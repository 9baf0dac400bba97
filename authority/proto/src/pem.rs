//! Key files: PKCS#8 and SubjectPublicKeyInfo in PEM, as OpenSSL writes and reads them.
//!
//! This module is text in, key out. Who reads the file sees to it that nobody else can.

use std::fmt;

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, Encode, SecretDocument};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::{self, Kdf};
use pkcs8::spki::der::asn1::BitStringRef;
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::key::{KeyError, PublicKey, SigningKey, WgSecretKey};

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");

const PRIVATE_KEY: &str = "PRIVATE KEY";
const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";
const PUBLIC_KEY: &str = "PUBLIC KEY";

/// Longer than any key file.
const LONGEST: usize = 8 * 1024;

/// Most rounds of PBKDF2 that a key file may ask for; OpenSSL writes 2,048, this module 600,000.
const MOST_ROUNDS: u32 = 10_000_000;

/// Most blocks of 128 bytes that scrypt may fill, 256 MiB; OpenSSL fills 131,072.
const MOST_SCRYPT_BLOCKS: u64 = 1 << 21;

/// Why a text is not the key it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PemError {
    /// Not PEM, or not a sound key inside.
    #[error("not a PEM key file")]
    Malformed,
    /// PEM of something else.
    #[error("a {got} where a {want} is needed")]
    OtherLabel {
        /// The PEM label that is needed.
        want: &'static str,
        /// The label that was found.
        got: &'static str,
    },
    /// A key of another algorithm.
    #[error("the key is not {0}")]
    OtherAlgorithm(&'static str),
    /// An encrypted key, and no passphrase.
    #[error(
        "the key is protected by a passphrase; give the file that holds it with --passphrase-file"
    )]
    PassphraseNeeded,
    /// An encrypted key, and another passphrase.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// An encrypted key whose opening would exhaust the machine, or whose parameters make no sense.
    #[error(
        "opening the key takes more work than is ever needed; encrypt it again with 'openssl pkcs8 -topk8'"
    )]
    TooMuchWork,
    /// A key that must not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A passphrase. Erased when dropped, and never printed.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The passphrase in the first line of `text`; `None` if that is empty.
    pub fn from_first_line(text: &[u8]) -> Option<Self> {
        let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (!line.is_empty()).then(|| Self(Zeroizing::new(line.to_vec())))
    }

    /// The bytes, to derive a key from.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A signing key as PKCS#8.
pub fn signing_key_to_pem(key: &SigningKey) -> Zeroizing<String> {
    private_to_pem(ED25519, key.seed())
}

/// A signing key as PKCS#8, encrypted (PBES2: PBKDF2 with HMAC-SHA-256, AES-256-CBC).
pub fn signing_key_to_encrypted_pem(
    key: &SigningKey,
    passphrase: &Passphrase,
    rng: &mut impl CryptoRng,
) -> Zeroizing<String> {
    let wrapped = wrap(key.seed());
    pbes2::Parameters::generate_pbkdf2(rng)
        .ok()
        .and_then(|parameters| {
            private_info(ED25519, &wrapped)?
                .encrypt_with_params(parameters, &*passphrase.0)
                .ok()
        })
        .and_then(|document| document.to_pem(ENCRYPTED_PRIVATE_KEY, LineEnding::LF).ok())
        .expect("a generator that cannot fail and a key of fixed size always encrypt")
}

/// Reads a signing key, with its passphrase if it is encrypted.
pub fn signing_key_from_pem(
    text: &str,
    passphrase: Option<&Passphrase>,
) -> Result<SigningKey, PemError> {
    let document = open(text, passphrase)?;
    Ok(SigningKey::from_seed(&*private_bytes(
        &document, ED25519, "Ed25519",
    )?))
}

/// A WireGuard key as PKCS#8.
pub fn wg_key_to_pem(key: &WgSecretKey) -> Zeroizing<String> {
    private_to_pem(X25519, key.expose())
}

/// Reads a WireGuard key.
pub fn wg_key_from_pem(text: &str) -> Result<WgSecretKey, PemError> {
    let document = open(text, None)?;
    Ok(WgSecretKey::from_bytes(*private_bytes(
        &document, X25519, "X25519",
    )?))
}

/// A public signing key as SubjectPublicKeyInfo.
pub fn public_key_to_pem(key: &PublicKey) -> String {
    let algorithm = AlgorithmIdentifierRef {
        oid: ED25519,
        parameters: None,
    };
    BitStringRef::from_bytes(key.as_bytes())
        .and_then(|bits| {
            SubjectPublicKeyInfoRef {
                algorithm,
                subject_public_key: bits,
            }
            .to_der()
        })
        .and_then(|der| {
            Ok(pkcs8::der::pem::encode_string(
                PUBLIC_KEY,
                LineEnding::LF,
                &der,
            )?)
        })
        .expect("a key of fixed size always encodes")
}

/// Reads a public signing key.
pub fn public_key_from_pem(text: &str) -> Result<PublicKey, PemError> {
    let document = decode(text)?;
    if document.0 != PUBLIC_KEY {
        return Err(PemError::OtherLabel {
            want: PUBLIC_KEY,
            got: document.0,
        });
    }
    let info = SubjectPublicKeyInfoRef::from_der(document.1.as_bytes())
        .map_err(|_| PemError::Malformed)?;
    if info.algorithm.oid != ED25519 || info.algorithm.parameters.is_some() {
        return Err(PemError::OtherAlgorithm("Ed25519"));
    }
    let bytes = info
        .subject_public_key
        .as_bytes()
        .and_then(|bytes| bytes.try_into().ok());
    Ok(PublicKey::from_bytes(bytes.ok_or(PemError::Malformed)?)?)
}

/// The label and the document of a PEM text.
fn decode(text: &str) -> Result<(&'static str, SecretDocument), PemError> {
    if text.len() > LONGEST {
        return Err(PemError::Malformed);
    }
    let (label, document) =
        SecretDocument::from_pem(text.trim_start()).map_err(|_| PemError::Malformed)?;
    let known = [PRIVATE_KEY, ENCRYPTED_PRIVATE_KEY, PUBLIC_KEY]
        .into_iter()
        .find(|known| *known == label);
    Ok((known.unwrap_or("different PEM file"), document))
}

/// The unencrypted PKCS#8 document of a private key.
fn open(text: &str, passphrase: Option<&Passphrase>) -> Result<SecretDocument, PemError> {
    let (label, document) = decode(text)?;
    match (label, passphrase) {
        (PRIVATE_KEY, _) => Ok(document),
        (ENCRYPTED_PRIVATE_KEY, None) => Err(PemError::PassphraseNeeded),
        (ENCRYPTED_PRIVATE_KEY, Some(passphrase)) => {
            let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes())
                .map_err(|_| PemError::Malformed)?;
            check_work(&info.encryption_algorithm)?;
            info.decrypt(&*passphrase.0)
                .map_err(|_| PemError::WrongPassphrase)
        }
        _ => Err(PemError::OtherLabel {
            want: PRIVATE_KEY,
            got: label,
        }),
    }
}

/// Refuses what would take minutes or all memory to find out whether a passphrase is right.
fn check_work(scheme: &EncryptionScheme) -> Result<(), PemError> {
    let bearable = match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MOST_ROUNDS,
        Some(Kdf::Scrypt(scrypt)) => {
            let (r, p) = (scrypt.block_size.into(), scrypt.parallelization.into());
            let blocks = scrypt
                .cost_parameter
                .checked_mul(r)
                .and_then(|n| n.checked_mul(p));
            blocks.is_some_and(|blocks| (1..=MOST_SCRYPT_BLOCKS).contains(&blocks))
        }
        _ => return Err(PemError::Malformed),
    };
    if bearable {
        Ok(())
    } else {
        Err(PemError::TooMuchWork)
    }
}

/// The 32 bytes inside a PKCS#8 document of RFC 8410.
fn private_bytes(
    document: &SecretDocument,
    oid: ObjectIdentifier,
    name: &'static str,
) -> Result<Zeroizing<[u8; 32]>, PemError> {
    let info = PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| PemError::Malformed)?;
    if info.algorithm.oid != oid || info.algorithm.parameters.is_some() {
        return Err(PemError::OtherAlgorithm(name));
    }
    let wrapped = <&OctetStringRef>::from_der(info.private_key.as_bytes())
        .map_err(|_| PemError::Malformed)?;
    let bytes = wrapped
        .as_bytes()
        .try_into()
        .map_err(|_| PemError::Malformed)?;
    Ok(Zeroizing::new(bytes))
}

/// The inner octet string of RFC 8410.
fn wrap(key: &[u8; 32]) -> Zeroizing<[u8; 34]> {
    let mut wrapped = Zeroizing::new([0; 34]);
    wrapped[..2].copy_from_slice(&[4, 32]); // OCTET STRING of 32 bytes
    wrapped[2..].copy_from_slice(key);
    wrapped
}

fn private_info(oid: ObjectIdentifier, wrapped: &[u8; 34]) -> Option<PrivateKeyInfoRef<'_>> {
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: None,
    };
    Some(PrivateKeyInfoRef::new(
        algorithm,
        OctetStringRef::new(wrapped).ok()?,
    ))
}

fn private_to_pem(oid: ObjectIdentifier, key: &[u8; 32]) -> Zeroizing<String> {
    let wrapped = wrap(key);
    private_info(oid, &wrapped)
        .and_then(|info| SecretDocument::encode_msg(&info).ok())
        .and_then(|document| document.to_pem(PRIVATE_KEY, LineEnding::LF).ok())
        .expect("a key of fixed size always encodes")
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl genpkey -algorithm ed25519`, and its `-pubout`.
    const OPENSSL_KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn the_key_of_rfc_8032_reads_and_writes_as_openssl_has_it() {
        let key = signing_key_from_pem(OPENSSL_KEY, None).unwrap();
        assert_eq!(*signing_key_to_pem(&key), OPENSSL_KEY);
        assert_eq!(public_key_to_pem(&key.public_key()), OPENSSL_PUBLIC);
        assert_eq!(public_key_from_pem(OPENSSL_PUBLIC), Ok(key.public_key()));
    }

    #[test]
    fn a_file_of_another_kind_is_named() {
        let wg = wg_key_to_pem(&WgSecretKey::from_bytes([1; 32]));
        let refused = |text: &str| signing_key_from_pem(text, None).err();
        assert_eq!(refused(&wg), Some(PemError::OtherAlgorithm("Ed25519")));
        assert_eq!(
            refused(OPENSSL_PUBLIC),
            Some(PemError::OtherLabel {
                want: PRIVATE_KEY,
                got: PUBLIC_KEY
            })
        );
        assert_eq!(
            public_key_from_pem(OPENSSL_KEY),
            Err(PemError::OtherLabel {
                want: PUBLIC_KEY,
                got: PRIVATE_KEY
            })
        );
        assert_eq!(
            wg_key_from_pem(OPENSSL_KEY).err(),
            Some(PemError::OtherAlgorithm("X25519"))
        );
        assert_eq!(refused("hello"), Some(PemError::Malformed));
        assert_eq!(
            refused(&OPENSSL_KEY.replace("MC4C", "MC4D")),
            Some(PemError::Malformed)
        );
        assert_eq!(wg_key_from_pem(&wg).unwrap().expose(), &[1; 32]);
    }

    fn scheme(kdf: impl Into<Kdf>) -> EncryptionScheme {
        let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: [0; 16] };
        pbes2::Parameters {
            kdf: kdf.into(),
            encryption,
        }
        .into()
    }

    #[test]
    fn a_key_file_cannot_exhaust_the_machine() {
        let scrypt = |(cost_parameter, block_size, parallelization)| {
            check_work(&scheme(pbes2::ScryptParams {
                salt: [7; 8].as_slice().try_into().unwrap(),
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            }))
        };
        for bearable in [(1 << 14, 8, 1), (1 << 18, 8, 1)] {
            assert_eq!(scrypt(bearable), Ok(()), "{bearable:?}");
        }
        for senseless in [
            (0, 8, 1),
            (1 << 14, 0, 1),
            (1 << 14, 8, 0),
            (1 << 19, 8, 1),
            (1 << 63, 8, 1),
        ] {
            assert_eq!(
                scrypt(senseless),
                Err(PemError::TooMuchWork),
                "{senseless:?}"
            );
        }
        let pbkdf2 = |rounds| {
            check_work(&scheme(
                pbes2::Pbkdf2Params::hmac_sha256(rounds, &[7; 16]).unwrap(),
            ))
        };
        assert_eq!(pbkdf2(MOST_ROUNDS), Ok(()));
        assert_eq!(pbkdf2(MOST_ROUNDS + 1), Err(PemError::TooMuchWork));
    }

    #[test]
    fn a_passphrase_is_one_line() {
        let read = |text: &[u8]| Passphrase::from_first_line(text).map(|p| p.0.to_vec());
        assert_eq!(
            read(b"correct horse\r\nmore"),
            Some(b"correct horse".to_vec())
        );
        assert_eq!(read(b"\nmore"), None);
    }
}
