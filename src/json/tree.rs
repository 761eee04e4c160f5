//! Makes the tree of a JSON text.

use std::collections::HashSet;

use super::cursor::{Cursor, Fault};
use super::{FEW_KEYS, MAX_DEPTH, MAX_VALUES, Member, Node, Text};

/// Why there is no tree of a text: the first reason in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoTree {
    /// The text breaks JSON's grammar.
    Grammar,
    /// The string that opens here holds half of a character.
    Half(usize),
    /// Arrays and objects stand too deep inside each other.
    TooDeep,
    /// There are more values than the tree may hold.
    TooMany,
    /// This key stands twice in one object.
    DuplicateKey(Box<str>),
}

/// The tree of all of the text.
pub(super) fn of(text: &str) -> Result<Node, NoTree> {
    let mut reader = Reader {
        cursor: Cursor::new(text),
        scratch: String::new(),
        values: 0,
    };
    let root = reader.node(0)?;
    reader.cursor.end().map_err(|_| NoTree::Grammar)?;
    Ok(root)
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    scratch: String,
    values: usize,
}

impl Reader<'_> {
    fn node(&mut self, depth: usize) -> Result<Node, NoTree> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(NoTree::TooMany);
        }
        let cursor = &mut self.cursor;
        match cursor.peek() {
            b'"' => self.string().map(Node::String),
            b'{' | b'[' if depth == MAX_DEPTH => Err(NoTree::TooDeep),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => Ok(cursor.word("true").map(|()| Node::Bool(true))?),
            b'f' => Ok(cursor.word("false").map(|()| Node::Bool(false))?),
            b'n' => Ok(cursor.word("null").map(|()| Node::Null)?),
            _ => Ok(cursor.number().map(|digits| Node::Number(digits.into()))?),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, NoTree> {
        self.cursor.expect(b'{')?;
        let mut members: Vec<Member> = Vec::new();
        let mut seen: HashSet<Box<str>> = HashSet::new();
        let mut is_first = true;
        while self.cursor.next(b'}', &mut is_first)? {
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
                return Err(NoTree::DuplicateKey(key));
            }
            self.cursor.expect(b':')?;
            let value = self.node(depth + 1)?;
            members.push(Member { key, value });
        }
        Ok(Node::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Node, NoTree> {
        self.cursor.expect(b'[')?;
        let mut items = Vec::new();
        let mut is_first = true;
        while self.cursor.next(b']', &mut is_first)? {
            items.push(self.node(depth + 1)?);
        }
        Ok(Node::Array(items))
    }

    fn string(&mut self) -> Result<Text, NoTree> {
        self.cursor.peek();
        let start = self.cursor.at();
        match self.cursor.string(&mut self.scratch) {
            Ok(value) => Ok(Text {
                value: value.into(),
                span: start..self.cursor.at(),
            }),
            Err(Fault::Half) => Err(NoTree::Half(start)),
            Err(Fault::Grammar) => Err(NoTree::Grammar),
        }
    }
}

impl From<Fault> for NoTree {
    /// Halves of characters stand in strings alone.
    fn from(_: Fault) -> Self {
        Self::Grammar
    }
}
