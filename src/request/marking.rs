//! Marks in a request's text for the provider's own prompt cache.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use crate::fingerprint::Fingerprint;

/// What a message's text becomes a part with, and what a part that is marked has beside its text.
const OPEN: &[u8] = br#"[{"type":"text","text":"#;
const MARK: &[u8] = br#","cache_control":{"type":"ephemeral"}"#;
const CLOSE: &[u8] = b"}]";

/// Where a breakpoint of the provider's cache stands: up to there it keeps the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A message's whole content is this string, with its quotes: it becomes an array of one part.
    Whole(Range<usize>),
    /// A part's text ends here, its closing quote included.
    Part(usize),
}

/// How a request's text is marked.
#[derive(Debug)]
pub struct Marking {
    /// In the order of the text.
    places: Vec<Place>,
    /// The tokens of all that is marked, as far as they can be told beforehand.
    tokens: u64,
    /// The beginnings that end at them.
    beginnings: Vec<Fingerprint>,
    is_off: AtomicBool,
}

// === impl Marking ===

impl Marking {
    /// Breakpoints at these places, in the order of the text, which end these beginnings; the last one has so many tokens.
    pub fn new(places: Vec<Place>, beginnings: Vec<Fingerprint>, tokens: u64) -> Self {
        Self {
            places,
            tokens,
            beginnings,
            is_off: AtomicBool::new(false),
        }
    }

    /// The tokens of all that is marked, as far as they can be told beforehand.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The beginnings that are marked.
    pub fn beginnings(&self) -> &[Fingerprint] {
        &self.beginnings
    }

    /// Further attempts go without it.
    pub fn give_up(&self) {
        self.is_off.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_on(&self) -> bool {
        !self.is_off.load(Ordering::Relaxed)
    }

    /// The text with the marks; every other byte stays.
    pub(super) fn apply(&self, text: &Bytes) -> Bytes {
        let room = self.places.len() * (OPEN.len() + MARK.len() + CLOSE.len());
        let mut marked = Vec::with_capacity(text.len() + room);
        let mut copied = 0;
        let mut copy = |to: usize, marked: &mut Vec<u8>| {
            marked.extend_from_slice(&text[copied..to]);
            copied = to;
        };
        for place in &self.places {
            match place {
                Place::Whole(span) => {
                    copy(span.start, &mut marked);
                    marked.extend_from_slice(OPEN);
                    copy(span.end, &mut marked);
                    marked.extend_from_slice(MARK);
                    marked.extend_from_slice(CLOSE);
                }
                Place::Part(end) => {
                    copy(*end, &mut marked);
                    marked.extend_from_slice(MARK);
                }
            }
        }
        copy(text.len(), &mut marked);
        marked.into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::Json;

    #[test]
    fn marks_stand_in_parts_and_no_other_byte_changes() {
        let text = r#"{ "messages" : [{"role":"system","content":"a \u00e9"},{"content": [{"text" : "b", "type":"text"} ]}], "x":1.0}"#;
        let json = Json::parse(Bytes::from(text)).unwrap();
        let messages = json.root().get("messages").unwrap().as_array().unwrap();
        let whole = messages[0].get("content").unwrap().as_text().unwrap();
        let parts = messages[1].get("content").unwrap().as_array().unwrap();
        let part = parts[0].get("text").unwrap().as_text().unwrap();
        let places = vec![Place::Whole(whole.span.clone()), Place::Part(part.span.end)];
        let marking = Marking::new(places, Vec::new(), 7);
        let marked = marking.apply(json.text());
        let mark = json!({"type": "ephemeral"});
        assert_eq!(
            serde_json::from_slice::<Value>(&marked).unwrap(),
            json!({"messages": [
                {"role": "system", "content": [{"type": "text", "text": "a é", "cache_control": mark}]},
                {"content": [{"text": "b", "type": "text", "cache_control": mark}]},
            ], "x": 1.0})
        );
        let marked = String::from_utf8(marked.to_vec()).unwrap();
        let bare = [OPEN, MARK, CLOSE].iter().fold(marked, |text, mark| {
            text.replace(std::str::from_utf8(mark).unwrap(), "")
        });
        // The part that was there before ends with the same bytes as the one that was made.
        assert_eq!(bare, text.replace("}]", ""), "{bare}");
    }
}
