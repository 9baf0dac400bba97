//! Connections: how many there may be, how long they may take, and their end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tower::ServiceExt as _;

use super::patience::{PATIENCE, Patient};
use super::tls::{self, Tls};
use crate::http::{App, Place, Source};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take, and a connection be idle: a little more than the time between heartbeats.
const HEAD: Duration = Duration::from_secs(40);
/// The largest head of a request.
const LARGEST_HEAD: usize = 16 * 1024;
/// What part of all connections one source may have.
const SHARE: usize = 4;
/// So many each source may have in any case.
const LEAST_SHARE: usize = 64;

/// What lies behind a socket.
#[derive(Clone)]
pub(super) enum Door {
    /// TLS.
    Tls(Tls),
    /// HTTP as it is: for measurements on an address of their own.
    Plain,
}

/// What serves requests.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) app: App,
    pub(super) router: axum::Router,
    /// The most connections.
    pub(super) most: usize,
}

/// A socket that is listened on.
pub(super) struct Gatekeeper {
    closing: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Gatekeeper {
    /// Accepts connections from now on.
    pub(super) fn start(socket: TcpListener, door: Door, service: Service) -> Self {
        let (closing, closed) = watch::channel(false);
        let task = tokio::spawn(accept(socket, door, service, closed));
        Self { closing, task }
    }

    /// Accepts no more, and waits for the requests under way, for `at_most` so long.
    pub(super) async fn close(self, at_most: Duration) {
        self.closing.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(at_most, self.task).await.is_err() {
            tracing::warn!("some requests did not end in time");
            abort.abort();
        }
    }
}

/// The places that connections come from, and how many from each.
#[derive(Clone, Default)]
struct Census(Arc<Mutex<HashMap<Place, usize>>>);

/// One connection in the census.
struct Counted {
    census: Census,
    place: Place,
    app: App,
}

impl Census {
    fn count(&self, service: &Service, peer: SocketAddr) -> Result<Counted, &'static str> {
        let place = Place::of(peer.ip());
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.values().sum::<usize>() >= service.most {
            return Err("too-many");
        }
        let from_there = places.entry(place).or_insert(0);
        if *from_there >= (service.most / SHARE).max(LEAST_SHARE) {
            return Err("too-many-from-source");
        }
        *from_there += 1;
        service.app.metrics().connected();
        Ok(Counted {
            census: self.clone(),
            place,
            app: service.app.clone(),
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut places = self.census.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.place);
            }
        }
        self.app.metrics().disconnected();
    }
}

async fn accept(
    socket: TcpListener,
    door: Door,
    service: Service,
    mut closing: watch::Receiver<bool>,
) {
    let (census, mut open) = (Census::default(), JoinSet::new());
    loop {
        let accepted = tokio::select! {
            () = closed(&mut closing) => break,
            accepted = socket.accept() => accepted,
        };
        while open.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await; // as when there are no more descriptors
                continue;
            }
        };
        match census.count(&service, peer) {
            Ok(counted) => {
                let (door, service, closing) = (door.clone(), service.clone(), closing.clone());
                open.spawn(async move {
                    connection(stream, peer, door, service, closing).await;
                    drop(counted);
                });
            }
            Err(why) => service.app.metrics().connection_refused(why),
        }
    }
    drop(socket);
    while open.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    service: Service,
    closing: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true); // else it is only slower
    match door {
        Door::Plain => requests(stream, peer, service, closing).await,
        Door::Tls(tls) => {
            let begun = Instant::now();
            let metrics = service.app.metrics();
            match tokio::time::timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                Ok(Ok(stream)) => {
                    metrics.handshake(begun.elapsed());
                    requests(stream, peer, service, closing).await;
                }
                Ok(Err(error)) => metrics.handshake_failed(tls::failure(&error)),
                Err(_) => metrics.handshake_failed("too-slow"),
            }
        }
    }
}

async fn requests<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    service: Service,
    mut closing: watch::Receiver<bool>,
) {
    let router = service.router;
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Source(peer));
        let answered = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<Response, Infallible>(answered.await.unwrap_or_else(|never| match never {})) }
    });
    let stream = TokioIo::new(Patient::new(stream, PATIENCE));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(stream, answer);
    tokio::pin!(serving);
    tokio::select! {
        ended = serving.as_mut() => log_end(peer, ended),
        () = closed(&mut closing) => {
            serving.as_mut().graceful_shutdown();
            log_end(peer, serving.await);
        }
    }
}

/// Waits until the socket closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await; // its other end is gone: that is the end as well
}

fn log_end(peer: SocketAddr, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}
