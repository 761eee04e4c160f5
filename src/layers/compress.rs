//! Takes out of a request's text what the model does not need; outermost, so that prompts which differ
//! only in that share one cache entry.

use std::ops::Range;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::compressor::{self, Level};
use crate::json::{Json, Node, Text};
use crate::metering::tokens;
use crate::request::{Edited, ProxyRequest, Saved};

/// Whose text is compressed. An assistant's turns are not: they may be signed, and a model that reads
/// its own words changed may change its mind.
const ROLES: [&str; 5] = ["system", "developer", "user", "tool", "function"];

/// Makes [`Compress`] services.
#[derive(Debug, Clone, Copy)]
pub struct CompressLayer {
    level: Level,
}

/// Compresses requests at a level, or at the one that the request itself asks for.
#[derive(Debug, Clone)]
pub struct Compress<S> {
    inner: S,
    level: Level,
}

// === impl CompressLayer ===

impl CompressLayer {
    /// Compresses at this level.
    pub fn new(level: Level) -> Self {
        Self { level }
    }
}

impl<S> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Compress {
            inner,
            level: self.level,
        }
    }
}

// === impl Compress ===

impl<S: Service<ProxyRequest>> Service<ProxyRequest> for Compress<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        // The work itself waits until somebody needs the text: a repeat finds its answer by its bytes.
        request.edit_at(
            request.parts().level.unwrap_or(self.level),
            compress_messages,
        );
        self.inner.call(request)
    }
}

/// The request with its messages' text compressed; `None` when nothing changes.
fn compress_messages(json: &Json, level: Level) -> Option<Edited> {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut saved = Saved::default();
    for text in texts(json.root()) {
        if let Some(after) = compressor::compress(&text.value, level) {
            saved.chars += count_chars(&text.value).saturating_sub(count_chars(&after));
            saved.tokens += tokens::estimate_saved(&text.value, &after);
            edits.push((text.span.clone(), after));
        }
    }
    if edits.is_empty() {
        return None;
    }
    saved.chars_before = texts(json.root())
        .map(|text| count_chars(&text.value))
        .sum();
    // The text was valid and only valid strings were put in, so this cannot fail; if it did, the
    // client's own bytes are always right.
    let json = json.replace(&edits).ok()?;
    Some(Edited { json, saved })
}

/// The texts that may be compressed, in the order of the body.
fn texts(root: &Node) -> impl Iterator<Item = &Text> {
    root.get("messages")
        .and_then(Node::as_array)
        .unwrap_or_default()
        .iter()
        .filter(|message| {
            message
                .get("role")
                .and_then(Node::as_str)
                .is_some_and(|role| ROLES.contains(&role))
        })
        .filter_map(|message| message.get("content"))
        .flat_map(|content| {
            let parts = content
                .as_array()
                .unwrap_or_default()
                .iter()
                .filter_map(|part| {
                    let is_text = part.get("type").and_then(Node::as_str) == Some("text");
                    // A part that carries more than its text, such as a cache breakpoint, keeps its bytes all the
                    // same: only the string is replaced.
                    if is_text {
                        part.get("text").and_then(Node::as_text)
                    } else {
                        None
                    }
                });
            content.as_text().into_iter().chain(parts)
        })
}

fn count_chars(text: &str) -> u64 {
    text.chars().count() as u64
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn compressed(body: &str) -> Option<Edited> {
        let json = Json::parse(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        compress_messages(&json, Level::Safe)
    }

    #[test]
    fn edits_text_and_leaves_every_other_byte() {
        let body = r#"{ "messages":[{"role":"user","content":"This is a  plain sentence."},{"role":"assistant","content":"This is a  plain sentence."},{"role":"user","content":[{"type":"text","text":"And this is  another one."},{"type":"image_url","image_url":{"url":"data:  x"}}]}],"tools":[{"type":"function","function":{"name":"f","description":"This is a  plain sentence."}}], "temperature":1.00}"#;
        let edited = compressed(body).unwrap();
        let expected = body
            .replacen("This is a  plain sentence.", "This is a plain sentence.", 1)
            .replace("And this is  another one.", "And this is another one.");
        assert_eq!(edited.json.text(), &expected);
        assert_eq!(edited.saved.chars, 2);
        assert_eq!(edited.saved.chars_before, 26 + 25);
    }

    #[test]
    fn a_text_with_nothing_to_take_out_is_no_edit() {
        assert!(
            compressed(r#"{"messages":[{"role":"user","content":"This is a plain sentence."}]}"#)
                .is_none()
        );
    }
}
