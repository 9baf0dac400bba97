//! Connections: one TLS connection each, speaking HTTP/1.1.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
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
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ClientError, tls};

/// A connection without a question for so long may have been forgotten by the other side, or something between.
const LONGEST_IDLE: Duration = Duration::from_secs(50);

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 16;
/// How long one address has before the next is tried as well.
const HEAD_START: Duration = Duration::from_millis(250);

/// One connection; it takes one question at a time.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    idle_since: Instant,
    /// Where it goes out from.
    local: Option<SocketAddr>,
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
        let local = socket.local_addr().ok();
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
            local,
        })
    }

    /// Whether this host has given up the address that it goes out from, so that no answer can come.
    pub(super) fn is_cut_off(&self) -> bool {
        let lost = |error: io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
        let bound = |local: SocketAddr| UdpSocket::bind(SocketAddr::new(local.ip(), 0));
        self.local
            .filter(|local| !local.ip().is_unspecified())
            .is_some_and(|local| bound(local).is_err_and(lost))
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

/// Connects to whichever address of the host answers first.
async fn dial(origin: &Origin, limit: Duration) -> io::Result<TcpStream> {
    let found = tokio::net::lookup_host((tls::host(origin), tls::port(origin)));
    let addresses = timeout(limit, found)
        .await
        .map_err(|_| io::Error::other("its name does not resolve in time"))??;
    race(in_turn(addresses.take(MOST_ADDRESSES)), limit).await
}

/// The families in turn, beginning with that of the first address: one of them may lead nowhere from here.
fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> VecDeque<SocketAddr> {
    let (mut first, mut other) = (VecDeque::new(), VecDeque::new());
    for address in addresses {
        let same = first
            .front()
            .is_none_or(|known: &SocketAddr| known.is_ipv4() == address.is_ipv4());
        let family = if same { &mut first } else { &mut other };
        family.push_back(address);
    }
    let mut turns = VecDeque::new();
    while !first.is_empty() || !other.is_empty() {
        turns.extend(first.pop_front());
        turns.extend(other.pop_front());
    }
    turns
}

/// Tries one address after the other, the next as soon as one has failed or let us wait for a moment.
async fn race(mut addresses: VecDeque<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut last = io::Error::other("its name has no address");
    loop {
        if let Some(address) = addresses.pop_front() {
            attempts.spawn(connect(address, limit));
        }
        let pause = if addresses.is_empty() {
            limit
        } else {
            HEAD_START
        };
        match timeout(pause, attempts.join_next()).await {
            Ok(Some(Ok(Ok(socket)))) => return Ok(socket),
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => return Err(last),
        }
    }
}

async fn connect(address: SocketAddr, limit: Duration) -> io::Result<TcpStream> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
    let socket = timeout(limit, TcpStream::connect(address))
        .await
        .map_err(late)??;
    socket.set_nodelay(true)?;
    Ok(socket)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_are_tried_in_turn() {
        let addresses = ["[fd00::1]:1", "[fd00::2]:1", "[fd00::3]:1", "10.0.0.1:1"];
        let turns = in_turn(addresses.iter().map(|text| text.parse().unwrap()));
        let turns: Vec<String> = turns.iter().map(ToString::to_string).collect();
        assert_eq!(
            turns,
            ["[fd00::1]:1", "10.0.0.1:1", "[fd00::2]:1", "[fd00::3]:1"]
        );
    }

    #[tokio::test]
    async fn an_address_that_does_not_answer_holds_nobody_up() {
        let good = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = good.local_addr().unwrap().port();
        let refuses = SocketAddr::from(([127, 0, 0, 77], port));
        let addresses = VecDeque::from([refuses, refuses, good.local_addr().unwrap()]);
        let socket = race(addresses, Duration::from_secs(5)).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), good.local_addr().unwrap());
        let error = race(VecDeque::from([refuses]), Duration::from_secs(5)).await;
        assert_eq!(
            error.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused,
            "why it failed is said"
        );
        assert!(
            race(VecDeque::new(), Duration::from_secs(5)).await.is_err(),
            "no address is no connection"
        );
    }
}
