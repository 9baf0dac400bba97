//! TLS towards the authority: pinned keys, the system's roots, or, for what proves itself, anybody.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tidegate_proto::{BoundedSet, Origin, TlsPin, TlsTrust};

use super::ClientError;

/// Whom a TLS connection is made with.
#[derive(Clone, Debug)]
pub(super) enum Counterpart {
    /// Whoever the genesis names.
    Named(TlsTrust),
    /// Anybody. Only for documents that are verified by a hash that is known already.
    Anybody,
}

/// A configuration that accepts exactly `counterpart`.
pub(super) fn config(counterpart: &Counterpart) -> Result<Arc<ClientConfig>, ClientError> {
    let provider = Arc::new(ring::default_provider());
    let (verifier, versions): (Arc<dyn ServerCertVerifier>, _) = match counterpart {
        Counterpart::Named(TlsTrust::Pins(pins)) => {
            let provider = Arc::clone(&provider);
            let pins = pins.clone();
            (
                Arc::new(KeyVerifier {
                    pins: Some(pins),
                    provider,
                }),
                &[&TLS13][..],
            )
        }
        Counterpart::Named(TlsTrust::SystemRoots) => {
            (system_roots(&provider)?, &[&TLS13, &TLS12][..])
        }
        Counterpart::Anybody => {
            let provider = Arc::clone(&provider);
            (
                Arc::new(KeyVerifier {
                    pins: None,
                    provider,
                }),
                &[&TLS13, &TLS12][..],
            )
        }
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| ClientError::NoRoots(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn system_roots(provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, ClientError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let why = || match found.errors.first() {
        Some(error) => error.to_string(),
        None => "there are none".to_owned(),
    };
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|_| ClientError::NoRoots(why()))
}

/// The name that TLS is asked for.
pub(super) fn server_name(origin: &Origin) -> Option<ServerName<'static>> {
    let host = host(origin);
    match host.parse::<IpAddr>() {
        Ok(address) => Some(ServerName::from(address)),
        Err(_) => ServerName::try_from(host.to_owned()).ok(),
    }
}

/// The host of an origin, without the brackets of an address.
pub(super) fn host(origin: &Origin) -> &str {
    let authority = origin.authority();
    match authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        Some((address, _)) => address,
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    }
}

/// The port of an origin.
pub(super) fn port(origin: &Origin) -> u16 {
    let behind_host = origin
        .authority()
        .rsplit_once(']')
        .map_or(origin.authority(), |(_, rest)| rest);
    let written = behind_host
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(443)
}

/// Recognises a server by its key. Names and dates in its certificate mean nothing here.
#[derive(Debug)]
struct KeyVerifier {
    /// The keys, or any.
    pins: Option<BoundedSet<TlsPin, 2>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for KeyVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let pin = TlsPin::of(&parsed.subject_public_key_info());
        match &self.pins {
            Some(pins) if !pins.contains(&pin) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_what_an_origin_says() {
        for (origin, expected) in [
            ("https://a.example", ("a.example", 443)),
            ("https://a.example:7443", ("a.example", 7443)),
            ("https://127.0.0.1:7443", ("127.0.0.1", 7443)),
            ("https://[::1]:7443", ("::1", 7443)),
            ("https://[::1]", ("::1", 443)),
        ] {
            let origin = origin.parse().unwrap();
            assert_eq!((host(&origin), port(&origin)), expected);
            assert!(server_name(&origin).is_some());
        }
    }
}
