//! Says why an upstream's answer or chunk is of no use, and reads JSON so that it can be said.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// A provider's own message is cut here: some providers echo whole prompts in it.
const MAX_MESSAGE_CHARS: usize = 300;

/// Why an upstream's answer, or one chunk of it, cannot be used.
///
/// `Display` and `Debug` are fit for logs: they hold neither content nor the provider's words.
#[derive(Clone, thiserror::Error)]
#[error("{summary}")]
pub struct Invalid {
    summary: String,
    reason: Option<String>,
    reported: Option<Box<Reported>>,
}

/// The error that a provider put into an answer whose status claimed success.
#[derive(Clone, PartialEq, Eq)]
pub struct Reported {
    /// The provider's words, at most 300 characters; for the client, not for the log.
    pub message: String,
    /// Its `code`, number or string, else its `type`.
    pub code: Option<String>,
}

impl Invalid {
    pub(super) fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            reason: None,
            reported: None,
        }
    }

    /// What is wrong, with the provider's own message if it sent one; for the client.
    pub fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.summary)
    }

    /// The provider's own error, if that is what the answer holds.
    pub fn reported(&self) -> Option<&Reported> {
        self.reported.as_deref()
    }
}

impl std::fmt::Debug for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Invalid({:?})", self.summary)
    }
}

impl std::fmt::Debug for Reported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reported")
            .field("code", &self.code)
            .finish_non_exhaustive()
    }
}

impl Reported {
    /// The code as an HTTP error status, where it is one (`"code": 429`).
    pub fn status(&self) -> Option<u16> {
        self.code
            .as_ref()?
            .parse()
            .ok()
            .filter(|status| (400..=599).contains(status))
    }

    fn read(error: &Value) -> Self {
        let message = match error {
            Value::String(text) => text.as_str(),
            _ => error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("no message given"),
        };
        let code = ["code", "type"]
            .iter()
            .find_map(|key| match error.get(*key)? {
                Value::String(text) if !text.is_empty() => Some(cut(text)),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            });
        Self {
            message: cut(message),
            code,
        }
    }
}

impl From<Reported> for Invalid {
    fn from(reported: Reported) -> Self {
        let summary = match reported.status() {
            Some(status) => format!("the provider reported an error with code {status}"),
            None => "the provider reported an error".to_owned(),
        };
        let reason = match &reported.code {
            Some(code) => format!(
                "the provider reported an error ({code}): {}",
                reported.message
            ),
            None => format!("the provider reported an error: {}", reported.message),
        };
        Self {
            summary,
            reason: Some(reason),
            reported: Some(Box::new(reported)),
        }
    }
}

/// Fails if the object is, or holds, a provider's error; empty ones are placeholders.
pub(super) fn refuse_error(object: &Map<String, Value>) -> Result<(), Invalid> {
    match object.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::Object(fields)) if fields.is_empty() => {}
        Some(error) => return Err(Reported::read(error).into()),
    }
    if object.get("object").and_then(Value::as_str) == Some("error") {
        return Err(Reported::read(&Value::Object(object.clone())).into());
    }
    Ok(())
}

/// An upstream's JSON object, and whether unpaired surrogates in it had to be replaced.
pub(super) struct Parsed {
    pub(super) object: Map<String, Value>,
    pub(super) mended: bool,
}

/// Parses an object, naming what the bytes are instead if they are none.
pub(super) fn parse_object(data: &[u8]) -> Result<Parsed, Invalid> {
    if std::str::from_utf8(data).is_err() {
        return Err(Invalid::new("it is not UTF-8"));
    }
    let (value, mended) = match serde_json::from_slice::<Value>(data) {
        Ok(value) => (value, false),
        Err(error) => (mended(data).ok_or_else(|| not_json(data, &error))?, true),
    };
    match value {
        Value::Object(object) => Ok(Parsed { object, mended }),
        other => Err(Invalid::new(format!(
            "it is {}, not a JSON object",
            kind(&other)
        ))),
    }
}

fn not_json(data: &[u8], error: &serde_json::Error) -> Invalid {
    let text = data.trim_ascii_start();
    if text.is_empty() {
        Invalid::new("it is empty")
    } else if text.starts_with(b"<") {
        Invalid::new("it is a page of HTML or XML, not JSON")
    } else if text.starts_with(b"data:") || text.starts_with(b"event:") || text.starts_with(b":") {
        Invalid::new("it is an event stream, not JSON")
    } else if error.is_eof() {
        Invalid::new("it is JSON that ends too early")
    } else {
        let (line, column) = (error.line(), error.column());
        Invalid::new(format!("it is not JSON (line {line}, column {column})"))
    }
}

/// Parses once more with U+FFFD for unpaired surrogates: servers that cut UTF-16 text between two
/// chunks escape its halves, which JSON's grammar allows and Rust's strings do not.
fn mended(data: &[u8]) -> Option<Value> {
    serde_json::from_slice::<IgnoredAny>(data).ok()?;
    let mut out = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let length = match code_unit(escape) {
            Some(0xD800..=0xDBFF)
                if matches!(escape.get(6..).and_then(code_unit), Some(0xDC00..=0xDFFF)) =>
            {
                out.extend_from_slice(&escape[..12]);
                12
            }
            Some(0xD800..=0xDFFF) => {
                out.extend_from_slice(br"\ufffd");
                6
            }
            _ => {
                let length = escape.len().min(2);
                out.extend_from_slice(&escape[..length]);
                length
            }
        };
        rest = &escape[length..];
    }
    out.extend_from_slice(rest);
    serde_json::from_slice(&out).ok()
}

fn code_unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.strip_prefix(br"\u")?.get(..4)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_error(data: &[u8]) -> String {
        parse_object(data).err().unwrap().reason().to_owned()
    }

    #[test]
    fn names_what_the_bytes_are_instead() {
        assert_eq!(parse_error(b"  "), "it is empty");
        assert_eq!(
            parse_error(b"\n<!doctype html>"),
            "it is a page of HTML or XML, not JSON"
        );
        assert_eq!(
            parse_error(b"data: {}\n\n"),
            "it is an event stream, not JSON"
        );
        assert_eq!(
            parse_error(b"{\"a\": \"b"),
            "it is JSON that ends too early"
        );
        assert_eq!(
            parse_error(b"{\"a\": what}"),
            "it is not JSON (line 1, column 7)"
        );
        assert_eq!(parse_error(b"[1]"), "it is an array, not a JSON object");
        assert_eq!(parse_error(b"{\"a\": \"\xff\"}"), "it is not UTF-8");
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert!(parse_error("[".repeat(100_000).as_bytes()).contains("JSON"));
    }

    #[test]
    fn unpaired_surrogates_become_replacement_characters() {
        let parsed =
            parse_object(br#"{"a":"\ud83d","b":"\ud83d\ude00 \\ud83d \n","c":"x\uDE00y"}"#)
                .unwrap();
        assert!(parsed.mended);
        assert_eq!(parsed.object["a"], "\u{fffd}");
        assert_eq!(parsed.object["b"], "😀 \\ud83d \n");
        assert_eq!(parsed.object["c"], "x\u{fffd}y");
    }

    #[test]
    fn logs_hold_none_of_the_providers_words() {
        let error = serde_json::json!({"message": "s3cret prompt", "code": 502});
        let invalid = Invalid::from(Reported::read(&error));
        assert!(invalid.reason().contains("s3cret prompt"));
        assert!(!format!("{invalid} {invalid:?} {:?}", invalid.reported()).contains("s3cret"));
        assert_eq!(invalid.reported().unwrap().status(), Some(502));
    }

    #[test]
    fn codes_are_read_as_number_string_or_type() {
        let code = |error: &str| Reported::read(&serde_json::from_str(error).unwrap()).code;
        assert_eq!(code(r#"{"code": 429}"#).as_deref(), Some("429"));
        assert_eq!(
            code(r#"{"code": "rate_limited"}"#).as_deref(),
            Some("rate_limited")
        );
        assert_eq!(
            code(r#"{"code": null, "type": "overloaded"}"#).as_deref(),
            Some("overloaded")
        );
        assert_eq!(code(r#""plain words""#), None);
    }
}
