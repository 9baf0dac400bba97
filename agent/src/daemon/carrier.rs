//! Questions to the authority: each is carried there, and what became of it to core.

use std::sync::Arc;

use tidegate_core::{Answer, Ask, AskKind, Failure, Input};
use tidegate_proto::api::{Enroll, Enrolled, Renew, StreamEvent};
use tidegate_proto::{Certificate, NodeKeys, NodeName, Prefix, Signed};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::inbox::{Inbox, Message};
use super::session::{Seen, unix_millis};
use crate::client::{ClientError, NodeClient};

/// Questions under way at a time.
const AT_ONCE: usize = 16;

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

/// Carries a question to the authority, and its answer to the loop.
#[derive(Clone)]
pub(super) struct Carrier {
    pub(super) node: NodeClient,
    pub(super) inbox: Inbox,
    pub(super) view: watch::Sender<Seen>,
}

/// Carries questions until nobody can hand in more.
pub(super) async fn carry(carrier: Carrier, mut queue: mpsc::Receiver<Ask>) {
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
            Ask::Recovery(report) => {
                let awaited = self.node.recover(&report).await?.awaited;
                tracing::info!(awaited, "the authority was told what this node holds");
                done(AskKind::Recovery)
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
