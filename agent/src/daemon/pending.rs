//! A node that is not admitted yet: it asks now and then, and can be spoken to meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tidegate_proto::api::Enrolled;
use tidegate_proto::{Certificate, Signed, SigningKey};
use tokio::sync::{mpsc, oneshot};

use super::error::DaemonError;
use super::inbox::Message;
use super::systemd::Pulse;
use super::view::VERSION;
use crate::client::{Client, ClientError, Clock, GenesisChain, NodeClient, Timeouts};
use crate::exit::Exit;
use crate::local::{
    AuthorityView, ClockView, NetworkView, NodeState, Refusal, Reply, Request, StatusView,
};
use crate::state::Pending;

/// Between an answer of the authority and the next question.
const EVERY: Duration = Duration::from_secs(1);

/// How the wait ended.
pub(super) enum Waited {
    /// The node is in.
    Admitted(Box<Signed<Certificate>>),
    /// The process was told to stop.
    Stopped,
    /// The user gave up.
    Left(oneshot::Sender<Reply>),
}

/// Waits until the node is in, or the wait is over.
pub(super) async fn wait(
    identity: Arc<SigningKey>,
    pending: &Pending,
    inbox: &mut mpsc::Receiver<Message>,
) -> Result<Waited, DaemonError> {
    let (node, network) = client(identity, pending)?;
    let (mut pulse, mut trouble) = (Pulse::new(), None);
    // An authority that does not answer holds up nobody who asks here.
    let mut asked = pin!(ask(&node, Duration::ZERO));
    loop {
        tokio::select! {
            () = pulse.beat() => {}
            message = inbox.recv() => match message {
                Some(Message::Stop) | None => return Ok(Waited::Stopped),
                Some(Message::Request(Request::Leave {}, answer)) => return Ok(Waited::Left(answer)),
                Some(Message::Request(request, answer)) => {
                    let status = || status(&node, &network, pending, trouble.as_deref());
                    let reply = reply(&request, pending, status);
                    let _ = answer.send(reply); // whoever asked has gone
                }
                Some(_) => {}
            },
            enrolled = &mut asked => {
                trouble = match enrolled {
                    Ok(Enrolled::Admitted(certificate)) => {
                        return Ok(Waited::Admitted(Box::new(certificate)));
                    }
                    Ok(Enrolled::Pending) => None,
                    Err(ClientError::Refused(problem)) if is_final(problem.status) => {
                        return Err(DaemonError::Denied(problem.detail.to_string()));
                    }
                    Err(error) => Some(error.to_string()),
                };
                asked.set(ask(&node, EVERY));
            }
        }
    }
}

/// Asks after a pause whether the node is in.
async fn ask(node: &NodeClient, pause: Duration) -> Result<Enrolled, ClientError> {
    tokio::time::sleep(pause).await;
    node.enrolled().await
}

/// Whether asking again cannot help: anything that is not about load or time.
fn is_final(status: u16) -> bool {
    matches!(status, 403 | 404 | 409 | 410)
}

/// The way to the authority, and the network's name.
fn client(
    identity: Arc<SigningKey>,
    pending: &Pending,
) -> Result<(NodeClient, String), DaemonError> {
    let missing = || {
        DaemonError::Denied("the join under way has no genesis; leave and join again".to_owned())
    };
    let chain = GenesisChain::along(&pending.chain).ok_or_else(missing)??;
    let site = chain.site()?.preferring(&pending.url);
    let client = Client::new(site, Arc::new(Clock::system()), Timeouts::default())?;
    let network = chain.trust().genesis().name.to_string();
    Ok((client.as_node(identity), network))
}

fn reply(request: &Request, pending: &Pending, status: impl FnOnce() -> StatusView) -> Reply {
    match request {
        Request::Status { .. } => Reply::Status(Box::new(status())),
        Request::Log { level } => match crate::logs::change(level) {
            Ok(()) => Reply::Done,
            Err(error) => Reply::Refused(Refusal::new(Exit::Usage, error)),
        },
        _ => Reply::Refused(Refusal::new(Exit::Pending, waiting(pending))),
    }
}

fn waiting(pending: &Pending) -> String {
    format!(
        "waiting for an operator to admit this node; there: tidegate admin approve {}",
        pending.name
    )
}

fn status(
    node: &NodeClient,
    network: &str,
    pending: &Pending,
    trouble: Option<&str>,
) -> StatusView {
    StatusView {
        version: VERSION.to_owned(),
        state: NodeState::Pending,
        explanation: waiting(pending),
        network: network.to_owned(),
        revision: pending.chain.len() as u64,
        node: node.node().to_string(),
        certificate: None,
        epochs: Vec::new(),
        authority: AuthorityView {
            url: pending.url.to_string(),
            reachable: trouble.is_none(),
            trouble: trouble.map(str::to_owned),
            ..AuthorityView::default()
        },
        clock: ClockView::default(),
        list: None,
        policy: None,
        roster: None,
        plane: None,
        host: NetworkView::default(),
        peers: Vec::new(),
        dns: None,
        refused: None,
    }
}
