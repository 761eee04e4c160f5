//! The request's JSON, read once: a tree that keeps numbers as written and knows where its strings stand.
//!
//! `serde_json::Value` would sort keys, round numbers and forget positions, and a proxy that forwards
//! bytes, hashes meanings and edits single strings can afford none of these. What is taken and what is refused
//! is what `serde_json` takes and refuses, in whose words a client is told what is wrong with its text.

use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

pub(crate) use cursor::{Cursor, Fault};
use tree::NoTree;

mod cursor;
mod edit;
mod escape;
pub(crate) mod raw;
mod tree;

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
        let root = match tree::of(utf8(&text)?) {
            Ok(root) => root,
            Err(reason) => return Err(explain(&text, reason)),
        };
        Ok(Self { text, root })
    }

    /// Checks a body without making a tree of it: valid UTF-8, valid JSON, not too deep.
    pub fn check(text: &[u8]) -> Result<(), ParseError> {
        let text = utf8(text)?;
        check_grammar(text)?;
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

fn utf8(text: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(text).map_err(|error| ParseError::NotUtf8(error.valid_up_to()))
}

fn check_grammar(text: &str) -> Result<(), ParseError> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| ParseError::Syntax(error.to_string()))
}

/// What to say of a text of which there is no tree. What is wrong with its grammar comes before all else, wherever it
/// stands.
fn explain(text: &[u8], reason: NoTree) -> ParseError {
    let text = match utf8(text) {
        Ok(text) => text,
        Err(error) => return error,
    };
    if let Err(error) = check_grammar(text) {
        return error;
    }
    match reason {
        NoTree::TooDeep => ParseError::TooDeep,
        NoTree::TooMany => ParseError::TooMany,
        NoTree::DuplicateKey(key) => ParseError::DuplicateKey(key),
        NoTree::Half(start) => {
            let end = end_of_string(text.as_bytes(), start);
            let read = serde_json::from_str::<String>(&text[start..end]);
            let reason = read.err().map(|error| error.to_string());
            ParseError::Syntax(format!("byte {start}: {}", reason.unwrap_or_default()))
        }
        // Never, as far as tests can tell: the two readers would have to disagree.
        NoTree::Grammar => ParseError::Syntax("it breaks the grammar".to_owned()),
    }
}

/// The place after the closing quote of the string that opens at `start`, in valid JSON; in other text, one that is not
/// beyond its end.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += step;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at = bytes.len().min(at + 2);
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
