//! A node's stream, across breaks.

use std::pin::Pin;
use std::time::Duration;

use getrandom::SysRng;
use rand_core::TryRng;
use tidegate_proto::api::StreamEvent;
use tokio::time::Instant;

use super::{ClientError, EventStream, NodeClient, Resumed};

/// A break is at most this long at first.
const FIRST: Duration = Duration::from_millis(250);
/// And never longer than this as long as [`PATIENCE`] lasts.
const SOON: Duration = Duration::from_secs(4);
/// How long an authority may be away before it is asked less often.
const PATIENCE: Duration = Duration::from_secs(600);
/// The longest break of all.
const LATER: Duration = Duration::from_secs(60);

/// What a session tells.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionEvent {
    /// The stream is open. Unless it was resumed, everything that holds now follows.
    Open(Resumed),
    /// Something is new.
    Event(Box<StreamEvent>),
    /// The stream broke off or did not open; the session tries again after the break.
    Lost {
        /// Why.
        error: ClientError,
        /// When it tries again.
        retry_in: Duration,
    },
}

type Opening = Pin<Box<dyn Future<Output = Result<EventStream, ClientError>> + Send>>;

enum State {
    Waiting(Instant),
    Opening(Opening),
    Open(Box<EventStream>),
}

/// Follows a node's stream for ever: takes it up again behind the last event, or asks for everything anew.
pub struct Session {
    node: NodeClient,
    last: Option<String>,
    state: State,
    breaks: Breaks,
}

impl Session {
    pub(super) fn new(node: NodeClient) -> Self {
        Self {
            node,
            last: None,
            state: State::Waiting(Instant::now()),
            breaks: Breaks::default(),
        }
    }

    /// What happens next. Nothing is lost if this is not waited for to its end.
    pub async fn next(&mut self) -> SessionEvent {
        loop {
            match &mut self.state {
                State::Waiting(until) => {
                    tokio::time::sleep_until(*until).await;
                    self.state = State::Opening(opening(self.node.clone(), self.last.clone()));
                }
                State::Opening(opening) => {
                    return match opening.await {
                        Ok(stream) => self.opened(stream),
                        Err(error) => self.lost(error),
                    };
                }
                State::Open(stream) => {
                    return match stream.next::<StreamEvent>().await {
                        Ok(event) => self.received(event),
                        Err(error) => self.lost(error),
                    };
                }
            }
        }
    }

    /// Starts over: the next stream begins with everything that holds then.
    pub fn resync(&mut self) {
        self.last = None;
        self.state = State::Waiting(Instant::now());
    }

    /// Tries again now, as after the network has changed. A stream that cannot live on is not waited for.
    pub fn hurry(&mut self) {
        let now = match &self.state {
            State::Waiting(_) | State::Opening(_) => true,
            State::Open(stream) => stream.is_cut_off(),
        };
        if now {
            self.reopen();
        }
    }

    /// Takes the stream up again over a new connection, as after the host slept: the old one may be dead without a word.
    pub fn reopen(&mut self) {
        self.note_place();
        self.state = State::Waiting(Instant::now());
    }

    fn opened(&mut self, stream: EventStream) -> SessionEvent {
        let resumed = stream.resumed();
        if resumed == Resumed::No {
            self.last = None;
        }
        self.state = State::Open(Box::new(stream));
        SessionEvent::Open(resumed)
    }

    fn received(&mut self, event: StreamEvent) -> SessionEvent {
        self.breaks = Breaks::default(); // only a stream that gives something is back
        self.note_place();
        SessionEvent::Event(Box::new(event))
    }

    /// Behind what was read, and what was passed over.
    fn note_place(&mut self) {
        if let State::Open(stream) = &self.state {
            self.last = stream.last().map(str::to_owned);
        }
    }

    fn lost(&mut self, error: ClientError) -> SessionEvent {
        self.note_place();
        if matches!(
            error,
            ClientError::Stream {
                reason: super::StreamEnd::Event(_) | super::StreamEnd::Name,
                ..
            }
        ) {
            self.last = None; // what could not be read must not be skipped
        }
        // What broke the stream has broken them too, perhaps, and a question put on a dead one waits for long.
        self.node.client().forget_connections();
        let retry_in = self.breaks.next(Instant::now(), fraction());
        self.state = State::Waiting(Instant::now() + retry_in);
        SessionEvent::Lost { error, retry_in }
    }
}

fn opening(node: NodeClient, last: Option<String>) -> Opening {
    Box::pin(async move { node.stream(last).await })
}

/// A number from 0 up to 1, so that not all nodes come back at once.
fn fraction() -> f64 {
    SysRng
        .try_next_u32()
        .map_or(0.5, |drawn| f64::from(drawn) / f64::from(u32::MAX))
}

/// How long the breaks between attempts are.
#[derive(Debug, Default)]
struct Breaks {
    since: Option<Instant>,
    count: u32,
}

impl Breaks {
    /// Twice as long each time, up to a few seconds for ten minutes, and then up to a minute; at least half of it.
    fn next(&mut self, now: Instant, fraction: f64) -> Duration {
        let since = *self.since.get_or_insert(now);
        let most = if now.duration_since(since) < PATIENCE {
            SOON
        } else {
            LATER
        };
        let longest = FIRST.saturating_mul(1 << self.count.min(16)).min(most);
        self.count = self.count.saturating_add(1);
        longest.mul_f64(0.5 + fraction / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_grow_to_four_seconds_and_after_ten_minutes_to_one_minute() {
        let (mut breaks, start) = (Breaks::default(), Instant::now());
        let mut now = start;
        while now < start + PATIENCE {
            let pause = breaks.next(now, 1.0);
            assert!(pause <= SOON, "{pause:?}");
            now += pause;
        }
        let later = breaks.next(now, 1.0);
        assert!(later > SOON && later <= LATER, "{later:?}");
        assert!(breaks.next(now, 0.0) >= LATER / 2);
    }
}
