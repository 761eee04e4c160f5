//! The request's JSON, read once: a tree that keeps numbers as written and knows where its strings stand.
//!
//! `serde_json::Value` would sort keys, round numbers and forget positions, and a proxy that forwards
//! bytes, hashes meanings and edits single strings can afford none of these. `serde_json` still does the
//! checking; what is written here only walks text that is known to be valid.

use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

use walk::Walk;
pub(crate) use walk::end_of_string;

mod walk;

/// More arrays and objects inside each other are refused: as many as `serde_json` reads into a value.
const MAX_DEPTH: usize = 127;
/// More values than any request has. A value takes far more memory than the two bytes in which it can be
/// written, so without this bound a small body would make a large tree.
const MAX_VALUES: usize = 250_000;
/// Up to here, comparing keys pair by pair is cheaper than a set.
const FEW_KEYS: usize = 16;

/// A JSON text and its tree, which cannot drift apart: an edit makes a new one.
#[derive(Debug, Clone)]
pub struct Json {
    text: Bytes,
    root: Node,
}

/// One JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, spelled as the client spelled it.
    Number(Box<str>),
    /// A string, unescaped.
    String(Text),
    /// An array.
    Array(Vec<Node>),
    /// An object: its members in the order of the text, each key once.
    Object(Vec<Member>),
}

/// An unescaped string and where it stands in the text, quotes included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The string itself.
    pub value: Box<str>,
    /// Its bytes in the text, from the opening to after the closing quote.
    pub span: Range<usize>,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The key, unescaped.
    pub key: Box<str>,
    /// What it names.
    pub value: Node,
}

/// Why a text is no JSON that can be forwarded safely.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The bytes are not UTF-8, from this offset on.
    #[error("the body is not valid UTF-8 (byte {0}); send JSON encoded as UTF-8")]
    NotUtf8(usize),
    /// The text breaks JSON's grammar.
    #[error("the body is not valid JSON: {0}")]
    Syntax(String),
    /// Arrays and objects stand too deep inside each other.
    #[error("the body is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than the tree may hold.
    #[error("the body has more than {MAX_VALUES} JSON values")]
    TooMany,
    /// Readers disagree about which of two equal keys counts, so none is taken.
    #[error("the key {0:?} appears twice in one object; send it once")]
    DuplicateKey(Box<str>),
}

impl Json {
    /// Reads a body.
    pub fn parse(text: Bytes) -> Result<Self, ParseError> {
        let utf8 = validate(&text)?;
        let root = Walk::tree(utf8)?;
        Ok(Self { text, root })
    }

    /// Checks a body without making a tree of it: valid UTF-8, valid JSON, not too deep.
    pub fn check(text: &[u8]) -> Result<(), ParseError> {
        let text = validate(text)?;
        let (mut depth, mut deepest) = (0_usize, 0);
        let mut at = 0;
        let bytes = text.as_bytes();
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => at = end_of_string(bytes, at) - 1,
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                }
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
        if deepest > MAX_DEPTH {
            return Err(ParseError::TooDeep);
        }
        Ok(())
    }

    /// The text, byte for byte as it was read.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The outermost value.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// A copy in which some strings are replaced; every other byte stays as it is.
    ///
    /// `edits` are spans of this document's [`Text`]s, in ascending order, each with its new value.
    #[must_use]
    pub fn replace(&self, edits: Vec<(Range<usize>, String)>) -> Self {
        let mut text = Vec::with_capacity(self.text.len());
        let mut copied = 0;
        let mut moved = Moved {
            edits: Vec::with_capacity(edits.len()),
            done: 0,
        };
        for (span, value) in edits {
            text.extend_from_slice(&self.text[copied..span.start]);
            let start = text.len();
            // Nothing can fail here: a string is always JSON, and a vector takes all.
            let _ = serde_json::to_writer(&mut text, &value);
            copied = span.end;
            moved.edits.push(Edit {
                from: span,
                to: start..text.len(),
                value: value.into(),
            });
        }
        text.extend_from_slice(&self.text[copied..]);
        let root = moved.node(&self.root);
        debug_assert_eq!(moved.done, moved.edits.len(), "an edit of no string");
        Self {
            text: text.into(),
            root,
        }
    }
}

/// Where the strings of a text stand once some of them are replaced: the tree is moved, not read again.
struct Moved {
    edits: Vec<Edit>,
    /// The edits that stand before the string at hand.
    done: usize,
}

struct Edit {
    from: Range<usize>,
    to: Range<usize>,
    value: Box<str>,
}

impl Moved {
    /// Nodes are visited in the order of the text.
    fn node(&mut self, node: &Node) -> Node {
        match node {
            Node::String(text) => Node::String(self.text(text)),
            Node::Array(items) => Node::Array(items.iter().map(|item| self.node(item)).collect()),
            Node::Object(members) => {
                let member = |member: &Member| Member {
                    key: member.key.clone(),
                    value: self.node(&member.value),
                };
                Node::Object(members.iter().map(member).collect())
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &Text) -> Text {
        if let Some(edit) = self.edits.get_mut(self.done)
            && edit.from == text.span
        {
            self.done += 1;
            return Text {
                value: std::mem::take(&mut edit.value),
                span: edit.to.clone(),
            };
        }
        // As far from the edit before it as it was.
        let last = self
            .done
            .checked_sub(1)
            .and_then(|last| self.edits.get(last));
        let (from, to) = last.map_or((0, 0), |edit| (edit.from.end, edit.to.end));
        Text {
            value: text.value.clone(),
            span: text.span.start - from + to..text.span.end - from + to,
        }
    }
}

impl Node {
    /// The member of this object with that key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.iter().find(|m| &*m.key == key).map(|m| &m.value),
            _ => None,
        }
    }

    /// The string, unescaped.
    pub fn as_str(&self) -> Option<&str> {
        self.as_text().map(|text| &*text.value)
    }

    /// The string and its place in the text.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items of this array.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if a finite `f64` can hold its magnitude.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(digits) => digits.parse().ok().filter(|value: &f64| value.is_finite()),
            _ => None,
        }
    }

    /// The number, if it is written as a non-negative integer that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this is a number.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Whether this is a number written without fraction and exponent.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::Number(digits) if !digits.contains(['.', 'e', 'E']))
    }

    /// What this is, for error messages: "a string", "null" …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

fn validate(text: &[u8]) -> Result<&str, ParseError> {
    let text =
        std::str::from_utf8(text).map_err(|error| ParseError::NotUtf8(error.valid_up_to()))?;
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| ParseError::Syntax(error.to_string()))?;
    Ok(text)
}

#[cfg(test)]
mod tests;
