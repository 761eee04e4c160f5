//! A prompt as the provider's cache sees it: its beginnings, and where each could be marked.

use crate::fingerprint::{Fingerprint, beginnings};
use crate::json::Node;
use crate::request::Place;

/// A token is so many bytes of text at most, in the languages that take the most bytes for one. To guess too few tokens is to
/// leave a mark out that might have paid; to guess too many is to set one that is ignored.
const BYTES_PER_TOKEN: u64 = 4;

/// The messages up to one of them, with the tools before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) id: Fingerprint,
    /// Its tokens, estimated from below.
    pub(super) tokens: u64,
    /// Where a mark goes that ends it; `None` where its last message takes none.
    pub(super) place: Option<Place>,
}

/// A prompt that could be marked.
pub(super) struct Prompt {
    /// One for each message, of which there is one at least.
    pub(super) beginnings: Vec<Beginning>,
    /// Which of them are the instructions: tools and system messages, without a word of the conversation.
    pub(super) head: Option<usize>,
}

impl Prompt {
    /// Reads a request's body; `None` where it is not to be touched: its client marks prompts itself, or one of its system
    /// messages stands amid the conversation, whose order upstream is then anybody's guess.
    pub(super) fn read(owner: Fingerprint, model: &str, root: &Node) -> Option<Self> {
        let messages = root.get("messages")?.as_array()?;
        if messages.is_empty() {
            return None;
        }
        let tools = root.get("tools");
        let fields = [root.get("messages"), tools];
        if root.get("cache_control").is_some() || fields.into_iter().flatten().any(has_mark) {
            return None;
        }
        let head = messages.iter().take_while(|message| is_system(message));
        let head = head.count();
        if messages[head..].iter().any(is_system) {
            return None;
        }
        let mut bytes = tools.map_or(0, size);
        let ids = beginnings(owner, model, tools, messages);
        let beginnings = messages.iter().zip(ids).map(|(message, id)| {
            bytes += size(message);
            Beginning {
                id,
                tokens: bytes / BYTES_PER_TOKEN,
                place: place(message),
            }
        });
        Some(Self {
            beginnings: beginnings.collect(),
            head: head.checked_sub(1),
        })
    }
}

fn is_system(message: &Node) -> bool {
    let role = message.get("role").and_then(Node::as_str);
    matches!(role, Some("system" | "developer"))
}

/// Where the mark of a message goes: behind its last part, if that is a text. A turn of the model takes none, since beside
/// its text there may be calls that come after it.
fn place(message: &Node) -> Option<Place> {
    let role = message.get("role").and_then(Node::as_str)?;
    if !matches!(role, "system" | "developer" | "user" | "tool") {
        return None;
    }
    let content = message.get("content")?;
    // Of a text without a word no part can be marked.
    let is_marked = |text: &str| !text.trim().is_empty();
    if let Some(whole) = content.as_text() {
        return is_marked(&whole.value).then(|| Place::Whole(whole.span.clone()));
    }
    let last = content.as_array()?.last()?;
    let is_text = last.get("type").and_then(Node::as_str) == Some("text");
    let text = last.get("text")?.as_text()?;
    (is_text && is_marked(&text.value)).then_some(Place::Part(text.span.end))
}

fn has_mark(node: &Node) -> bool {
    match node {
        Node::Array(items) => items.iter().any(has_mark),
        Node::Object(members) => members
            .iter()
            .any(|member| &*member.key == "cache_control" || has_mark(&member.value)),
        _ => false,
    }
}

/// The bytes of all texts, without images and the like in their midst.
fn size(node: &Node) -> u64 {
    match node {
        Node::String(text) if text.value.starts_with("data:") => 0,
        Node::String(text) => text.value.len() as u64,
        Node::Array(items) => items.iter().map(size).sum(),
        Node::Object(members) => members.iter().map(|member| size(&member.value)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::fingerprint::digest;
    use crate::json::Json;

    fn read(body: &Value) -> Option<Prompt> {
        let json = Json::parse(Bytes::from(body.to_string())).unwrap();
        Prompt::read(digest(b"owner"), "claude-x", json.root())
    }

    fn said(role: &str, content: impl Into<Value>) -> Value {
        json!({"role": role, "content": content.into()})
    }

    #[test]
    fn a_growing_conversation_keeps_the_identities_of_its_beginnings() {
        let mut messages = vec![
            said("system", "Be brief."),
            said("user", "one"),
            said("assistant", "two"),
            said("tool", "three"),
        ];
        let long = read(&json!({"messages": messages.clone()})).unwrap();
        assert_eq!(long.head, Some(0));
        let marked = |b: &Beginning| b.place.is_some();
        let places: Vec<_> = long.beginnings.iter().map(marked).collect();
        assert_eq!(places, [true, true, false, true]);
        messages.pop();
        let short = read(&json!({"messages": messages.clone(), "temperature": 0})).unwrap();
        assert_eq!(short.beginnings, long.beginnings[..3]);
        // Tools stand before all of it.
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        let other = read(&json!({"messages": messages, "tools": tools})).unwrap();
        assert!(other.beginnings[0].id != short.beginnings[0].id);
    }

    #[test]
    fn what_its_client_marks_or_orders_strangely_is_left_alone() {
        let mark = json!({"type": "ephemeral"});
        let part = json!([{"type": "text", "text": "a", "cache_control": mark}]);
        let tool = json!([{"type": "function", "function": {"name": "f"}, "cache_control": mark}]);
        let user = said("user", "a");
        for body in [
            json!({"messages": [said("user", part)]}),
            json!({"messages": [user], "tools": tool}),
            json!({"messages": [user], "cache_control": mark}),
            json!({"messages": [{"role": "user", "content": "a", "cache_control": mark}]}),
            json!({"messages": [user, said("system", "b")]}),
            json!({"messages": "a"}),
            json!({"messages": []}),
            json!({}),
        ] {
            assert!(read(&body).is_none(), "{body}");
        }
    }

    #[test]
    fn only_a_text_at_the_end_of_a_message_takes_a_mark() {
        let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAAAAAAAAAAAAAA"}});
        let text = json!({"type": "text", "text": "four"});
        for (content, is_marked) in [
            (json!("x"), true),
            (json!(" \n"), false),
            (json!([image, text]), true),
            (json!([text, image]), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            let prompt = read(&json!({"messages": [said("user", content.clone())]})).unwrap();
            assert_eq!(prompt.beginnings[0].place.is_some(), is_marked, "{content}");
            assert!(prompt.beginnings[0].tokens < 6, "{content}");
        }
    }
}
