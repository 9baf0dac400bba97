//! The stream client: what it keeps, and how it comes back.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::fixtures::{NOW, Network, set};
use support::{Reply, Server};
use tidegate::client::{
    Client, ClientError, Clock, NodeClient, Resumed, Session, SessionEvent, Site, StreamEnd,
    Timeouts,
};
use tidegate_proto::api::StreamEvent;
use tidegate_proto::{Signed, TlsTrust};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What streams bring that were not asked for yet, and whether each resumes.
type Coming = Arc<Mutex<Vec<(UnboundedReceiver<String>, bool)>>>;

/// A server whose streams are what the test sends.
struct Streams {
    server: Server,
    next: Coming,
}

impl Streams {
    async fn start() -> Self {
        let next = Coming::default();
        let queue = Arc::clone(&next);
        let server = Server::start(move |asked| {
            if asked.target != "/v1/stream" {
                return Reply::Json(404, b"{}".to_vec());
            }
            let mut queue = queue.lock().unwrap();
            if queue.is_empty() {
                return Reply::Hangup;
            }
            let (events, resumed) = queue.remove(0);
            Reply::Events(events, resumed)
        });
        Self {
            server: server.await,
            next,
        }
    }

    /// The next stream that a client is given.
    fn stream(&self, resumed: bool) -> UnboundedSender<String> {
        let (sender, receiver) = unbounded_channel();
        self.next.lock().unwrap().push((receiver, resumed));
        sender
    }

    fn node(&self) -> NodeClient {
        let network = Network::new();
        let site = Site {
            network: network.genesis.network,
            urls: vec![self.server.origin()],
            tls: TlsTrust::Pins(set([self.server.pin])),
            keyring: network.keyring(),
        };
        let timeouts = Timeouts {
            silence: Duration::from_secs(2),
            ..Timeouts::default()
        };
        let client = Client::new(site, Arc::new(Clock::of(|| NOW)), timeouts).unwrap();
        client.as_node(Arc::new(network.identity))
    }

    fn asked_behind(&self) -> Vec<Option<String>> {
        self.server
            .seen()
            .into_iter()
            .map(|seen| seen.last_event_id)
            .collect()
    }
}

fn list() -> StreamEvent {
    let network = Network::new();
    StreamEvent::List(Signed::sign(&network.revocation_list(), &[&network.authority]).unwrap())
}

fn text(id: &str, event: &StreamEvent) -> String {
    let data = serde_json::to_string(event).unwrap();
    format!("event: {}\nid: {id}\ndata: {data}\n\n", event.name())
}

async fn next(session: &mut Session) -> SessionEvent {
    timeout(Duration::from_secs(20), session.next())
        .await
        .expect("an event")
}

async fn lost(session: &mut Session) -> ClientError {
    match next(session).await {
        SessionEvent::Lost { error, retry_in } => {
            assert!(retry_in <= Duration::from_secs(4));
            error
        }
        other => panic!("{other:?} where the stream should be lost"),
    }
}

#[tokio::test]
async fn a_session_takes_a_stream_up_behind_the_last_event() {
    let streams = Streams::start().await;
    let (first, second) = (streams.stream(false), streams.stream(true));
    let mut session = streams.node().session();
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::No));
    for id in ["a-1", "a-2"] {
        first.send(text(id, &list())).unwrap();
        assert_eq!(
            next(&mut session).await,
            SessionEvent::Event(Box::new(list()))
        );
    }
    drop(first);
    assert!(matches!(
        lost(&mut session).await,
        ClientError::Stream {
            reason: StreamEnd::Closed,
            ..
        }
    ));
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::Yes));
    drop(second);
    lost(&mut session).await;
    let _third = streams.stream(false);
    assert_eq!(
        next(&mut session).await,
        SessionEvent::Open(Resumed::No),
        "the authority says so"
    );
    let asked = streams.asked_behind();
    assert_eq!(asked, [None, Some("a-2".into()), Some("a-2".into())]);
}

#[tokio::test]
async fn a_stream_without_a_sign_of_life_is_dead_and_keepalives_are_one() {
    let streams = Streams::start().await;
    let stream = streams.stream(false);
    let mut session = streams.node().session();
    next(&mut session).await;
    let feeding = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await; // half of what counts as silence
            stream.send(": still here\n\n".to_owned()).unwrap();
        }
        stream.send(text("a-1", &list())).unwrap();
    };
    let (event, ()) = tokio::join!(next(&mut session), feeding);
    assert!(matches!(event, SessionEvent::Event(_)), "{event:?}");
    let error = lost(&mut session).await;
    assert!(
        matches!(
            error,
            ClientError::Stream {
                reason: StreamEnd::Silent(2),
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_silent_stream_is_dead_in_time_however_often_the_waiting_is_cut_short() {
    let streams = Streams::start().await;
    let _stream = streams.stream(false);
    let mut session = streams.node().session();
    next(&mut session).await;
    let restless = async {
        loop {
            if let Ok(event) = timeout(Duration::from_millis(100), session.next()).await {
                return event;
            }
        }
    };
    let event = timeout(Duration::from_secs(20), restless).await.unwrap();
    assert!(matches!(event, SessionEvent::Lost { .. }), "{event:?}");
}

#[tokio::test]
async fn a_stream_that_broke_off_is_taken_up_over_a_new_connection() {
    let streams = Streams::start().await;
    let (first, _second) = (streams.stream(false), streams.stream(true));
    let node = streams.node();
    let mut session = node.session();
    next(&mut session).await;
    assert!(node.policy().await.is_err(), "there is none");
    assert_eq!(streams.server.connections(), 2, "one of them waits");
    drop(first);
    lost(&mut session).await;
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::Yes));
    assert_eq!(streams.server.connections(), 3);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_not_skipped() {
    let other_name = text("a-2", &list()).replace("event: list", "event: grant");
    let unreadable = "event: list\nid: a-2\ndata: {\"list\":1}\n\n".to_owned();
    for bad in [other_name, unreadable] {
        let streams = Streams::start().await;
        let first = streams.stream(false);
        let mut session = streams.node().session();
        next(&mut session).await;
        first.send(text("a-1", &list())).unwrap();
        next(&mut session).await;
        first.send(bad).unwrap();
        assert!(matches!(
            lost(&mut session).await,
            ClientError::Stream { .. }
        ));
        let _second = streams.stream(false);
        next(&mut session).await;
        assert_eq!(
            streams.asked_behind(),
            [None, None],
            "it asks for everything anew"
        );
    }
}

#[tokio::test]
async fn events_of_a_later_version_are_passed_over() {
    let streams = Streams::start().await;
    let (first, second) = (streams.stream(false), streams.stream(true));
    let node = streams.node();
    let (mut session, unknown) = (node.session(), node.client().unknown());
    next(&mut session).await;
    for id in ["a-1", "a-2"] {
        let later = format!("event: weather\nid: {id}\ndata: {{\"rain\":true}}\n\n");
        first.send(later).unwrap();
    }
    first.send(text("a-3", &list())).unwrap();
    let known = SessionEvent::Event(Box::new(list()));
    assert_eq!(next(&mut session).await, known);
    assert_eq!(unknown.seen(), 2);
    first
        .send("event: weather\nid: a-4\ndata: no JSON at all\n\n".to_owned())
        .unwrap();
    drop(first);
    lost(&mut session).await;
    assert_eq!(unknown.seen(), 3);
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::Yes));
    drop(second);
    let behind = streams.asked_behind();
    assert_eq!(behind, [None, Some("a-4".into())], "also behind an unknown");
}

#[tokio::test]
async fn a_stream_is_opened_again_where_it_was_after_a_sleep_and_left_alone_while_it_lives() {
    let streams = Streams::start().await;
    let (first, _second) = (streams.stream(false), streams.stream(true));
    let mut session = streams.node().session();
    next(&mut session).await;
    first.send(text("a-1", &list())).unwrap();
    next(&mut session).await;
    session.hurry();
    first.send(text("a-2", &list())).unwrap();
    let known = SessionEvent::Event(Box::new(list()));
    assert_eq!(next(&mut session).await, known, "its address is still ours");
    session.reopen();
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::Yes));
    assert_eq!(streams.asked_behind(), [None, Some("a-2".into())]);
}

#[tokio::test]
async fn nothing_is_lost_when_the_waiting_is_cut_short() {
    let streams = Streams::start().await;
    let stream = streams.stream(false);
    let mut session = streams.node().session();
    let mut opened = false;
    while !opened {
        let impatient = timeout(Duration::from_millis(1), session.next()).await;
        opened = matches!(impatient, Ok(SessionEvent::Open(_)));
    }
    let whole = text("a-1", &list());
    for piece in [&whole[..40], &whole[40..90], &whole[90..]] {
        assert!(
            timeout(Duration::from_millis(20), session.next())
                .await
                .is_err()
        );
        stream.send(piece.to_owned()).unwrap();
    }
    assert_eq!(
        next(&mut session).await,
        SessionEvent::Event(Box::new(list()))
    );
    assert_eq!(streams.server.seen().len(), 1);
}

#[tokio::test]
async fn a_resync_asks_for_everything_anew() {
    let streams = Streams::start().await;
    let (first, _second) = (streams.stream(false), streams.stream(false));
    let mut session = streams.node().session();
    next(&mut session).await;
    first.send(text("a-1", &list())).unwrap();
    next(&mut session).await;
    session.resync();
    assert_eq!(next(&mut session).await, SessionEvent::Open(Resumed::No));
    assert_eq!(streams.asked_behind(), [None, None]);
}
