//! A TLS server that answers as a test tells it to: the misbehaviour that a real authority does not have.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test program uses some of it"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tidegate_proto::{Origin, TlsPin};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::UnboundedReceiverStream;

#[path = "../../../authority/proto/tests/fixtures/mod.rs"]
pub mod fixtures;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
    pub last_event_id: Option<String>,
    pub host: String,
    pub body: Bytes,
}

/// What the server does with it.
pub enum Reply {
    /// Answers.
    Json(u16, Vec<u8>),
    /// Closes the connection without a word.
    Hangup,
    /// Streams what comes, and says whether it resumes.
    Events(mpsc::UnboundedReceiver<String>, bool),
}

type Handler = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

pub struct Server {
    pub address: SocketAddr,
    pub pin: TlsPin,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let (config, pin) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, connections) = (Arc::default(), Arc::default());
        let serving = Serving {
            handler: Arc::new(handler),
            seen: Arc::clone(&seen),
            connections: Arc::clone(&connections),
        };
        let task = tokio::spawn(accept(listener, TlsAcceptor::from(config), serving));
        Self {
            address,
            pin,
            seen,
            connections,
            task,
        }
    }

    pub fn origin(&self) -> Origin {
        format!("https://{}", self.address).parse().unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An origin at which nothing listens.
pub async fn nowhere() -> Origin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("https://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap()
}

fn tls() -> (Arc<ServerConfig>, TlsPin) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["authority.test".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let pin = TlsPin::of(&rcgen::PublicKeyData::subject_public_key_info(&key));
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
    (Arc::new(config), pin)
}

#[derive(Clone)]
struct Serving {
    handler: Handler,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, serving: Serving) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, serving) = (acceptor.clone(), serving.clone());
        tokio::spawn(async move {
            let Ok(encrypted) = acceptor.accept(socket).await else {
                return;
            };
            serving.connections.fetch_add(1, Ordering::SeqCst);
            let service = hyper::service::service_fn(|request| answer(&serving, request));
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http
                .serve_connection(TokioIo::new(encrypted), service)
                .await; // a hang-up is an error here
        });
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    serving: &Serving,
    request: Request<Incoming>,
) -> Result<Response<Body>, &'static str> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let mut seen = Seen {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        authorization: header("authorization"),
        last_event_id: header("last-event-id"),
        host: header("host").unwrap(),
        body: Bytes::new(),
    };
    seen.body = request.into_body().collect().await.unwrap().to_bytes();
    serving.seen.lock().unwrap().push(seen.clone());
    let mut response = match (serving.handler)(&seen) {
        Reply::Hangup => return Err("hang up"),
        Reply::Json(status, body) => {
            let mut response = Response::new(Full::new(Bytes::from(body)).boxed());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }
        Reply::Events(events, resumed) => stream(events, resumed),
    };
    response
        .headers_mut()
        .entry(CONTENT_TYPE)
        .or_insert("application/json".parse().unwrap());
    Ok(response)
}

fn stream(events: mpsc::UnboundedReceiver<String>, resumed: bool) -> Response<Body> {
    let frames = UnboundedReceiverStream::new(events);
    let frames = frames.map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
    let mut response = Response::new(BodyExt::boxed(StreamBody::new(SyncStream(frames))));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, "text/event-stream".parse().unwrap());
    headers.insert(
        tidegate_proto::api::RESUMED_HEADER,
        resumed.to_string().parse().unwrap(),
    );
    response
}

/// A stream that is only ever polled by one.
struct SyncStream<S>(S);

impl<S: futures_util::Stream + Unpin> futures_util::Stream for SyncStream<S> {
    type Item = S::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<S::Item>> {
        self.0.poll_next_unpin(context)
    }
}
