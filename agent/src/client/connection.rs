//! Connections: one TLS connection each, speaking HTTP/1.1.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tidegate_proto::Origin;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ClientError, tls};

/// A connection without a question for so long may have been forgotten by the other side, or something between.
const LONGEST_IDLE: Duration = Duration::from_secs(50);

/// One connection; it takes one question at a time.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    idle_since: Instant,
}

/// Why a question got no answer.
#[derive(Debug)]
pub(super) enum Lost {
    /// It never left: it may be asked elsewhere.
    Unsent(String),
    /// It may have arrived.
    Unanswered(String),
}

impl Connection {
    /// Connects to `origin`, within `limit` for each step.
    pub(super) async fn open(
        origin: &Origin,
        config: Arc<ClientConfig>,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable {
            origin: origin.clone(),
            reason,
        };
        let socket = dial(origin, limit)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let encrypted = timeout(limit, encrypt(origin, socket, config))
            .await
            .map_err(|_| unreachable("no TLS handshake in time".to_owned()))??;
        let (sender, driver) = http1::handshake(TokioIo::new(encrypted))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        // It ends with the sender and the answer that is still being read.
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        Ok(Self {
            sender,
            idle_since: Instant::now(),
        })
    }

    /// Whether another question may be put on it.
    pub(super) fn is_fresh(&self) -> bool {
        !self.sender.is_closed() && self.idle_since.elapsed() < LONGEST_IDLE
    }

    /// Asks, and waits for the head of the answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Lost> {
        self.sender
            .ready()
            .await
            .map_err(|error| Lost::Unsent(error.to_string()))?;
        self.sender
            .try_send_request(request)
            .await
            .map_err(|mut error| {
                let unsent = error.take_message().is_some();
                let reason = error.into_error().to_string();
                if unsent {
                    Lost::Unsent(reason)
                } else {
                    Lost::Unanswered(reason)
                }
            })
    }

    /// The connection, for the next question.
    pub(super) fn rested(self) -> Self {
        Self {
            idle_since: Instant::now(),
            ..self
        }
    }
}

/// Tries each address of the host in turn.
async fn dial(origin: &Origin, limit: Duration) -> io::Result<TcpStream> {
    let found = tokio::net::lookup_host((tls::host(origin), tls::port(origin)));
    let addresses = timeout(limit, found)
        .await
        .map_err(|_| io::Error::other("its name does not resolve in time"))??;
    let mut last = io::Error::other("its name has no address");
    for address in addresses {
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no connection in time"),
        }
    }
    Err(last)
}

async fn encrypt(
    origin: &Origin,
    socket: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, ClientError> {
    let name = tls::server_name(origin).ok_or_else(|| ClientError::Unreachable {
        origin: origin.clone(),
        reason: "its host is no name for TLS".to_owned(),
    })?;
    let connected = TlsConnector::from(config).connect(name, socket).await;
    connected.map_err(|error| blame(origin, &error))
}

/// A certificate that is refused is another matter than a network that does not work.
fn blame(origin: &Origin, error: &io::Error) -> ClientError {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let origin = origin.clone();
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => ClientError::Untrusted {
            origin,
            reason: match why {
                rustls::CertificateError::ApplicationVerificationFailure => {
                    "its TLS key has none of the pins of the genesis".to_owned()
                }
                other => format!("its certificate is refused: {other}"),
            },
        },
        _ => ClientError::Unreachable {
            origin,
            reason: error.to_string(),
        },
    }
}
