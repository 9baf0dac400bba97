//! The key by which the authority's TLS is recognised, and a certificate over it.

use std::path::Path;
use std::str;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    PublicKeyData as _, date_time_ymd,
};
use tidegate_proto::{Genesis, Origin, TlsPin, TlsTrust};
use zeroize::Zeroizing;

use crate::file::{self, FileError, Secrecy, shown};

/// More than any TLS key file holds.
const LONGEST: usize = 32 * 1024;

/// Why there is no TLS key.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsKeyError {
    /// The file was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error(
        "{0} holds no TLS key that can be used; give a PKCS#8 PEM file as 'tidegate-authority tls new' or 'openssl genpkey' writes it"
    )]
    NoKey(String),
    /// No certificate could be made.
    #[error("no certificate could be made: {0}; check the URLs")]
    Certificate(String),
    /// The genesis names other keys.
    #[error(
        "the TLS key's pin is {got}, and the genesis trusts {want}; nodes would refuse to connect: use the key whose pin was signed, or have a succession signed with --tls-pin {got}"
    )]
    NotPinned {
        /// The key's pin.
        got: TlsPin,
        /// The pins in the genesis.
        want: String,
    },
}

/// A TLS key. Erased when dropped, and never printed.
pub struct TlsKey {
    pair: KeyPair,
    pem: Zeroizing<String>,
}

impl TlsKey {
    /// A new key (ECDSA, P-256).
    pub fn generate() -> Result<Self, TlsKeyError> {
        let pair =
            KeyPair::generate().map_err(|error| TlsKeyError::Certificate(error.to_string()))?;
        let pem = Zeroizing::new(pair.serialize_pem());
        Ok(Self { pair, pem })
    }

    /// Reads a key, which nobody but its owner may be able to read.
    pub fn read(path: &Path) -> Result<Self, TlsKeyError> {
        let bytes = file::read(path, LONGEST, Secrecy::Secret)?;
        let key = str::from_utf8(&bytes).ok().and_then(Self::from_pem);
        key.ok_or_else(|| TlsKeyError::NoKey(shown(path)))
    }

    fn from_pem(text: &str) -> Option<Self> {
        let pair = KeyPair::from_pem(text).ok()?;
        Some(Self {
            pair,
            pem: Zeroizing::new(text.to_owned()),
        })
    }

    /// The key's file.
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// How nodes recognise the key.
    pub fn pin(&self) -> TlsPin {
        TlsPin::of(&self.pair.subject_public_key_info())
    }

    /// A certificate over the key for the hosts of `urls`, signed by the key itself and good for as long as the pin is.
    pub fn self_signed(&self, urls: &[Origin]) -> Result<String, TlsKeyError> {
        let failed = |error: rcgen::Error| TlsKeyError::Certificate(error.to_string());
        let hosts = urls.iter().map(|url| host(url).to_owned());
        let mut params = CertificateParams::new(hosts.collect::<Vec<_>>()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, "Tidegate authority");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(9999, 12, 31); // the pin is what counts
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.self_signed(&self.pair).map_err(failed)?.pem())
    }

    /// Refuses a key that the nodes of `genesis` would not recognise.
    pub fn check(&self, genesis: &Genesis) -> Result<(), TlsKeyError> {
        let got = self.pin();
        match &genesis.tls {
            TlsTrust::Pins(pins) if !pins.contains(&got) => {
                let pins: Vec<_> = pins.iter().map(ToString::to_string).collect();
                let want = if pins.is_empty() {
                    "none".to_owned()
                } else {
                    pins.join(" and ")
                };
                Err(TlsKeyError::NotPinned { got, want })
            }
            _ => Ok(()),
        }
    }
}

/// The host of a URL, an IPv6 address without its brackets.
fn host(url: &Origin) -> &str {
    let authority = url.authority();
    if let Some((host, _)) = authority
        .strip_prefix('[')
        .and_then(|text| text.split_once(']'))
    {
        return host;
    }
    authority.split(':').next().unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_pin_and_serves_its_hosts() {
        let key = TlsKey::generate().unwrap();
        let again = TlsKey::from_pem(key.to_pem()).unwrap();
        assert_eq!(key.pin(), again.pin());
        assert_ne!(key.pin(), TlsKey::generate().unwrap().pin());
        let urls = [
            "https://127.0.0.1:7443",
            "https://[fd00::1]:7443",
            "https://a.example.org",
        ];
        let urls = urls.map(|url| url.parse().unwrap());
        assert_eq!(
            urls.each_ref().map(host),
            ["127.0.0.1", "fd00::1", "a.example.org"]
        );
        assert!(
            key.self_signed(&urls)
                .unwrap()
                .contains("BEGIN CERTIFICATE")
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        assert!(TlsKey::from_pem("hello").is_none());
        assert!(
            TlsKey::from_pem("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
                .is_none()
        );
    }
}
