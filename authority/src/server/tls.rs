//! The TLS key pair in use. TLS 1.3 and 1.2, no client certificates.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;

use tidegate_proto::TlsPin;

use crate::config::Config;
use crate::data_dir::{DataDir, DataDirError};
use crate::file::{self, FileError, Secrecy, shown};

/// More than any chain of certificates holds.
const LONGEST: usize = 256 * 1024;

/// Why TLS cannot be spoken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The key does not do.
    #[error(transparent)]
    Key(#[from] DataDirError),
    /// The certificate was not read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It holds something else.
    #[error(
        "{0} holds no certificate; give a PEM file with the certificate first and then those that lead to its root"
    )]
    NoCertificate(String),
    /// Key and certificate do not go together.
    #[error(
        "{path} does not go with the TLS key: {reason}; give the certificate that was issued for this key"
    )]
    Mismatch {
        /// The certificate's file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// A key pair, ready for use.
#[derive(Clone)]
pub(super) struct Pair {
    settings: Arc<ServerConfig>,
    pin: TlsPin,
}

impl Pair {
    /// The pair that `config` names.
    pub(super) fn load(dir: &DataDir, config: &Config) -> Result<Self, TlsError> {
        let key = dir.tls_key(config)?;
        let path = &config.tls.certificate;
        let text = file::read(path, LONGEST, Secrecy::Public)?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(shown(path)))?;
        let mismatch = |reason: String| TlsError::Mismatch {
            path: shown(path),
            reason,
        };
        let pin = key.pin();
        let key = PrivateKeyDer::from_pem_slice(key.to_pem().as_bytes())
            .map_err(|error| mismatch(error.to_string()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| mismatch(error.to_string()))?;
        let mut settings = builder
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| mismatch(error.to_string()))?;
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every session is a full handshake: nothing is kept per client, and nothing to resume is sent.
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Ok(Self {
            settings: Arc::new(settings),
            pin,
        })
    }

    /// How nodes recognise the key.
    pub(super) fn pin(&self) -> TlsPin {
        self.pin
    }
}

/// The pair in use; it can be replaced.
#[derive(Clone)]
pub(super) struct Tls(Arc<RwLock<Pair>>);

impl Tls {
    /// The pair that `config` names.
    pub(super) fn load(dir: &DataDir, config: &Config) -> Result<Self, TlsError> {
        Pair::load(dir, config).map(|pair| Self(Arc::new(RwLock::new(pair))))
    }

    /// Uses another pair for connections from now on. The pin of the one before.
    pub(super) fn replace(&self, pair: Pair) -> TlsPin {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, pair).pin
    }

    /// How nodes recognise the key in use.
    pub(super) fn pin(&self) -> TlsPin {
        self.0.read().unwrap_or_else(PoisonError::into_inner).pin
    }

    /// What the next connection is accepted with.
    pub(super) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        let pair = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&pair.settings).into()
    }
}

/// Why a handshake failed, as one of few names.
pub(super) fn failure(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => "not-tls",
        Some(rustls::Error::AlertReceived(_)) => "refused-by-client",
        Some(rustls::Error::PeerIncompatible(_)) => "incompatible",
        Some(_) => "protocol",
        None => "connection",
    }
}
