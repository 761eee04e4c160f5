//! What the scripted upstream does in answer to one request, step by step.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};

use super::{Gate, completion, delta, event, finish};

/// A performance: steps, then an end.
#[derive(Clone)]
pub(crate) struct Act {
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

#[derive(Clone)]
pub(super) enum Step {
    /// These bytes at once.
    Send(Bytes),
    /// These bytes one by one, each a packet of its own.
    Drip(Bytes),
    /// Nothing until the gate is open.
    Wait(Gate),
    /// These bytes again and again until the client hangs up.
    Flood(Bytes),
    /// These bytes one by one, with a pause after each.
    Crawl(Bytes, Duration),
}

/// How a performance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The connection waits for the next request.
    KeepAlive,
    /// Orderly, in both directions.
    Close,
    /// With a reset.
    Reset,
    /// Nothing more comes, and nothing is closed until the client hangs up.
    Silence,
    /// No more bytes come, but the connection stays half open until the client hangs up.
    HalfClose,
}

impl Act {
    /// No bytes, then this end.
    pub(crate) fn only(end: End) -> Self {
        Self {
            steps: Vec::new(),
            end,
        }
    }

    /// These very bytes.
    pub(crate) fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::only(End::KeepAlive).send(bytes)
    }

    /// A response with a length.
    pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = head(status, headers);
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        Self::bytes(bytes)
    }

    /// A JSON response.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = [("content-type", "application/json")];
        Self::response(status, &headers, body.to_string())
    }

    /// A whole completion that says `text`.
    pub(crate) fn says(text: &str) -> Self {
        Self::json(200, &completion(text))
    }

    /// An error as the API words it.
    pub(crate) fn error(status: u16, headers: &[(&str, &str)]) -> Self {
        let body =
            json!({"error": {"message": "scripted failure", "type": "scripted", "code": null}});
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        Self::response(status, &all, body.to_string())
    }

    /// The head of an event stream; pieces follow with [`Act::chunk`], the end with [`Act::last_chunk`].
    pub(crate) fn stream() -> Self {
        Self::chunked(200, &[("content-type", "text/event-stream; charset=utf-8")])
    }

    /// The head of a chunked response.
    pub(crate) fn chunked(status: u16, headers: &[(&str, &str)]) -> Self {
        let mut bytes = head(status, headers);
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        Self::bytes(bytes)
    }

    /// A complete stream that says these pieces, one event and one packet each.
    pub(crate) fn streams(pieces: &[&str]) -> Self {
        pieces
            .iter()
            .fold(Self::stream(), |act, piece| act.chunk(event(&delta(piece))))
            .chunk(event(&finish("stop")))
            .chunk(event("[DONE]"))
            .last_chunk()
    }

    /// A 200 with these bytes compressed by gzip.
    pub(crate) fn gzip(body: &[u8]) -> Self {
        Self::encoded("gzip", &gzip(body))
    }

    /// A 200 with these bytes compressed by deflate.
    pub(crate) fn deflate(body: &[u8]) -> Self {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).unwrap();
        Self::encoded("deflate", &encoder.finish().unwrap())
    }

    /// A 200 with bytes that are said to be of this content encoding.
    pub(crate) fn encoded(encoding: &str, bytes: &[u8]) -> Self {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", encoding),
        ];
        Self::response(200, &headers, bytes)
    }

    /// Then these bytes.
    pub(crate) fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    /// Then these bytes as one chunk of a chunked body.
    pub(crate) fn chunk(self, bytes: impl AsRef<[u8]>) -> Self {
        self.send(frame(bytes.as_ref()))
    }

    /// Then the end of a chunked body.
    pub(crate) fn last_chunk(self) -> Self {
        self.send("0\r\n\r\n")
    }

    /// Then this chunk again and again until the client hangs up.
    pub(crate) fn flood(self, bytes: impl AsRef<[u8]>) -> Self {
        self.step(Step::Flood(frame(bytes.as_ref())))
    }

    /// Then these bytes, without a frame, again and again until the client hangs up.
    pub(crate) fn flood_raw(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Flood(bytes.into()))
    }

    /// Then these bytes one by one, with a pause after each.
    pub(crate) fn crawl(self, bytes: impl Into<Bytes>, pause: Duration) -> Self {
        self.step(Step::Crawl(bytes.into(), pause))
    }

    /// Then nothing until the gate is open.
    pub(crate) fn wait(self, gate: &Gate) -> Self {
        self.step(Step::Wait(gate.clone()))
    }

    /// All of it only after the gate is open.
    pub(crate) fn after(mut self, gate: &Gate) -> Self {
        self.steps.insert(0, Step::Wait(gate.clone()));
        self
    }

    /// After its first step, the head, this chunk comes before everything else.
    pub(crate) fn beginning_with(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.steps.insert(1, Step::Send(frame(bytes.as_ref())));
        self
    }

    /// After its first step, the head, it waits for the gate.
    pub(crate) fn held_after_head(mut self, gate: &Gate) -> Self {
        self.steps.insert(1, Step::Wait(gate.clone()));
        self
    }

    /// Every byte in a packet of its own.
    pub(crate) fn drip(mut self) -> Self {
        for step in &mut self.steps {
            if let Step::Send(bytes) = step {
                *step = Step::Drip(bytes.clone());
            }
        }
        self
    }

    /// Ends like this instead of keeping the connection alive.
    pub(crate) fn then(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }
}

/// These bytes, compressed by gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.into_bytes()
}

/// A chunk of a chunked body.
fn frame(bytes: &[u8]) -> Bytes {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend_from_slice(bytes);
    framed.extend_from_slice(b"\r\n");
    framed.into()
}
