//! The client: which authority is asked, over which connection, how often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::de::DeserializeOwned;
use tidegate_proto::api::SecretText;
use tidegate_proto::{Nonce, Origin, Signed, SigningKey, TimeStatement};
use tokio::time::timeout;

use super::answer::Answer;
use super::connection::{Connection, Lost};
use super::idle::{Idle, Target};
use super::request::Ask;
use super::unknown::Unknown;
use super::{ClientError, Clock, Identity, NodeClient, OperatorClient, Site};

/// How long is waited for what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeouts {
    /// For a name, for a connection, and for its TLS handshake.
    pub connect: Duration,
    /// For a whole answer.
    pub answer: Duration,
    /// For a sign of life of a stream; the authority gives one each ten seconds.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            silence: Duration::from_secs(30),
        }
    }
}

/// A client of one network's authority. Clones share connections and clock.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    target: RwLock<Arc<Target>>,
    /// Which of the URLs answered last.
    preferred: AtomicUsize,
    idle: Idle,
    clock: Arc<Clock>,
    timeouts: Timeouts,
    unknown: Arc<Unknown>,
}

impl Client {
    /// A client of the authority at `site`.
    pub fn new(site: Site, clock: Arc<Clock>, timeouts: Timeouts) -> Result<Self, ClientError> {
        Ok(Self(Arc::new(Shared {
            target: RwLock::new(Target::new(site)?),
            preferred: AtomicUsize::new(0),
            idle: Idle::default(),
            clock,
            timeouts,
            unknown: Arc::default(),
        })))
    }

    /// As who holds this identity key.
    pub fn as_node(&self, key: Arc<SigningKey>) -> NodeClient {
        NodeClient::new(self.clone(), key)
    }

    /// As the operator with this key.
    pub fn as_operator(&self, key: Arc<SigningKey>) -> OperatorClient {
        OperatorClient::new(self.clone(), Identity::Key(key))
    }

    /// As who holds this API token.
    pub fn with_token(&self, token: SecretText) -> OperatorClient {
        OperatorClient::new(self.clone(), Identity::Token(token))
    }

    /// The authority is found and recognised in another way from now on, after a succession.
    pub fn move_to(&self, site: Site) -> Result<(), ClientError> {
        let target = Target::new(site)?;
        *self
            .0
            .target
            .write()
            .unwrap_or_else(PoisonError::into_inner) = target;
        self.0.idle.clear();
        Ok(())
    }

    /// The authority as it is found now.
    pub fn site(&self) -> Site {
        self.target().site.clone()
    }

    /// How long it waits for what.
    pub fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    /// The authority's time, as well as it is known.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.0.clock
    }

    /// Events of streams that this program does not know.
    pub fn unknown(&self) -> Arc<Unknown> {
        Arc::clone(&self.0.unknown)
    }

    /// The network has changed: connections that wait for a question may lead nowhere by now.
    pub fn forget_connections(&self) {
        self.0.idle.clear();
    }

    fn target(&self) -> Arc<Target> {
        Arc::clone(&self.0.target.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks, and reads an answer of at most `limit` bytes as a `T`.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        identity: &Identity,
        ask: Ask,
        limit: usize,
    ) -> Result<T, ClientError> {
        self.answer(identity, &ask, limit).await?.parse()
    }

    /// Asks for something to be done of which nothing needs to be told.
    pub(super) async fn tell(&self, identity: &Identity, ask: Ask) -> Result<(), ClientError> {
        self.answer(identity, &ask, 0).await.map(|_| ())
    }

    /// Asks, with a second time if the clock was off and no more than that.
    pub(super) async fn answer(
        &self,
        identity: &Identity,
        ask: &Ask,
        limit: usize,
    ) -> Result<Answer, ClientError> {
        let (answer, nonce) = self.ask_around(identity, ask, limit).await?;
        let origin = answer.origin.clone();
        match answer.accepted() {
            Err(refusal) if self.corrected(&origin, &refusal, nonce)? => {
                let (answer, _) = self.ask_around(identity, ask, limit).await?;
                answer.accepted()
            }
            other => other,
        }
    }

    /// Whether the refusal brought the right time, which is then in force.
    fn corrected(
        &self,
        origin: &Origin,
        refusal: &ClientError,
        nonce: Option<Nonce>,
    ) -> Result<bool, ClientError> {
        let ClientError::Refused(problem) = refusal else {
            return Ok(false);
        };
        let (Some(time), Some(nonce)) = (&problem.time, nonce) else {
            return Ok(false);
        };
        self.accept_time(origin, time, nonce)?;
        tracing::warn!(
            correction_ms = self.clock().correction(),
            "this machine's clock is off"
        );
        Ok(true)
    }

    /// Takes over the time of a statement that answers `nonce`.
    pub(super) fn accept_time(
        &self,
        origin: &Origin,
        time: &Signed<TimeStatement>,
        nonce: Nonce,
    ) -> Result<(), ClientError> {
        let keyring = &self.target().site.keyring;
        let statement = time.verify(keyring, self.clock().now());
        let statement = statement.map_err(|error| ClientError::time(origin, &error))?;
        if statement.nonce != nonce {
            return Err(ClientError::Time {
                origin: origin.clone(),
                reason: "it answers another question".to_owned(),
            });
        }
        self.clock().correct(statement.at);
        Ok(())
    }

    /// Asks one authority after the other until one answers. One that cannot serve now counts as one that does not.
    async fn ask_around(
        &self,
        identity: &Identity,
        ask: &Ask,
        limit: usize,
    ) -> Result<(Answer, Option<Nonce>), ClientError> {
        let target = self.target();
        let first = self.0.preferred.load(Ordering::Relaxed);
        let count = target.site.urls.len();
        let mut last = Err(ClientError::NoUrl);
        for at in (0..count).map(|step| (first + step) % count) {
            last = self
                .ask_one(&target, &target.site.urls[at], identity, ask, limit)
                .await;
            match &last {
                Ok((answer, _)) if answer.status.as_u16() == 503 => {}
                Err(error) if may_ask_elsewhere(error, ask) => {}
                _ => {
                    self.0.preferred.store(at, Ordering::Relaxed);
                    return last;
                }
            }
        }
        last
    }

    async fn ask_one(
        &self,
        target: &Arc<Target>,
        origin: &Origin,
        identity: &Identity,
        ask: &Ask,
        limit: usize,
    ) -> Result<(Answer, Option<Nonce>), ClientError> {
        let asked = async {
            let (response, connection, nonce) = self.send(target, origin, identity, ask).await?;
            let answer = Answer::read(origin, response, limit).await?;
            self.0.idle.keep(target, origin, connection);
            Ok((answer, nonce))
        };
        let late = |_| ClientError::Unanswered {
            origin: origin.clone(),
            reason: format!("not within {} seconds", self.0.timeouts.answer.as_secs()),
        };
        timeout(self.0.timeouts.answer, asked).await.map_err(late)?
    }

    /// Sends the request, over a connection that is at hand if there is one, and waits for the answer's head.
    async fn send(
        &self,
        target: &Arc<Target>,
        origin: &Origin,
        identity: &Identity,
        ask: &Ask,
    ) -> Result<(Response<Incoming>, Connection, Option<Nonce>), ClientError> {
        if let Some(mut connection) = self.0.idle.take(target, origin) {
            let (request, nonce) = self.addressed(target, origin, identity, ask)?;
            match connection.ask(request).await {
                Ok(response) => return Ok((response, connection, nonce)),
                Err(Lost::Unanswered(reason)) if !ask.is_repeatable() => {
                    return Err(unanswered(origin, reason));
                }
                Err(_) => {} // it was closed meanwhile
            }
        }
        let config = Arc::clone(&target.config);
        let mut connection = Connection::open(origin, config, self.0.timeouts.connect).await?;
        let (request, nonce) = self.addressed(target, origin, identity, ask)?;
        let response = ask_new(&mut connection, origin, request).await?;
        Ok((response, connection, nonce))
    }

    fn addressed(
        &self,
        target: &Target,
        origin: &Origin,
        identity: &Identity,
        ask: &Ask,
    ) -> Result<(Request<Full<Bytes>>, Option<Nonce>), ClientError> {
        ask.addressed(target.site.network, origin, identity, self.clock().now())
    }

    /// Opens a stream at one authority after the other.
    pub(super) async fn open_stream(
        &self,
        identity: &Identity,
        ask: &Ask,
    ) -> Result<(Origin, Response<Incoming>, Connection), ClientError> {
        match self.stream_around(identity, ask).await? {
            Opened::Stream(stream) => Ok(stream),
            Opened::Refused(refusal, origin, nonce) => {
                if !self.corrected(&origin, &refusal, nonce)? {
                    return Err(refusal);
                }
                match self.stream_around(identity, ask).await? {
                    Opened::Stream(stream) => Ok(stream),
                    Opened::Refused(refusal, ..) => Err(refusal),
                }
            }
        }
    }

    async fn stream_around(&self, identity: &Identity, ask: &Ask) -> Result<Opened, ClientError> {
        let target = self.target();
        let first = self.0.preferred.load(Ordering::Relaxed);
        let count = target.site.urls.len();
        let mut last = Err(ClientError::NoUrl);
        for at in (0..count).map(|step| (first + step) % count) {
            last = self
                .stream_at(&target, &target.site.urls[at], identity, ask)
                .await;
            match &last {
                Ok(Opened::Refused(ClientError::Refused(problem), ..)) if problem.status == 503 => {
                }
                Err(error) if may_ask_elsewhere(error, ask) => {}
                _ => {
                    self.0.preferred.store(at, Ordering::Relaxed);
                    return last;
                }
            }
        }
        last
    }

    async fn stream_at(
        &self,
        target: &Arc<Target>,
        origin: &Origin,
        identity: &Identity,
        ask: &Ask,
    ) -> Result<Opened, ClientError> {
        let begun = async {
            let (response, connection, nonce) = self.send(target, origin, identity, ask).await?;
            if response.status().is_success() {
                return Ok(Opened::Stream((origin.clone(), response, connection)));
            }
            let answer = Answer::read(origin, response, 0).await?;
            match answer.accepted() {
                Err(refusal) => Ok(Opened::Refused(refusal, origin.clone(), nonce)),
                Ok(_) => Err(unanswered(origin, "not a stream".to_owned())),
            }
        };
        let late = |_| unanswered(origin, "no stream in time".to_owned());
        timeout(self.0.timeouts.answer, begun).await.map_err(late)?
    }
}

/// What came of asking for a stream.
enum Opened {
    Stream((Origin, Response<Incoming>, Connection)),
    Refused(ClientError, Origin, Option<Nonce>),
}

async fn ask_new(
    connection: &mut Connection,
    origin: &Origin,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ClientError> {
    connection.ask(request).await.map_err(|lost| match lost {
        Lost::Unsent(reason) => ClientError::Unreachable {
            origin: origin.clone(),
            reason,
        },
        Lost::Unanswered(reason) => unanswered(origin, reason),
    })
}

fn unanswered(origin: &Origin, reason: String) -> ClientError {
    ClientError::Unanswered {
        origin: origin.clone(),
        reason,
    }
}

fn may_ask_elsewhere(error: &ClientError, ask: &Ask) -> bool {
    match error {
        ClientError::Unreachable { .. } | ClientError::Untrusted { .. } => true,
        ClientError::Unanswered { .. } => ask.is_repeatable(),
        _ => false,
    }
}
