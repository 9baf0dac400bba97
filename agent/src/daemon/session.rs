//! The authority: what core asks of it, and what it sends.
//!
//! Nothing here is trusted or decided: answers and events go to core as they came. The stream comes back by itself;
//! whatever else fails is told to core, which knows when to ask again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::{Answer, Ask, AskKind, Failure, Input, Member};
use tidegate_proto::api::{Enroll, Enrolled, Renew, StreamEvent};
use tidegate_proto::{Certificate, NodeKeys, NodeName, Prefix, Signed};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::inbox::{Inbox, Message};
use crate::client::{Client, ClientError, NodeClient, Session, SessionEvent, Site};

/// The authority that the member's genesis names; none once the root contradicts itself.
pub(super) fn site(member: &Member) -> Option<Site> {
    let genesis = member.genesis();
    Some(Site {
        network: genesis.network,
        urls: genesis.urls.to_vec(),
        tls: genesis.tls.clone(),
        keyring: member.authority_keys()?,
    })
}

/// Questions that may wait.
const ASKS: usize = 256;
/// Questions under way at a time.
const AT_ONCE: usize = 16;

/// The authority, as far as it was seen.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen {
    /// Where it is sought first.
    pub(crate) url: String,
    /// Whether the stream is open.
    pub(crate) stream: bool,
    /// When it answered last, in milliseconds since 1970.
    pub(crate) heard: Option<u64>,
    /// What went wrong since.
    pub(crate) trouble: Option<String>,
    /// Streams that broke or did not open.
    pub(crate) breaks: u64,
    /// Requests that failed.
    pub(crate) failures: u64,
    /// Requests that were answered.
    pub(crate) answers: u64,
}

/// A challenge that only the loop can answer, for it has the keys.
pub(super) struct Challenged {
    pub(super) keys: NodeKeys,
    pub(super) challenge: tidegate_proto::Challenge,
    pub(super) origin: tidegate_proto::Origin,
    pub(super) answer: oneshot::Sender<Option<Solved>>,
}

/// What the loop knows for an answer.
pub(super) struct Solved {
    pub(super) answer: tidegate_proto::Answer,
    /// The name and the networks of the last certificate, for a new enrolment.
    pub(super) name: Option<NodeName>,
    pub(super) routes: Vec<Prefix>,
}

enum Steer {
    Resync,
    Hurry,
}

/// Where questions are handed in. Dropping it ends everything.
pub(super) struct Authority {
    asks: mpsc::Sender<Ask>,
    steer: mpsc::Sender<Steer>,
    seen: watch::Receiver<Seen>,
    client: Client,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Authority {
    /// Starts to follow the stream and to carry questions.
    pub(super) fn start(node: NodeClient, inbox: Inbox) -> Self {
        let client = node.client().clone();
        let (asks, queue) = mpsc::channel(ASKS);
        let (steer, steering) = mpsc::channel(8);
        let (view, seen) = watch::channel(Seen {
            url: first_url(&client),
            ..Seen::default()
        });
        let carrier = Carrier {
            node: node.clone(),
            inbox: inbox.clone(),
            view: view.clone(),
        };
        let stream = Stream {
            session: node.session(),
            client: client.clone(),
            inbox,
            view,
        };
        let tasks = vec![
            tokio::spawn(carry(carrier, queue)),
            tokio::spawn(stream.follow(steering)),
        ];
        Self {
            asks,
            steer,
            seen,
            client,
            tasks,
        }
    }

    /// Hands in a question. What finds no room comes back as one that was not answered: `false`.
    pub(super) fn ask(&self, ask: Ask) -> bool {
        if matches!(ask, Ask::Resync) {
            return self.steer.try_send(Steer::Resync).is_ok();
        }
        self.asks.try_send(ask).is_ok()
    }

    /// The network has changed: it may be reachable again.
    pub(super) fn hurry(&self) {
        // Several at once are as good as one.
        let _ = self.steer.try_send(Steer::Hurry);
    }

    /// A succession has moved it, or changed how it is recognised.
    pub(super) fn move_to(&self, site: Site) {
        if let Err(error) = self.client.move_to(site) {
            tracing::error!(%error, "the new genesis names an authority that cannot be asked");
        }
    }

    /// How it was seen.
    pub(super) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.clone()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn first_url(client: &Client) -> String {
    let site = client.site();
    site.urls
        .first()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Stream {
    session: Session,
    client: Client,
    inbox: Inbox,
    view: watch::Sender<Seen>,
}

impl Stream {
    async fn follow(mut self, mut steering: mpsc::Receiver<Steer>) {
        loop {
            let event = tokio::select! {
                order = steering.recv() => match order {
                    Some(Steer::Resync) => {
                        self.session.resync();
                        continue;
                    }
                    Some(Steer::Hurry) => {
                        self.session.hurry();
                        continue;
                    }
                    None => return,
                },
                event = self.session.next() => event,
            };
            if let SessionEvent::Lost {
                error: ClientError::Refused(_),
                ..
            } = &event
            {
                self.ask_why();
            }
            let input = self.take(event);
            if let Some(input) = input
                && self.inbox.send(Message::Core(input)).await.is_err()
            {
                return;
            }
        }
    }

    /// Who is refused may be on the list, which is public: core is shown it, and believes its signatures alone.
    fn ask_why(&self) {
        let (client, inbox) = (self.client.clone(), self.inbox.clone());
        tokio::spawn(async move {
            match client.revocation_list().await {
                Ok(list) => {
                    let news = Input::News(Box::new(StreamEvent::List(list)));
                    let _ = inbox.send(Message::Core(news)).await; // the loop has ended
                }
                Err(error) => tracing::debug!(%error, "the revocation list is not to be had"),
            }
        });
    }

    fn take(&self, event: SessionEvent) -> Option<Input> {
        match event {
            SessionEvent::Open(_) => {
                tracing::info!("the authority's stream is open");
                self.view.send_modify(|seen| {
                    seen.stream = true;
                    seen.heard = Some(unix_millis());
                    seen.trouble = None;
                });
                Some(Input::StreamOpened)
            }
            SessionEvent::Event(event) => {
                self.view
                    .send_modify(|seen| seen.heard = Some(unix_millis()));
                Some(Input::News(event))
            }
            SessionEvent::Lost { error, retry_in } => {
                let was_open = self.view.borrow().stream;
                if was_open {
                    tracing::warn!(%error, ?retry_in, "the authority's stream broke off");
                } else {
                    tracing::debug!(%error, ?retry_in, "the authority's stream does not open");
                }
                self.view.send_modify(|seen| {
                    seen.stream = false;
                    seen.trouble = Some(error.to_string());
                    seen.breaks += 1;
                });
                was_open.then_some(Input::StreamClosed)
            }
        }
    }
}

#[derive(Clone)]
struct Carrier {
    node: NodeClient,
    inbox: Inbox,
    view: watch::Sender<Seen>,
}

async fn carry(carrier: Carrier, mut queue: mpsc::Receiver<Ask>) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(ask) = queue.recv().await {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let carrier = carrier.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let input = carrier.carry(ask).await;
            // The loop has ended when nobody takes it.
            let _ = carrier.inbox.send(Message::Core(input)).await;
        });
    }
}

impl Carrier {
    async fn carry(&self, ask: Ask) -> Input {
        let kind = ask.kind();
        match self.asked(ask).await {
            Ok(input) => {
                self.view.send_modify(|seen| {
                    seen.heard = Some(unix_millis());
                    seen.trouble = None;
                    seen.answers += 1;
                });
                input
            }
            Err(error) => {
                tracing::info!(?kind, %error, "the authority did not do what it was asked for");
                self.view.send_modify(|seen| {
                    seen.failures += 1;
                    if !matches!(error, ClientError::Refused(_)) {
                        seen.trouble = Some(error.to_string());
                    }
                });
                Input::Answered(kind, Answer::Failed(failure(&error)))
            }
        }
    }

    async fn asked(&self, ask: Ask) -> Result<Input, ClientError> {
        let done = |kind| Input::Answered(kind, Answer::Done);
        Ok(match ask {
            Ask::Time(nonce) => Input::Time(self.node.client().time(nonce).await?),
            Ask::Heartbeat(heartbeat) => Input::Time(self.node.heartbeat(&heartbeat).await?.time),
            Ask::Receipt(receipt) => {
                self.node.put_receipt(&receipt).await?;
                done(AskKind::Receipt)
            }
            Ask::Record(record) => {
                self.node.put_record(&record).await?;
                done(AskKind::Record)
            }
            Ask::Renew(keys) => Input::Certificate(self.renewed(*keys).await?),
            Ask::Enroll(keys) => match self.enrolled(*keys).await? {
                Enrolled::Admitted(certificate) => Input::Certificate(certificate),
                Enrolled::Pending => pending(AskKind::Enroll),
            },
            Ask::Chain => Input::Chain(self.node.client().genesis_chain().await?),
            Ask::List => {
                let list = self.node.client().revocation_list().await?;
                Input::News(Box::new(StreamEvent::List(list)))
            }
            other => done(other.kind()),
        })
    }

    async fn renewed(&self, keys: NodeKeys) -> Result<Signed<Certificate>, ClientError> {
        let (challenge, origin) = self.node.renewal_challenge(&keys).await?;
        let nonce = challenge.nonce;
        let solved = self.solve(&keys, challenge, origin).await?;
        let renew = Renew {
            keys,
            challenge: nonce,
            answer: solved.answer,
        };
        self.node.renew(&renew).await
    }

    async fn enrolled(&self, keys: NodeKeys) -> Result<Enrolled, ClientError> {
        let (challenge, origin) = self.node.challenge(&keys).await?;
        let nonce = challenge.nonce;
        let solved = self.solve(&keys, challenge, origin.clone()).await?;
        let name = solved.name.ok_or_else(|| ClientError::Malformed {
            origin,
            reason: "it asks for a new enrolment of a node that has no name".to_owned(),
        })?;
        let enroll = Enroll {
            keys,
            challenge: nonce,
            answer: solved.answer,
            name,
            routes: tidegate_proto::BoundedSet::new(solved.routes).unwrap_or_default(),
            token: None,
        };
        self.node.enroll(&enroll).await
    }

    /// Has the loop answer a challenge.
    async fn solve(
        &self,
        keys: &NodeKeys,
        challenge: tidegate_proto::Challenge,
        origin: tidegate_proto::Origin,
    ) -> Result<Solved, ClientError> {
        let (answer, answered) = oneshot::channel();
        let challenged = Challenged {
            keys: keys.clone(),
            challenge,
            origin: origin.clone(),
            answer,
        };
        let message = Message::Challenge(Box::new(challenged));
        let _ = self.inbox.send(message).await; // else nobody answers, which is seen below
        let malformed = || ClientError::Malformed {
            origin,
            reason: "its challenge cannot be answered with the keys that it is for".to_owned(),
        };
        answered.await.ok().flatten().ok_or_else(malformed)
    }
}

fn pending(kind: AskKind) -> Input {
    let failure = Failure::Refused {
        code: "pending".to_owned(),
        detail: "an operator has still to admit this node again".to_owned(),
    };
    Input::Answered(kind, Answer::Failed(failure))
}

fn failure(error: &ClientError) -> Failure {
    match error {
        ClientError::Refused(problem) => Failure::Refused {
            code: problem.code.to_string(),
            detail: problem.detail.to_string(),
        },
        _ => Failure::Unreachable,
    }
}
