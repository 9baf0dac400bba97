//! Streams of server-sent events.

use std::collections::VecDeque;

use tidegate_proto::{EventReader, EventStreamError, ServerEvent};

const LARGEST: usize = 4096;

/// A stream. However it is cut, it gives the same events up to the same end, and none beyond the bounds.
pub fn event_stream(data: &[u8]) {
    let whole = read(data, data.len().max(1));
    let events = whole.0.iter();
    assert!(events.clone().all(|event| event.data.len() <= LARGEST));
    let names = events.flat_map(|event| event.id.iter().chain([&event.name]));
    assert!(
        names
            .into_iter()
            .all(|name| name.len() <= EventReader::LONGEST_NAME)
    );
    for size in [1, 7] {
        assert_eq!(read(data, size), whole, "in pieces of {size}");
    }
}

fn read(data: &[u8], size: usize) -> (VecDeque<ServerEvent>, Option<EventStreamError>) {
    let (mut reader, mut events) = (EventReader::new(LARGEST), VecDeque::new());
    for piece in data.chunks(size) {
        if let Err(error) = reader.read(piece, &mut events) {
            return (events, Some(error));
        }
    }
    (events, None)
}
