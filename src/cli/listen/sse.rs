//! Server-sent events, read from whatever pieces they arrive in.
//!
//! Standards: WHATWG HTML §9.2.5 (format), §9.2.6 (interpretation).
//!
//! # Security
//! The stream comes from another machine: a line or an event over its bound is an error, never a growing buffer.

use std::time::Duration;

use memchr::memchr2;

/// One event of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type; `message` where the stream names none.
    pub kind: String,
    /// Its data, lines separated by LF.
    pub data: String,
    /// The last id that the stream named up to here; empty when there was none.
    pub id: String,
}

/// Reads a stream piece by piece.
#[derive(Debug, Default)]
pub struct SseParser {
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// The last piece ended with CR: an LF at the front of the next belongs to it.
    after_cr: bool,
    /// Something was read: a byte-order mark can come no more.
    is_begun: bool,
    kind: String,
    data: Vec<String>,
    data_size: usize,
    /// The id as lines set it; what a blank line makes of it is `id`.
    next_id: String,
    id: String,
    retry: Option<Duration>,
}

/// The stream holds more than is ever sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has a line or an event of more than 1 MiB")]
pub struct TooLong;

/// The largest event that is sent has 256 KiB.
const LIMIT: usize = 1 << 20;

impl SseParser {
    /// A parser for a stream that goes on behind the event `last_id`; empty for a new one.
    #[must_use]
    pub fn new(last_id: &str) -> Self {
        Self { next_id: last_id.to_owned(), id: last_id.to_owned(), ..Self::default() }
    }

    /// Takes a piece, and gives the events that end in it.
    ///
    /// # Errors
    /// [`TooLong`]; the stream is of no more use then.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<SseEvent>, TooLong> {
        let mut events = Vec::new();
        let mut rest = piece;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(behind) = rest.strip_prefix(b"\n")
            {
                rest = behind;
                continue;
            }
            let Some(end) = memchr2(b'\r', b'\n', rest) else {
                self.gather(rest)?;
                break;
            };
            let (line, behind) = rest.split_at(end);
            self.gather(line)?;
            self.after_cr = behind.first() == Some(&b'\r');
            rest = behind.split_first().map_or(&[], |(_, behind)| behind);
            let line = std::mem::take(&mut self.line);
            events.extend(self.line(&line)?);
        }
        Ok(events)
    }

    /// The id of the last event that came whole, to go on from.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.id
    }

    /// How long the server wants a client to wait before it comes again; `None` while it said nothing.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.line.len().saturating_add(bytes.len()) > LIMIT {
            return Err(TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn line(&mut self, bytes: &[u8]) -> Result<Option<SseEvent>, TooLong> {
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(behind) if !self.is_begun => behind,
            _ => bytes,
        };
        self.is_begun = true;
        if bytes.is_empty() {
            return Ok(self.dispatch());
        }
        let line = String::from_utf8_lossy(bytes);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                self.data_size = self.data_size.saturating_add(value.len());
                if self.data_size > LIMIT {
                    return Err(TooLong);
                }
                self.data.push(value.to_owned());
            }
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.next_id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis);
            }
            // Comments have an empty name; other names are ignored.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        self.data_size = 0;
        // Only here: the id of an event that broke off must not be the one to go on behind.
        self.next_id.clone_into(&mut self.id);
        let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        if data.is_empty() {
            return None;
        }
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        Some(SseEvent { kind, data: data.join("\n"), id: self.id.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> (Vec<SseEvent>, SseParser) {
        let mut parser = SseParser::default();
        let events = pieces.iter().flat_map(|piece| parser.feed(piece).unwrap()).collect();
        (events, parser)
    }

    fn event(kind: &str, data: &str, id: &str) -> SseEvent {
        SseEvent { kind: kind.to_owned(), data: data.to_owned(), id: id.to_owned() }
    }

    const STREAM: &str = "\u{feff}: connected\nretry: 3000\n\nid: 7\nevent: message.classified\ndata: {\"a\":1}\n\n\
                          : alive\r\n\r\nid:8\r\ndata: Grüße\r\ndata:two\r\rdata\n\nid\ndata:  x\n\ndata: lost";

    #[test]
    fn a_stream_is_the_same_wherever_it_is_cut() {
        let whole = [
            event("message.classified", "{\"a\":1}", "7"),
            event("message", "Grüße\ntwo", "8"),
            event("message", "", "8"),
            event("message", " x", ""),
        ];
        let bytes = STREAM.as_bytes();
        assert_eq!(read(&[bytes]).0, whole);
        for first in 0..bytes.len() {
            let (front, back) = bytes.split_at(first);
            assert_eq!(read(&[front, back]).0, whole, "cut at {first}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).0, whole);
    }

    #[test]
    fn an_id_counts_without_data_and_retry_only_as_a_number() {
        let (events, parser) = read(&[b"id: 41\nretry: 1500\n\nretry: 1s\nid: 4\x002\n\n"]);
        assert_eq!(events, []);
        assert_eq!((parser.last_id(), parser.retry()), ("41", Some(Duration::from_millis(1500))));
        assert_eq!(SseParser::new("12").last_id(), "12");
    }

    #[test]
    fn a_line_or_event_without_end_is_an_error() {
        let mut parser = SseParser::default();
        let piece = vec![b'x'; LIMIT / 2];
        assert!(parser.feed(&piece).is_ok());
        assert_eq!(parser.feed(&piece).and_then(|_| parser.feed(b"x")), Err(TooLong));
        let line = format!("data: {}\n", "x".repeat(LIMIT / 4));
        let mut parser = SseParser::default();
        assert!((0..5).any(|_| parser.feed(line.as_bytes()).is_err()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_fault(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..10)) {
            let mut parser = SseParser::default();
            for piece in &pieces {
                let _ = parser.feed(piece);
            }
        }
    }
}
