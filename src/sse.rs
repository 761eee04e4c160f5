//! Cuts an upstream's event stream into its events, however the network framed it, and writes
//! events for the client.
//!
//! The rules are those of the WHATWG's "Server-sent events", with two differences that LLM APIs ask
//! for: an event that the end of the stream cuts off before its blank line is delivered, because
//! many servers leave it out, and an event whose data is empty is dropped, because clients try to
//! parse it as JSON. `id`, `retry` and unknown fields are skipped: a proxied answer cannot be
//! resumed.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::{memchr, memchr2};

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One event: its type (`None` means "message") and its data lines joined by `\n`, as bytes that
/// may not be UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub kind: Option<String>,
    pub data: Bytes,
}

/// One event, or one line of any sort, is larger than the decoder's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server-sent event is larger than {limit} bytes")]
pub struct TooLarge {
    limit: usize,
}

/// An incremental decoder for one stream; it holds at most the event that is still arriving.
#[derive(Debug)]
pub struct Decoder {
    max_event_bytes: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data lines so far, if there was one. A `Vec` grows to exactly its first line, and such a
    /// one becomes `Bytes` without another allocation.
    data: Option<Vec<u8>>,
    kind: Option<String>,
    at_start: bool,
    /// The last line ended with `\r`: an `\n` right after it belongs to the same line ending.
    after_cr: bool,
    failed: bool,
}

impl Decoder {
    /// `max_event_bytes` bounds the type, the data and the line in progress of one event, together.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            line: Vec::new(),
            data: None,
            kind: None,
            at_start: true,
            after_cr: false,
            failed: false,
        }
    }

    /// Feeds bytes as they came from the network, in any framing, and appends the events that they
    /// complete.
    ///
    /// Where the input is cut changes neither the events nor the error. After an error the stream
    /// cannot be picked up again: every later call fails too, and events appended before it stay
    /// valid.
    pub fn feed(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), TooLarge> {
        if self.failed {
            return Err(self.too_large());
        }
        let mut rest = chunk;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(after) = rest.strip_prefix(b"\n")
            {
                rest = after;
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', rest) else {
                self.check(self.line.len() + rest.len())?;
                self.line.extend_from_slice(rest);
                break;
            };
            self.check(self.line.len() + end)?;
            if self.line.is_empty() {
                self.take_line(&rest[..end], events);
            } else {
                self.line.extend_from_slice(&rest[..end]);
                self.take_buffered_line(events);
            }
            self.after_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// Ends the input and returns the event that was still open, if it has data; the decoder is
    /// then as new.
    pub fn finish(&mut self) -> Option<Event> {
        let mut events = Vec::new();
        if !self.failed {
            self.take_buffered_line(&mut events);
            self.dispatch(&mut events);
        }
        *self = Self::new(self.max_event_bytes);
        events.pop()
    }

    fn check(&mut self, line: usize) -> Result<(), TooLarge> {
        let kind = self.kind.as_ref().map_or(0, String::len);
        let data = self.data.as_ref().map_or(0, Vec::len);
        if kind + data + line <= self.max_event_bytes {
            return Ok(());
        }
        self.failed = true;
        self.line = Vec::new();
        self.data = None;
        Err(self.too_large())
    }

    fn too_large(&self) -> TooLarge {
        TooLarge {
            limit: self.max_event_bytes,
        }
    }

    fn take_buffered_line(&mut self, events: &mut Vec<Event>) {
        let mut line = std::mem::take(&mut self.line);
        self.take_line(&line, events);
        line.clear();
        // The allocation serves the next line that a chunk ends in.
        self.line = line;
    }

    fn take_line(&mut self, line: &[u8], events: &mut Vec<Event>) {
        let line = if std::mem::take(&mut self.at_start) {
            line.strip_prefix(BOM).unwrap_or(line)
        } else {
            line
        };
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        let (field, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            },
            b"event" => {
                self.kind =
                    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned());
            }
            // The empty field name of a comment ends here, too.
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let kind = self.kind.take();
        if let Some(data) = self.data.take()
            && !data.is_empty()
        {
            events.push(Event {
                kind,
                data: Bytes::from(data),
            });
        }
    }
}

/// Appends `data: …\n\n` for one event; each line of `data`, however it ends, becomes a data line
/// of its own.
pub fn encode(data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + b"data: \n\n".len());
    let mut rest = data;
    while let Some(end) = memchr2(b'\n', b'\r', rest) {
        put_line(&rest[..end], out);
        let ending = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + ending..];
    }
    put_line(rest, out);
    out.put_u8(b'\n');
}

fn put_line(line: &[u8], out: &mut BytesMut) {
    out.put_slice(b"data: ");
    out.put_slice(line);
    out.put_u8(b'\n');
}

#[cfg(test)]
mod tests;
