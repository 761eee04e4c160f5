//! The request's JSON, read once: a tree that keeps numbers as written and knows where its strings stand.
//!
//! `serde_json::Value` would sort keys, round numbers and forget positions, and a proxy that forwards
//! bytes, hashes meanings and edits single strings can afford none of these. `serde_json` still does the
//! checking and the unescaping; what is written here only walks text that is known to be valid.

use std::collections::HashSet;
use std::ops::Range;

use bytes::Bytes;
use serde::de::IgnoredAny;

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
        let root = Walk {
            text: utf8,
            at: 0,
            values: 0,
        }
        .node(0)?;
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
    pub fn replace(&self, edits: &[(Range<usize>, String)]) -> Result<Self, ParseError> {
        let mut text = Vec::with_capacity(self.text.len());
        let mut copied = 0;
        for (span, value) in edits {
            text.extend_from_slice(&self.text[copied..span.start]);
            serde_json::to_writer(&mut text, value)
                .map_err(|error| ParseError::Syntax(error.to_string()))?;
            copied = span.end;
        }
        text.extend_from_slice(&self.text[copied..]);
        Self::parse(text.into())
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

/// The place after the closing quote of the string that opens at `start`, in valid JSON.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
        at += step;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// Walks over a text that `serde_json` has accepted, which is why it may skip what it need not see.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl Walk<'_> {
    fn node(&mut self, depth: usize) -> Result<Node, ParseError> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(ParseError::TooMany);
        }
        match self.peek() {
            b'{' | b'[' if depth == MAX_DEPTH => Err(ParseError::TooDeep),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Node::String),
            b't' => Ok(self.literal(4, Node::Bool(true))),
            b'f' => Ok(self.literal(5, Node::Bool(false))),
            b'n' => Ok(self.literal(4, Node::Null)),
            _ => Ok(self.number()),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, ParseError> {
        self.at += 1;
        let mut members: Vec<Member> = Vec::new();
        let mut seen: HashSet<Box<str>> = HashSet::new();
        while self.peek() != b'}' {
            let key = self.string()?.value;
            let repeated = if members.len() < FEW_KEYS {
                members.iter().any(|member| member.key == key)
            } else {
                if seen.is_empty() {
                    seen.extend(members.iter().map(|member| member.key.clone()));
                }
                !seen.insert(key.clone())
            };
            if repeated {
                return Err(ParseError::DuplicateKey(key));
            }
            self.peek();
            self.at += 1; // the colon
            let value = self.node(depth + 1)?;
            members.push(Member { key, value });
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Node::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Node, ParseError> {
        self.at += 1;
        let mut items = Vec::new();
        while self.peek() != b']' {
            items.push(self.node(depth + 1)?);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Node::Array(items))
    }

    fn string(&mut self) -> Result<Text, ParseError> {
        self.peek();
        let start = self.at;
        self.at = end_of_string(self.text.as_bytes(), start);
        let span = start..self.at;
        let quoted = &self.text[span.clone()];
        let value = if memchr::memchr(b'\\', quoted.as_bytes()).is_some() {
            // Only here do lone surrogates show, which the grammar allows and no text can hold.
            serde_json::from_str::<String>(quoted)
                .map_err(|error| ParseError::Syntax(format!("byte {start}: {error}")))?
                .into_boxed_str()
        } else {
            quoted[1..quoted.len() - 1].into()
        };
        Ok(Text { value, span })
    }

    fn number(&mut self) -> Node {
        let rest = &self.text[self.at..];
        let length = rest
            .find(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        self.at += length;
        Node::Number(rest[..length].into())
    }

    fn literal(&mut self, length: usize, node: Node) -> Node {
        self.at += length;
        node
    }

    /// The next byte that is not white space; the validated text always has one.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Json, ParseError> {
        Json::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn reads_every_kind_and_keeps_numbers_as_written() {
        let json = parse(
            r#" {"a": [1, 1.0, 1e2, -0], "b": {"c": null}, "d": "x\ny", "e": true, "f":[]} "#,
        )
        .unwrap();
        let a = json.root().get("a").unwrap().as_array().unwrap();
        let spelled: Vec<_> = a
            .iter()
            .map(|n| if let Node::Number(d) = n { &**d } else { "" })
            .collect();
        assert_eq!(spelled, ["1", "1.0", "1e2", "-0"]);
        assert!(json.root().get("b").unwrap().get("c").unwrap().is_null());
        assert_eq!(json.root().get("d").unwrap().as_str(), Some("x\ny"));
        assert_eq!(json.root().get("e").unwrap().as_bool(), Some(true));
        assert_eq!(json.root().get("f").unwrap().as_array(), Some(&[][..]));
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        assert!(
            matches!(parse(r#"{"a":1,"a":2}"#), Err(ParseError::DuplicateKey(k)) if &*k == "a")
        );
        assert!(matches!(
            parse(r#"{"a":1,"\u0061":2}"#),
            Err(ParseError::DuplicateKey(_))
        ));
        let many: Vec<_> = (0..40).map(|i| format!("\"k{}\":0", i % 39)).collect();
        assert!(
            matches!(parse(&format!("{{{}}}", many.join(","))), Err(ParseError::DuplicateKey(k)) if &*k == "k0")
        );
    }

    #[test]
    fn refuses_bad_text_with_a_reason() {
        assert_eq!(
            Json::parse(Bytes::from_static(b"{\"a\":\"\xff\"}")).unwrap_err(),
            ParseError::NotUtf8(6)
        );
        for bad in [
            "",
            "{",
            "{\"a\":}",
            "[1,]",
            "nul",
            "{\"a\":1}x",
            "\"\\ud800\"",
            "01",
            "\"\u{1}\"",
        ] {
            assert!(matches!(parse(bad), Err(ParseError::Syntax(_))), "{bad:?}");
        }
        assert_eq!(
            parse(&"[".repeat(100_000))
                .unwrap_err()
                .to_string()
                .split(':')
                .next(),
            Some("the body is not valid JSON")
        );
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(parse(&many).unwrap_err(), ParseError::TooMany);
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(parse(&deep(100_000)).unwrap_err(), ParseError::TooDeep);
        for levels in [127, 128] {
            let by_serde = serde_json::from_str::<serde_json::Value>(&deep(levels));
            assert_eq!(parse(&deep(levels)).is_ok(), by_serde.is_ok(), "{levels}");
            assert_eq!(
                Json::check(deep(levels).as_bytes()),
                parse(&deep(levels)).map(|_| ())
            );
        }
    }

    #[test]
    fn replaces_strings_and_nothing_else() {
        let json = parse(r#"{ "b" : 1.00, "a":"old \u00e9" , "z":["x"] }"#).unwrap();
        let a = json
            .root()
            .get("a")
            .unwrap()
            .as_text()
            .unwrap()
            .span
            .clone();
        let edited = json.replace(&[(a, "new \"é\"".into())]).unwrap();
        assert_eq!(
            edited.text(),
            r#"{ "b" : 1.00, "a":"new \"é\"" , "z":["x"] }"#
        );
        assert_eq!(edited.root().get("a").unwrap().as_str(), Some("new \"é\""));
    }
}
