//! The authority: what core asks of it, and what it sends.
//!
//! Nothing here is trusted or decided: answers and events go to core as they came. The stream comes back by itself;
//! whatever else fails is told to core, which knows when to ask again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_core::{Ask, Input, Member};
use tokio::sync::{mpsc, watch};

use super::carrier::{Carrier, carry};
use super::inbox::{Inbox, Message};
use crate::client::{Client, ClientError, NodeClient, Session, SessionEvent, Site, Unknown};

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

enum Steer {
    Resync,
    Hurry,
    Reopen,
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
        self.client.forget_connections();
        // Several at once are as good as one.
        let _ = self.steer.try_send(Steer::Hurry);
    }

    /// The host slept: connections may be dead, and nobody has said so.
    pub(super) fn wake(&self) {
        self.client.forget_connections();
        let _ = self.steer.try_send(Steer::Reopen);
    }

    /// A succession has moved it, or changed how it is recognised.
    pub(super) fn move_to(&self, site: Site) {
        if let Err(error) = self.client.move_to(site) {
            tracing::error!(%error, "the new genesis names an authority that cannot be asked");
        }
    }

    /// Events of its stream that this version does not know.
    pub(super) fn unknown(&self) -> Arc<Unknown> {
        self.client.unknown()
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

pub(super) fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

struct Stream {
    session: Session,
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
                    Some(Steer::Reopen) => {
                        self.session.reopen();
                        continue;
                    }
                    None => return,
                },
                event = self.session.next() => event,
            };
            if let Some(input) = self.take(event)
                && self.inbox.send(Message::Core(input)).await.is_err()
            {
                return;
            }
        }
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
                match error {
                    ClientError::Refused(problem) => Some(Input::StreamRefused {
                        code: problem.code.to_string(),
                    }),
                    _ => was_open.then_some(Input::StreamClosed),
                }
            }
        }
    }
}
