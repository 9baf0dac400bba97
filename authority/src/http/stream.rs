//! A node's stream of events.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use tidegate_proto::api::StreamEvent;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::answer::{Beginning, Events};
use super::app::{App, StreamPlace};
use super::door::ByMember;
use super::problem::Refusal;
use super::route::{Route, route};
use crate::service::{EventId, Frames, NodeStream, Pieces, Told};

/// How long a stream is silent at most.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(10);
/// A comment, which says that the stream lives.
pub(super) const COMMENT: &[u8] = b":\n\n";

pub(super) fn routes() -> Vec<Route> {
    vec![route(
        Method::GET,
        "/v1/stream",
        "What a node needs to know, now and as it changes",
        follow,
    )]
}

async fn follow(app: App, ByMember(asked): ByMember) -> Result<Events<StreamEvent>, Refusal> {
    let permit = app.stream_permit()?;
    let place = app.stream_place(&asked.caller.actor)?;
    let last = last_event(&asked.headers);
    let events = app.authority().stream(asked.node, last).await?;
    let beginning = Beginning::of(events.is_resumed());
    app.metrics().stream_opened("node", last.is_some());
    let open = Open {
        stopping: app.stopping(),
        app,
        events,
        _permit: permit,
        _place: place,
    };
    Ok(Events::new(beginning, Body::from_stream(open.frames())))
}

/// Behind which event the client resumes; an id that cannot be read counts as none.
pub(super) fn last_event(headers: &HeaderMap) -> Option<EventId> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// An open stream.
struct Open {
    app: App,
    events: NodeStream,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
    _place: StreamPlace,
}

impl Open {
    fn frames(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send {
        let told = stream::unfold(self, |mut open| async move {
            let told = open.next().await?;
            Some((told, open))
        });
        told.flat_map(|frames| stream::iter(frames.map(Ok)))
    }

    async fn next(&mut self) -> Option<Frames> {
        let told = tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
            told = self.events.next_within(KEEPALIVE) => told,
        };
        let event = match told? {
            Told::Silence => Pieces::from(COMMENT),
            Told::Event(id, event) => {
                self.app.metrics().streamed(event.name, event.json.size());
                framed(id.as_ref(), event.name, event.json)
            }
        };
        Some(event.frames())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics().stream_ended("node");
    }
}

/// One event, with the place to resume behind it if it has one.
pub(super) fn framed(id: Option<&EventId>, name: &str, json: Pieces) -> Pieces {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    let mut event = Pieces::from(format!("{id}event: {name}\ndata: "));
    event.append(json);
    event.push("\n\n");
    event
}
