//! The real program: a data directory, the server over it, and a client that speaks TLS to it.

use std::fs;
use std::net::TcpListener as StdListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use tempfile::TempDir;
use tidegate_authority::{DataDir, read_genesis, read_signing_key};
use tidegate_proto::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TestNode;
use super::operators::nonce;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tidegate-authority");
/// How long anything may take on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A data directory with an authority in it.
pub struct Installed {
    _folder: Option<TempDir>,
    log: PathBuf,
    pub dir: PathBuf,
    pub port: u16,
    pub operator: SigningKey,
    pub network: NetworkId,
}

/// A running server.
pub struct Server {
    child: Child,
    log: PathBuf,
}

pub type Connection = TlsStream<TcpStream>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Installed {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, log) = (folder.path().join("authority"), folder.path().join("log"));
        Self {
            _folder: Some(folder),
            ..Self::at(dir, log)
        }
    }

    /// In this directory, with the log in a file elsewhere.
    pub fn at(dir: PathBuf, log: PathBuf) -> Self {
        let free = StdListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let listen = format!("127.0.0.1:{port}");
        let made = Command::new(PROGRAM)
            .args(["init", "--name", "demo", "--listen", &listen, "--dir"])
            .arg(&dir)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let operator = read_signing_key(&dir.join(DataDir::OPERATOR), None).unwrap();
        let genesis = read_genesis(&dir.join("genesis/genesis-1.json")).unwrap();
        let network = TrustChain::trusting(&genesis).unwrap().network();
        Self {
            _folder: None,
            log,
            dir,
            port,
            operator,
            network,
        }
    }

    /// Goes by these settings, and by the defaults otherwise.
    pub fn configure(&self, settings: &str) {
        let listen = format!("listen = \"127.0.0.1:{}\"\n", self.port);
        fs::write(self.dir.join(DataDir::CONFIG), listen + settings).unwrap();
    }

    /// Starts the server, and waits until it listens.
    pub async fn serve(&self) -> Server {
        let log = self.log.clone();
        let out = fs::File::create(&log);
        let child = Command::new(PROGRAM)
            .args(["serve", "--dir"])
            .arg(&self.dir)
            .stdin(Stdio::null())
            .stderr(out.unwrap())
            .spawn()
            .unwrap();
        let server = Server { child, log };
        server.logged("\"listening\"").await;
        server
    }

    pub async fn connect(&self, versions: &[&'static SupportedProtocolVersion]) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        self.secure(stream, versions).await
    }

    /// Speaks TLS over `stream`, and trusts this authority's certificate alone.
    pub async fn secure(
        &self,
        stream: TcpStream,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Connection {
        let pem = fs::read(self.dir.join("tls.crt")).unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await.unwrap()
    }

    /// The text of a request, signed if there is a key.
    pub fn request(
        &self,
        key: Option<&SigningKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> String {
        let origin: Origin = format!("https://127.0.0.1:{}", self.port).parse().unwrap();
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            origin.authority(),
            body.len()
        );
        if let Some(key) = key {
            let parts = RequestParts {
                network: self.network,
                origin: &origin,
                method,
                target,
                body: body.as_bytes(),
            };
            let now = tidegate_authority::Clock::system().now();
            let signature = parts.sign(key, now, nonce());
            head.push_str(&format!("Authorization: {signature}\r\n"));
        }
        if !body.is_empty() {
            head.push_str("Content-Type: application/json\r\n");
        }
        format!("{head}\r\n{body}")
    }

    pub async fn ask(
        &self,
        key: Option<&SigningKey>,
        method: &str,
        target: &str,
        body: &str,
    ) -> Answer {
        let mut connection = self.connect(rustls::ALL_VERSIONS).await;
        let request = self.request(key, method, target, body);
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        connection.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, text) = text.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            text: text.to_owned(),
        }
    }

    /// What the first operator asks, who may everything.
    pub async fn decide(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = self.ask(Some(&self.operator), method, target, &body).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        answer
    }

    /// Lets a node in.
    pub async fn admit(&self, node: &TestNode, name: &str) {
        let new = serde_json::json!({ "uses": 1, "valid_for": 60_000 });
        let made = self.decide("POST", "/v1/invites", &new).await.value();
        let invite: Invite = made["invite"].as_str().unwrap().parse().unwrap();
        let keys = serde_json::to_string(&node.keys()).unwrap();
        let target = "/v1/enroll/challenge";
        let asked = self.ask(Some(&node.identity), "POST", target, &keys).await;
        let challenge: Challenge = strict::read(asked.text.as_bytes(), 64 * 1024).unwrap();
        let origin = format!("https://127.0.0.1:{}", self.port).parse().unwrap();
        let place = Place {
            network: self.network,
            origin: &origin,
        };
        let answer = node
            .keys()
            .answer(place, &challenge, &node.wireguard, &node.sealing)
            .unwrap();
        let enroll = api::Enroll {
            keys: node.keys(),
            challenge: challenge.nonce,
            answer,
            name: name.parse().unwrap(),
            routes: BoundedSet::default(),
            token: Some(invite.token),
        };
        let body = serde_json::to_string(&enroll).unwrap();
        let enrolled = self
            .ask(Some(&node.identity), "POST", "/v1/enroll", &body)
            .await;
        assert_eq!(enrolled.status, 200, "{enrolled:?}");
    }

    /// The value of the first sample that begins so.
    pub async fn measured(&self, begin: &str) -> f64 {
        let metrics = self.ask(None, "GET", "/metrics", "").await;
        let line = metrics.text.lines().find(|line| line.starts_with(begin));
        let value = line.and_then(|line| line.rsplit_once(' '));
        value
            .unwrap_or_else(|| panic!("no {begin}: {}", metrics.text))
            .1
            .parse()
            .unwrap()
    }

    /// Runs another command of the program over the directory.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--dir").arg(&self.dir);
        command.output().unwrap()
    }
}

impl Answer {
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

impl Server {
    /// Sends a signal by its name: TERM, INT, HUP.
    pub fn signal(&self, name: &str) {
        let (name, process) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([name, process]).status();
        assert!(sent.unwrap().success());
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the log says so.
    pub async fn logged(&self, text: &str) {
        until(text, || self.log().contains(text)).await;
    }

    /// Waits for the end.
    pub async fn ended(mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until `text` has come; everything that came.
pub async fn read_until(connection: &mut Connection, text: &str) -> String {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let reading = async {
        loop {
            let count = connection.read(&mut buffer).await.unwrap();
            all.extend_from_slice(&buffer[..count]);
            let so_far = String::from_utf8_lossy(&all).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            assert!(count > 0, "it ended before '{text}': {so_far}");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}
