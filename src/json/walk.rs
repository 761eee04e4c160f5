//! Makes the tree of a JSON text that has been checked.

use std::collections::HashSet;

use super::{FEW_KEYS, MAX_DEPTH, MAX_VALUES, Member, Node, ParseError, Text};

/// Walks over a text that `serde_json` has accepted, which is why it may skip what it need not see.
pub(super) struct Walk<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl<'a> Walk<'a> {
    /// Makes the tree of a valid text.
    pub(super) fn tree(text: &'a str) -> Result<Node, ParseError> {
        let mut walk = Self {
            text,
            at: 0,
            values: 0,
        };
        walk.node(0)
    }

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
        let value = match unescape(&quoted[1..quoted.len() - 1]) {
            Some(value) => value,
            // Only here do lone surrogates show, which the grammar allows and no text can hold.
            None => serde_json::from_str::<String>(quoted)
                .map_err(|error| ParseError::Syntax(format!("byte {start}: {error}")))?
                .into_boxed_str(),
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

/// The text that a valid string stands for; `None` where that is none.
fn unescape(written: &str) -> Option<Box<str>> {
    let Some(first) = memchr::memchr(b'\\', written.as_bytes()) else {
        return Some(written.into());
    };
    let mut text = String::with_capacity(written.len());
    let (mut rest, mut at) = (written, first);
    loop {
        text.push_str(&rest[..at]);
        let (character, length) = escaped(&rest[at..])?;
        text.push(character);
        rest = &rest[at + length..];
        match memchr::memchr(b'\\', rest.as_bytes()) {
            Some(next) => at = next,
            None => break,
        }
    }
    text.push_str(rest);
    Some(text.into_boxed_str())
}

/// The character that an escape sequence stands for, and the sequence's length.
fn escaped(sequence: &str) -> Option<(char, usize)> {
    let plain = match sequence.as_bytes().get(1)? {
        b'n' => '\n',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unit(sequence).and_then(|unit| utf16(unit, sequence)),
        _ => return None,
    };
    Some((plain, 2))
}

/// The character that begins with this unit of UTF-16.
fn utf16(unit: u16, sequence: &str) -> Option<(char, usize)> {
    let units = [
        unit,
        self::unit(sequence.get(6..).unwrap_or_default()).unwrap_or_default(),
    ];
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 6 * character.len_utf16()))
}

/// The number in a sequence such as `\u00e9`.
fn unit(sequence: &str) -> Option<u16> {
    u16::from_str_radix(sequence.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

/// The place after the closing quote of the string that opens at `start`, in valid JSON; in other text, one that is not
/// beyond its end.
pub(crate) fn end_of_string(bytes: &[u8], start: usize) -> usize {
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any text, with sequences of every kind among it, good and bad.
    fn written() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            any::<String>(),
            any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
            (0xD7F0_u16..0xE010).prop_map(|unit| format!("\\u{unit:04X}")),
            proptest::sample::select(vec![
                "\\n",
                "\\\"",
                "\\\\",
                "\\/",
                "\\t",
                "\\b",
                "\\f",
                "\\r",
                "\\ud83d\\ude00"
            ])
            .prop_map(ToOwned::to_owned),
        ];
        proptest::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_string_is_what_serde_json_makes_of_it(written in written()) {
            let quoted = format!("\"{written}\"");
            // The walk sees valid text only.
            prop_assume!(serde_json::from_str::<serde::de::IgnoredAny>(&quoted).is_ok());
            let expected = serde_json::from_str::<String>(&quoted).ok();
            prop_assert_eq!(unescape(&written).map(String::from), expected);
        }
    }
}
