//! Server-sent events, as they come: bytes in, whole events out, within bounds.
//!
//! The reader is incremental and keeps at most one event. Lines end with LF, CR LF or CR; a line that begins with a
//! colon is a sign of life and nothing else; fields that are not known are skipped.

use std::collections::VecDeque;
use std::time::Duration;

/// One event.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ServerEvent {
    /// Its name; empty if it has none.
    pub name: String,
    /// The place to resume behind it, if it gives one.
    pub id: Option<String>,
    /// What it carries.
    pub data: String,
}

/// Why a stream cannot be read on. It has to be opened anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EventStreamError {
    /// More than the reader takes for one event or one name.
    #[error("an event of the stream is larger than any should be")]
    TooLarge,
    /// Bytes that are no text.
    #[error("the stream is not text")]
    NotText,
}

/// Reads a stream of server-sent events piece by piece.
#[derive(Debug)]
pub struct EventReader {
    largest: usize,
    line: Vec<u8>,
    after_cr: bool,
    at_start: bool,
    event: ServerEvent,
    has_data: bool,
    retry: Option<Duration>,
}

impl EventReader {
    /// The longest name or id of an event.
    pub const LONGEST_NAME: usize = 64;
    /// Longer breaks that the other side asks for count as this.
    const LONGEST_RETRY: Duration = Duration::from_secs(3600);

    /// A reader for events that carry at most `largest` bytes.
    pub fn new(largest: usize) -> Self {
        Self {
            largest,
            line: Vec::new(),
            after_cr: false,
            at_start: true,
            event: ServerEvent::default(),
            has_data: false,
            retry: None,
        }
    }

    /// How long the other side asked to wait before the stream is opened again.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes the next piece and appends the events that it completes to `events`.
    pub fn read(
        &mut self,
        mut piece: &[u8],
        events: &mut VecDeque<ServerEvent>,
    ) -> Result<(), EventStreamError> {
        while let Some(at) = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (part, rest) = (&piece[..at], &piece[at + 1..]);
            let second_half = self.after_cr && at == 0 && piece[at] == b'\n';
            self.after_cr = piece[at] == b'\r';
            piece = rest;
            if second_half {
                continue;
            }
            self.append(part)?;
            self.end_line(events)?;
        }
        if !piece.is_empty() {
            self.after_cr = false;
        }
        self.append(piece)
    }

    fn append(&mut self, part: &[u8]) -> Result<(), EventStreamError> {
        let most = self.largest.saturating_add(Self::LONGEST_NAME);
        if self.line.len() + part.len() > most {
            return Err(EventStreamError::TooLarge);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, events: &mut VecDeque<ServerEvent>) -> Result<(), EventStreamError> {
        let bytes = std::mem::take(&mut self.line);
        let mut line = std::str::from_utf8(&bytes).map_err(|_| EventStreamError::NotText)?;
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            self.end_event(events);
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        self.take_field(field, value.strip_prefix(' ').unwrap_or(value))
    }

    /// An event without data is none, but its id counts for nothing either: the next one brings its own.
    fn end_event(&mut self, events: &mut VecDeque<ServerEvent>) {
        let event = std::mem::take(&mut self.event);
        if std::mem::take(&mut self.has_data) {
            events.push_back(event);
        }
    }

    fn take_field(&mut self, field: &str, value: &str) -> Result<(), EventStreamError> {
        match field {
            "event" => self.event.name = short(value)?,
            "id" if !value.contains('\0') => self.event.id = Some(short(value)?),
            "data" => self.take_data(value)?,
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                let asked = value.parse().map(Duration::from_millis);
                self.retry = asked.ok().map(|asked| asked.min(Self::LONGEST_RETRY));
            }
            _ => {} // a comment, or a field of a later time
        }
        Ok(())
    }

    fn take_data(&mut self, value: &str) -> Result<(), EventStreamError> {
        if self.event.data.len() + value.len() >= self.largest {
            return Err(EventStreamError::TooLarge);
        }
        if std::mem::replace(&mut self.has_data, true) {
            self.event.data.push('\n');
        }
        self.event.data.push_str(value);
        Ok(())
    }
}

fn short(value: &str) -> Result<String, EventStreamError> {
    if value.len() > EventReader::LONGEST_NAME {
        Err(EventStreamError::TooLarge)
    } else {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_in(pieces: &[&[u8]]) -> Result<Vec<ServerEvent>, EventStreamError> {
        let (mut reader, mut events) = (EventReader::new(100), VecDeque::new());
        for piece in pieces {
            reader.read(piece, &mut events)?;
        }
        Ok(events.into())
    }

    fn event(name: &str, id: Option<&str>, data: &str) -> ServerEvent {
        ServerEvent {
            name: name.into(),
            id: id.map(Into::into),
            data: data.into(),
        }
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let text = "\u{feff}: hello\nevent: list\r\nid: 1-7\ndata: a\ndata:b\n\nretry: 50\nid: 9\n\nother: x\rdata\r\r\ndata: ä\n\n";
        let expected = vec![
            event("list", Some("1-7"), "a\nb"),
            event("", None, ""),
            event("", None, "ä"),
        ];
        assert_eq!(read_in(&[text.as_bytes()]).unwrap(), expected);
        for at in 0..text.len() {
            let (a, b) = text.as_bytes().split_at(at);
            assert_eq!(read_in(&[a, b]).unwrap(), expected, "cut at {at}");
        }
        let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
        assert_eq!(read_in(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_has_not_ended_is_not_told() {
        assert_eq!(read_in(&[b"data: a\n"]), Ok(vec![]));
        assert_eq!(
            read_in(&[b"data: a\n\nid: 5\nevent: x"]),
            Ok(vec![event("", None, "a")])
        );
    }

    #[test]
    fn a_line_or_an_event_without_end_is_refused() {
        let endless = [b'x'; 200];
        assert_eq!(read_in(&[&endless]), Err(EventStreamError::TooLarge));
        let lines = [b"data: 0123456789\n".as_slice(); 20];
        assert_eq!(read_in(&lines), Err(EventStreamError::TooLarge));
        let name = format!("event: {}\n", "x".repeat(65));
        assert_eq!(read_in(&[name.as_bytes()]), Err(EventStreamError::TooLarge));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(
            read_in(&[b"data: \xff\n\n"]),
            Err(EventStreamError::NotText)
        );
    }

    #[test]
    fn a_break_between_streams_can_be_asked_for() {
        let (mut reader, mut events) = (EventReader::new(100), VecDeque::new());
        for (asked, got) in [("1500", 1500), ("x", 1500), ("99999999999", 3_600_000)] {
            reader
                .read(format!("retry: {asked}\n").as_bytes(), &mut events)
                .unwrap();
            assert_eq!(reader.retry(), Some(Duration::from_millis(got)));
        }
    }
}
