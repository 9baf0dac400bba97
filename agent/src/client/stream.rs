//! One stream of server-sent events, from its head to its end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use tidegate_proto::api::{Change, RESUMED_HEADER, StreamEvent};
use tidegate_proto::{EventReader, Origin, ServerEvent, strict};
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::error::StreamEnd;
use super::request::Ask;
use super::unknown::Unknown;
use super::{Client, ClientError, Identity};

/// The largest event: a roster of as many peers as a roster holds, with their certificates and records.
pub(super) const LARGEST_EVENT: usize = 32 * 1024 * 1024;

/// Whether a stream goes on where an earlier one ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resumed {
    /// Nothing was missed.
    Yes,
    /// It begins with everything that holds now; what is not in there, does not hold any more.
    No,
}

/// What a stream of events carries.
pub trait StreamItem: DeserializeOwned {
    /// Every name that one has in the stream. A later authority may send others, which are passed over.
    const NAMES: &'static [&'static str];

    /// Its name in the stream.
    fn name(&self) -> &'static str;
}

impl StreamItem for StreamEvent {
    const NAMES: &'static [&'static str] = Self::NAMES;

    fn name(&self) -> &'static str {
        Self::name(self)
    }
}

impl StreamItem for Change {
    const NAMES: &'static [&'static str] = Self::NAMES;

    fn name(&self) -> &'static str {
        Self::name(self)
    }
}

/// An open stream.
#[derive(Debug)]
pub struct EventStream {
    origin: Origin,
    resumed: Resumed,
    body: Incoming,
    reader: EventReader,
    ready: VecDeque<ServerEvent>,
    last: Option<String>,
    /// Without a sign of life for so long it is dead.
    silence: Duration,
    /// When the last one came, however often the waiting for the next is taken up.
    heard: Instant,
    unknown: Arc<Unknown>,
    /// It lives as long as the stream.
    connection: Connection,
}

impl EventStream {
    pub(super) async fn open(
        client: &Client,
        identity: &Identity,
        target: &str,
        last: Option<String>,
    ) -> Result<Self, ClientError> {
        let ask = Ask::stream(target, last.clone());
        let (origin, response, connection) = client.open_stream(identity, &ask).await?;
        if !is_event_stream(&response) {
            let reason = "not a stream of events".to_owned();
            return Err(ClientError::Malformed { origin, reason });
        }
        let resumed = match response.headers().get(RESUMED_HEADER) {
            Some(value) if value == "true" => Resumed::Yes,
            _ => Resumed::No,
        };
        Ok(Self {
            origin,
            resumed,
            body: response.into_body(),
            reader: EventReader::new(LARGEST_EVENT),
            ready: VecDeque::new(),
            last: last.filter(|_| resumed == Resumed::Yes),
            silence: client.timeouts().silence,
            heard: Instant::now(),
            unknown: client.unknown(),
            connection,
        })
    }

    /// Whether it goes on where the earlier one ended.
    pub fn resumed(&self) -> Resumed {
        self.resumed
    }

    /// The id of the last event that was taken.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The next event. Nothing is lost if this is not waited for to its end.
    pub async fn next<T: StreamItem>(&mut self) -> Result<T, ClientError> {
        self.take().await.map_err(|reason| ClientError::Stream {
            origin: self.origin.clone(),
            reason,
        })
    }

    /// The next event as it came, for whoever only counts them.
    pub async fn next_unread(&mut self) -> Result<ServerEvent, ClientError> {
        self.take_unread()
            .await
            .map_err(|reason| ClientError::Stream {
                origin: self.origin.clone(),
                reason,
            })
    }

    async fn take_unread(&mut self) -> Result<ServerEvent, StreamEnd> {
        while self.ready.is_empty() {
            self.fill().await?;
        }
        self.ready.pop_front().ok_or(StreamEnd::Closed)
    }

    async fn take<T: StreamItem>(&mut self) -> Result<T, StreamEnd> {
        let event = self.take_known::<T>().await?;
        let item: T =
            strict::read(event.data.as_bytes(), LARGEST_EVENT).map_err(StreamEnd::Event)?;
        if item.name() != event.name {
            return Err(StreamEnd::Name);
        }
        self.last = event.id.or(self.last.take());
        Ok(item)
    }

    async fn take_known<T: StreamItem>(&mut self) -> Result<ServerEvent, StreamEnd> {
        loop {
            let event = self.take_unread().await?;
            if T::NAMES.contains(&event.name.as_str()) {
                return Ok(event);
            }
            self.unknown.count(&event.name);
            self.last = event.id.or(self.last.take());
        }
    }

    /// Whether this host has given up the address that the stream goes out from.
    pub(super) fn is_cut_off(&self) -> bool {
        self.connection.is_cut_off()
    }

    async fn fill(&mut self) -> Result<(), StreamEnd> {
        let frame = timeout_at(self.heard + self.silence, self.body.frame()).await;
        let frame = frame.map_err(|_| StreamEnd::Silent(self.silence.as_secs()))?;
        self.heard = Instant::now();
        let frame = frame.ok_or(StreamEnd::Closed)?;
        let frame = frame.map_err(|error| StreamEnd::Broken(error.to_string()))?;
        if let Some(piece) = frame.data_ref() {
            self.reader.read(piece, &mut self.ready)?;
        }
        Ok(())
    }
}

fn is_event_stream(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
