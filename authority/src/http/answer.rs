//! What handlers answer.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use tidegate_proto::api::RESUMED_HEADER;

use super::schema::{Described, Schemas};
use crate::service::Pieces;

/// An answer that is not a refusal.
pub(super) trait Answer: Send + 'static {
    /// The status of every such answer.
    const STATUS: StatusCode;
    /// What it is.
    const MEANING: &'static str;

    /// The response.
    fn respond(self) -> Response<Body>;

    /// Media type and schema of its body, if it has one.
    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)>;

    /// Status, media type and schema of a failure that is told in another form than a problem.
    fn failure(_schemas: &mut Schemas) -> Option<(StatusCode, &'static str, Value)> {
        None
    }
}

const JSON: &str = "application/json";

/// A value as JSON.
pub(super) struct Json<T>(pub(super) T);

/// A value as JSON: something new that was made.
pub(super) struct Created<T>(pub(super) T);

/// It was done.
pub(super) struct Done;

/// Bytes that are JSON already.
pub(super) struct Prepared<T> {
    body: Body,
    of: std::marker::PhantomData<fn() -> T>,
}

/// A stream of events, whose data is a `T`.
pub(super) struct Events<T> {
    beginning: Beginning,
    body: Body,
    of: std::marker::PhantomData<fn() -> T>,
}

/// JSON lines.
pub(super) struct JsonLines(Body);

impl JsonLines {
    pub(super) fn new(body: Body) -> Self {
        Self(body)
    }
}

impl Answer for JsonLines {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "one JSON value per line";

    fn respond(self) -> Response<Body> {
        response(Self::STATUS, "application/jsonl", self.0)
    }

    fn describe(_schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Some(("application/jsonl", json!({ "type": "string" })))
    }
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Beginning {
    /// With what holds now.
    Anew,
    /// Behind the last event of an earlier one.
    Resumed,
}

impl Beginning {
    pub(super) fn of(resumed: bool) -> Self {
        if resumed { Self::Resumed } else { Self::Anew }
    }
}

/// Text for programs, of this media type.
pub(super) struct Text<M> {
    text: Bytes,
    of: std::marker::PhantomData<fn() -> M>,
}

/// The media type of a text.
pub(super) trait Media: 'static {
    /// Its name.
    const NAME: &'static str;
}

impl<T> Events<T> {
    pub(super) fn new(beginning: Beginning, body: Body) -> Self {
        Self {
            beginning,
            body,
            of: std::marker::PhantomData,
        }
    }
}

impl<M> Text<M> {
    pub(super) fn new(text: impl Into<Bytes>) -> Self {
        Self {
            text: text.into(),
            of: std::marker::PhantomData,
        }
    }
}

impl<T> Prepared<T> {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self::of_body(bytes.into())
    }

    /// What is sent piece by piece.
    pub(super) fn in_pieces(pieces: Pieces) -> Self {
        let frames = pieces.frames().map(Ok::<_, std::convert::Infallible>);
        Self::of_body(Body::from_stream(stream::iter(frames)))
    }

    fn of_body(body: Body) -> Self {
        Self {
            body,
            of: std::marker::PhantomData,
        }
    }
}

fn response(status: StatusCode, media: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The JSON of a value of this API: it has no map whose keys could be anything but text, so it always succeeds.
pub(super) fn json_of(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl<T: Serialize> Json<T> {
    /// The response, whatever `T` is called.
    pub(super) fn plain(&self) -> Response<Body> {
        response(StatusCode::OK, JSON, json_of(&self.0))
    }
}

impl<T: Serialize + Described + Send + 'static> Answer for Json<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "as asked";

    fn respond(self) -> Response<Body> {
        self.plain()
    }

    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Some((JSON, schemas.of::<T>()))
    }
}

impl<T: Serialize + Described + Send + 'static> Answer for Created<T> {
    const STATUS: StatusCode = StatusCode::CREATED;
    const MEANING: &'static str = "it was made";

    fn respond(self) -> Response<Body> {
        response(Self::STATUS, JSON, json_of(&self.0))
    }

    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Some((JSON, schemas.of::<T>()))
    }
}

impl<T: Described + 'static> Answer for Prepared<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "as asked";

    fn respond(self) -> Response<Body> {
        response(Self::STATUS, JSON, self.body)
    }

    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Some((JSON, schemas.of::<T>()))
    }
}

impl Answer for Done {
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const MEANING: &'static str = "it was done";

    fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = Self::STATUS;
        response
    }

    fn describe(_schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        None
    }
}

impl<T: Described + 'static> Answer for Events<T> {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "server-sent events, each with an id to resume behind (Last-Event-ID); a comment every 10 s";

    fn respond(self) -> Response<Body> {
        let mut response = response(Self::STATUS, "text/event-stream", self.body);
        let resumed = match self.beginning {
            Beginning::Anew => HeaderValue::from_static("false"),
            Beginning::Resumed => HeaderValue::from_static("true"),
        };
        response.headers_mut().insert(RESUMED_HEADER, resumed);
        response
    }

    fn describe(schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        schemas.of::<T>(); // what each event's data is
        Some(("text/event-stream", json!({ "type": "string" })))
    }
}

impl<M: Media> Answer for Text<M> {
    const STATUS: StatusCode = StatusCode::OK;
    const MEANING: &'static str = "as asked";

    fn respond(self) -> Response<Body> {
        response(Self::STATUS, M::NAME, self.text)
    }

    fn describe(_schemas: &mut Schemas) -> Option<(&'static str, Value)> {
        Some((M::NAME, json!({ "type": "string" })))
    }
}
