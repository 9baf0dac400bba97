//! `GET /metrics` and `GET /health` for monitoring, where the owner names an address.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Method, Request as Asked, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

use super::inbox::{Inbox, Message};
use crate::local::{Level, Reply, Request};

/// Connections at a time; more have to wait.
const CONNECTIONS: usize = 16;
/// How long a client may take with its question.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pause after an error of the socket, so that it cannot eat the machine.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds before rights are given up.
pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until the process ends.
pub(super) fn serve(listener: TcpListener, inbox: Inbox) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let inbox = inbox.clone();
            tokio::spawn(async move {
                let _slot = slot;
                converse(stream, inbox).await;
            });
        }
    });
    Ok(())
}

async fn converse(stream: TcpStream, inbox: Inbox) {
    let service = service_fn(move |asked| {
        let inbox = inbox.clone();
        async move { Ok::<_, Infallible>(answer(&asked, &inbox).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // A client that is slow or rude loses its connection, nothing more.
    let _ = tokio::time::timeout(2 * PATIENCE, served).await;
}

async fn answer<B>(asked: &Asked<B>, inbox: &Inbox) -> Response<Full<Bytes>> {
    if asked.method() != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    let request = match asked.uri().path() {
        "/metrics" => Request::Metrics {},
        "/health" => Request::Health {},
        _ => return plain(StatusCode::NOT_FOUND, "only /metrics and /health\n"),
    };
    match ask(request, inbox).await {
        Some(Reply::Metrics(text)) => plain(StatusCode::OK, text),
        Some(Reply::Health(health)) => {
            let code = match health.level {
                Level::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            };
            plain(code, serde_json::to_string(&health).unwrap_or_default())
        }
        _ => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the daemon is busy or ending\n",
        ),
    }
}

async fn ask(request: Request, inbox: &Inbox) -> Option<Reply> {
    let (answer, answered) = oneshot::channel();
    inbox.send(Message::Request(request, answer)).await.ok()?;
    answered.await.ok()
}

fn plain(code: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    response
}
