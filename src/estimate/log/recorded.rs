//! What a log says of an answer: all of it, its text, its tokens, an error, or nothing.

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::members::{Kind, Members, kind, object_of, text};
use crate::chat::{self, Usage};
use crate::sse::Decoder;

/// What is known of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Recorded {
    /// Nothing.
    #[default]
    Nothing,
    /// Its tokens.
    Usage(Usage),
    /// Its text, and its tokens where they are told.
    Text(String, Option<Usage>),
    /// All of it, and its tokens where they stand beside it.
    Whole(Bytes, Option<Usage>),
    /// The upstream failed with this status and body.
    Error(u16, Bytes),
}

/// The names that answers go by.
pub(super) const RESPONSES: [&str; 9] = [
    "response",
    "response_body",
    "responseBody",
    "raw_response",
    "answer",
    "output",
    "status_code",
    "response_status",
    "error",
];
const BODIES: usize = 6;
const STATUSES: [&str; 4] = ["status_code", "response_status", "statusCode", "status"];

/// Longer events of a recorded stream (bytes) are no chunks.
const LONGEST_EVENT: usize = 32 * 1024 * 1024;

/// Reads what a line says of the answer.
pub(super) fn read(members: &Members<'_>, line: &Bytes) -> Recorded {
    let usage = usage_of(members);
    let answer = members.find(&RESPONSES[..BODIES]);
    let status = status_of(members);
    let read = match answer {
        Some(answer) => read_value(answer, line, status, usage),
        None => Recorded::Nothing,
    };
    match (read, status) {
        (Recorded::Error(status, body), _) => Recorded::Error(status, body),
        (_, Some(status)) if status >= 400 => Recorded::Error(status, error_body(answer, line)),
        (Recorded::Nothing, _) if members.find_kind(&["error"], Kind::Object).is_some() => {
            let error = members.find(&["error"]);
            let body = error.map(|error| format!("{{\"error\":{}}}", error.get()));
            Recorded::Error(500, body.unwrap_or_default().into())
        }
        (Recorded::Nothing, _) => usage.map_or(Recorded::Nothing, Recorded::Usage),
        (read, _) => read,
    }
}

fn read_value(
    value: &RawValue,
    line: &Bytes,
    status: Option<u16>,
    usage: Option<Usage>,
) -> Recorded {
    match kind(value) {
        Kind::Array => read_chunks(value, usage),
        Kind::Object | Kind::Text => match object_of(value, line) {
            Some(object) => read_object(&object, status, usage),
            None => read_text(text(value).unwrap_or_default(), usage),
        },
        _ => Recorded::Nothing,
    }
}

fn read_object(object: &Bytes, status: Option<u16>, usage: Option<Usage>) -> Recorded {
    let Ok(members) = serde_json::from_slice::<Members<'_>>(object) else {
        return Recorded::Nothing;
    };
    let usage = usage_of(&members).or(usage);
    let status = status_of(&members).or(status);
    if members.find(&["choices"]).is_some() {
        return Recorded::Whole(object.clone(), usage);
    }
    // An HTTP response, as in the files of batches.
    if let Some(body) = members.find(&["body"]) {
        return match status {
            Some(status) if status >= 400 => {
                Recorded::Error(status, error_body(Some(body), object))
            }
            _ => read_value(body, object, status, usage),
        };
    }
    if members.find(&["error"]).is_some() {
        return Recorded::Error(
            status.filter(|status| *status >= 400).unwrap_or(500),
            object.clone(),
        );
    }
    // The proxy's own dialect says `response`.
    match members.find_kind(&["content", "text", "response", "completion"], Kind::Text) {
        Some(said) => Recorded::Text(text(said).unwrap_or_default(), usage),
        None if members.find(&["data", "object"]).is_some() => {
            Recorded::Whole(object.clone(), usage)
        }
        None => usage.map_or(Recorded::Nothing, Recorded::Usage),
    }
}

/// A text is the answer's, or that of a stream of events.
fn read_text(text: String, usage: Option<Usage>) -> Recorded {
    if !text.trim_start().starts_with("data:") {
        return Recorded::Text(text, usage);
    }
    let mut decoder = Decoder::new(LONGEST_EVENT);
    let mut events = Vec::new();
    let _ = decoder.feed(text.as_bytes(), &mut events);
    events.extend(decoder.finish());
    let chunks = events.into_iter().map(|event| event.data);
    let chunks: Vec<_> = chunks.filter(|data| !data.starts_with(b"[DONE]")).collect();
    fold(&chunks, usage)
}

fn read_chunks(value: &RawValue, usage: Option<Usage>) -> Recorded {
    let chunks: Vec<&RawValue> = serde_json::from_str(value.get()).unwrap_or_default();
    let copied = |chunk: &&RawValue| Bytes::copy_from_slice(chunk.get().as_bytes());
    let chunks: Vec<_> = chunks.iter().map(copied).collect();
    fold(&chunks, usage)
}

fn fold(chunks: &[Bytes], usage: Option<Usage>) -> Recorded {
    match chat::whole_of(chunks, usage.unwrap_or_default()) {
        Ok(whole) => Recorded::Whole(whole, usage),
        Err(_) => usage.map_or(Recorded::Nothing, Recorded::Usage),
    }
}

/// The tokens that an object tells: as `usage`, or as counts of its own.
fn usage_of(members: &Members<'_>) -> Option<Usage> {
    if let Some(usage) = members.find_kind(&["usage"], Kind::Object) {
        let usage: Value = serde_json::from_str(usage.get()).ok()?;
        return Usage::read(&usage);
    }
    let names = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let counts = names.iter().filter_map(|name| {
        let count = members.number(&[name])?;
        Some(((*name).to_owned(), Value::from(count)))
    });
    Usage::read(&Value::Object(counts.collect()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only what is a status is cast"
)]
fn status_of(members: &Members<'_>) -> Option<u16> {
    let status = members.number(&STATUSES)?;
    (100.0..600.0).contains(&status).then_some(status as u16)
}

fn error_body(answer: Option<&RawValue>, line: &Bytes) -> Bytes {
    let body = answer.and_then(|answer| object_of(answer, line));
    body.unwrap_or_else(|| {
        Bytes::from_static(b"{\"error\":{\"message\":\"as recorded\",\"type\":\"recorded\"}}")
    })
}
