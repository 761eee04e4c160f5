//! Takes out of a request's text what the model does not need; outermost, so that prompts which differ
//! only in that share one cache entry.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use crate::compressor::{Compressor, Conversation, Level, Memo, Plan, Recall, Role, Saving};
use crate::config::Compression;
use crate::json::{Json, Node, Text};
use crate::request::{Edit, Edited, ProxyRequest, Route, Saved};
use crate::tuning::learn::Learning;

/// Makes [`Compress`] services.
#[derive(Debug, Clone)]
pub struct CompressLayer {
    settings: Arc<Compression>,
    memo: Option<Arc<Memo>>,
    learning: Option<Learning>,
}

/// Compresses requests as the settings say, or at the level that the request itself asks for.
#[derive(Debug, Clone)]
pub struct Compress<S> {
    inner: S,
    settings: Arc<Compression>,
    memo: Option<Arc<Memo>>,
    learning: Option<Learning>,
}

// === impl CompressLayer ===

impl CompressLayer {
    /// Compresses by these settings, and by what was learned; `memo` knows the texts that came before, where texts may be
    /// kept.
    pub fn new(settings: Compression, memo: Option<Arc<Memo>>, learning: Option<Learning>) -> Self {
        Self {
            settings: Arc::new(settings),
            memo,
            learning,
        }
    }
}

impl<S> Layer<S> for CompressLayer {
    type Service = Compress<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Compress {
            inner,
            settings: Arc::clone(&self.settings),
            memo: self.memo.clone(),
            learning: self.learning.clone(),
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
        let parts = request.parts();
        request.edit_by(Edit {
            plan: self.settings.plan(parts.route, parts.level),
            // What is not to be kept leaves no trace here either.
            memo: (self.memo.as_ref())
                .filter(|_| !parts.cache_control.no_store)
                .map(|memo| (Arc::clone(memo), *request.owner().as_bytes())),
            learning: (self.learning.as_ref())
                .map(|learning| (learning.clone(), *request.owner().as_bytes())),
            is_wished: parts.level.is_some(),
            may_be_heard: !parts.cache_control.no_store,
            trace: request.trace.clone(),
            apply: compress_messages,
        });
        self.inner.call(request)
    }
}

// === impl Compression ===

impl Compression {
    /// What is done to each role's text: the client's own wish comes first, then an endpoint that is off, then the
    /// role's level, the endpoint's, and the general one.
    pub(crate) fn plan(&self, route: Route, wish: Option<Level>) -> Plan {
        let own = self.routes.iter().rev().find(|(of, _)| *of == route);
        let general = own.map_or(self.level, |(_, level)| *level);
        self.plan_at(wish, general)
    }

    /// The same for a client that wishes for this level, if any, at an endpoint whose level is `general`.
    pub(crate) fn plan_at(&self, wish: Option<Level>, general: Level) -> Plan {
        let mut plan = Plan::default();
        for (role, own) in &self.roles {
            let own = own.filter(|_| general != Level::Off);
            let level = wish.or(own).unwrap_or(general);
            plan.set(*role, Compressor::new(level).without(self.deny));
        }
        plan
    }
}

/// A text of the request.
struct Said<'j> {
    text: &'j Text,
    /// The number of its message.
    message: usize,
    /// `None` where nothing may be edited.
    role: Option<Role>,
}

/// The request with its messages' text compressed; `None` when nothing changes.
pub(crate) fn compress_messages(
    json: &Json,
    plan: &Plan,
    known: Option<Recall<'_>>,
) -> Option<Edited> {
    let said = said(json.root());
    // What stands after the last text that could be folded need not be remembered.
    let last = said.iter().rposition(|said| {
        let compressor = said.role.and_then(|role| Some((role, plan.of(role)?)));
        compressor.is_some_and(|(role, compressor)| compressor.may_repeat(&said.text.value, role))
    });
    let last = last.map_or(0, |last| said[last].message);
    let mut conversation = Conversation::with(known);
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut savings = Vec::new();
    let (mut chars_before, mut chars_after) = (0, 0);
    for message in said.chunk_by(|one, other| one.message == other.message) {
        let mut outgoing: Vec<Cow<'_, str>> = Vec::with_capacity(message.len());
        for Said { text, role, .. } in message {
            let compressor = role.and_then(|role| Some((role, plan.of(role)?)));
            let compressed = compressor.and_then(|(role, compressor)| {
                conversation.compress(compressor, &text.value, role)
            });
            if compressor.is_some() {
                let chars = count_chars(&text.value);
                chars_before += chars;
                chars_after += compressed
                    .as_ref()
                    .map_or(chars, |after| count_chars(&after.text));
            }
            let Some(compressed) = compressed else {
                outgoing.push(Cow::Borrowed(&text.value));
                continue;
            };
            for saving in compressed.savings {
                Saving::add(&mut savings, saving);
            }
            outgoing.push(Cow::Owned(compressed.text.clone()));
            edits.push((text.span.clone(), compressed.text));
        }
        // The parts of a message are one message: none is an earlier one to the others.
        if message[0].message < last {
            for text in outgoing {
                conversation.remember(text);
            }
        }
    }
    if edits.is_empty() {
        return None;
    }
    let saved = Saved {
        chars_before,
        chars: chars_before.saturating_sub(chars_after),
        tokens: savings.iter().map(|saving| saving.tokens).sum(),
        savings: savings.into(),
    };
    let json = json.replace(edits);
    Some(Edited { json, saved })
}

/// The texts of a request that may be edited, and whose they are; and how many of them, the last ones, were said since the
/// model spoke last: the others came in an earlier request already.
pub(crate) fn editable(root: &Node) -> (Vec<(Role, &str)>, usize) {
    let messages = root.get("messages").and_then(Node::as_array);
    let spoke = messages.unwrap_or_default().iter().rposition(|message| {
        let role = message.get("role").and_then(Node::as_str);
        role.and_then(Role::of_message) == Some(Role::Assistant)
    });
    let all: Vec<_> = said(root)
        .into_iter()
        .filter_map(|said| Some((said.message, said.role?, &*said.text.value)))
        .collect();
    let is_new = |message: usize| spoke.is_none_or(|spoke| message > spoke);
    let new = all.iter().filter(|(message, ..)| is_new(*message)).count();
    let texts = all.into_iter().map(|(_, role, text)| (role, text));
    (texts.collect(), new)
}

/// The texts of the messages, in the order of the body.
fn said(root: &Node) -> Vec<Said<'_>> {
    let mut said = Vec::new();
    let messages = root.get("messages").and_then(Node::as_array);
    for (number, message) in messages.unwrap_or_default().iter().enumerate() {
        let role = message
            .get("role")
            .and_then(Node::as_str)
            .and_then(Role::of_message)
            .filter(|role| *role != Role::Assistant || is_plain(message));
        let Some(content) = message.get("content") else {
            continue;
        };
        let parts = content.as_array().unwrap_or_default();
        let texts = parts.iter().filter_map(|part| {
            let is_text = part.get("type").and_then(Node::as_str) == Some("text");
            // Where a client sets a breakpoint of the provider's cache, it minds every byte.
            let role = role.filter(|_| part.get("cache_control").is_none());
            is_text
                .then(|| Some((part.get("text")?.as_text()?, role)))
                .flatten()
        });
        let whole = content.as_text().map(|text| (text, role));
        said.extend(whole.into_iter().chain(texts).map(|(text, role)| Said {
            text,
            message: number,
            role,
        }));
    }
    said
}

/// Whether a turn of the model is text alone: beside calls of tools, signatures and thoughts, which a
/// provider may check against it, every byte stays.
fn is_plain(message: &Node) -> bool {
    let has_only = |node: &Node, keys: &[&str]| match node {
        Node::Object(members) => members.iter().all(|member| keys.contains(&&*member.key)),
        _ => false,
    };
    let parts = message.get("content").and_then(Node::as_array);
    has_only(message, &["role", "content", "name"])
        && parts
            .unwrap_or_default()
            .iter()
            .all(|part| has_only(part, &["type", "text"]))
}

/// As many as `chars` gives, in chunks that the compiler counts at once.
fn count_chars(text: &str) -> u64 {
    // Bytes that continue a character are those from 0x80 to 0xBF.
    let begins = |byte: &u8| u8::from(!(0x80..0xC0).contains(byte));
    let (chunks, rest) = text.as_bytes().as_chunks::<128>();
    let chunks = chunks.iter();
    let whole = chunks.map(|chunk| u64::from(chunk.iter().map(begins).sum::<u8>()));
    whole.sum::<u64>() + rest.iter().map(|byte| u64::from(begins(byte))).sum::<u64>()
}

#[cfg(test)]
mod growing;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;

    const SLIPS: &str = "We went home  and nobody was there to open the door for us. ";

    fn compressed(body: &Value) -> Option<Edited> {
        let json = Json::parse(Bytes::from(body.to_string())).unwrap();
        compress_messages(&json, &Plan::uniform(&Compressor::new(Level::Safe)), None)
    }

    /// A text in which the safe level finds a space a sentence too much.
    fn wide() -> String {
        SLIPS.repeat(9) + "And so on."
    }

    fn narrow() -> String {
        wide().replace("  ", " ")
    }

    #[test]
    fn edits_text_and_leaves_every_other_byte() {
        let body = |user: &str| {
            json!({"messages": [
                {"role": "user", "content": user},
                {"role": "assistant", "content": wide(), "tool_calls": [{"id": "a", "function": {"arguments": wide()}}]},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": wide(), "signature": "x"}, {"type": "text", "text": wide()}]},
                {"role": "king", "content": wide()},
                {"role": "user", "content": [{"type": "text", "text": wide(), "cache_control": {"type": "ephemeral"}}]},
                {"role": "user", "content": [{"type": "text", "text": user}, {"type": "image_url", "image_url": {"url": "data:  x"}}]},
            ], "tools": [{"type": "function", "function": {"name": "f", "description": wide()}}], "temperature": 1.0})
        };
        let edited = compressed(&body(&wide())).unwrap();
        assert_eq!(edited.json.text(), &body(&narrow()).to_string());
        assert_eq!(edited.saved.chars, 18);
        assert_eq!(edited.saved.chars_before, 2 * wide().len() as u64);
        assert_eq!(edited.saved.tokens, 18);
        assert_eq!(edited.saved.savings[0].edits, 18);
    }

    #[test]
    fn characters_are_counted_in_texts_of_any_length() {
        for unit in ["a", "é", "漢", "😀", "a😀é\n"] {
            for times in (0..300).chain([5_000]) {
                let text = unit.repeat(times);
                assert_eq!(count_chars(&text), text.chars().count() as u64);
            }
        }
    }

    #[test]
    fn a_plain_turn_of_the_model_is_text_like_any_other() {
        let body = |text: &str| json!({"messages": [{"role": "assistant", "content": text}]});
        let edited = compressed(&body(&wide())).unwrap();
        assert_eq!(edited.json.text(), &body(&narrow()).to_string());
    }

    #[test]
    fn a_text_with_nothing_to_take_out_is_no_edit() {
        assert!(
            compressed(&json!({"messages": [{"role": "user", "content": narrow()}]})).is_none()
        );
    }
}
