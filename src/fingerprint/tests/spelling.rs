//! The many ways to write one JSON value.

use std::fmt::Write as _;

use fastrand::Rng;
use proptest::prelude::*;

use super::bodies::Tree;

/// How to write what means the same: a seed for each freedom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    pub(super) order: u64,
    pub(super) blanks: u64,
    pub(super) escapes: u64,
}

/// Writes JSON, free in all that means nothing.
struct Pen {
    order: Rng,
    blanks: Rng,
    escapes: Rng,
    text: String,
}

pub(super) fn spelling() -> impl Strategy<Value = Spelling> {
    any::<[u64; 3]>().prop_map(|[order, blanks, escapes]| Spelling {
        order,
        blanks,
        escapes,
    })
}

impl Tree {
    /// The text in this spelling.
    pub(super) fn spell(&self, spelling: Spelling) -> String {
        let mut pen = Pen {
            order: Rng::with_seed(spelling.order),
            blanks: Rng::with_seed(spelling.blanks),
            escapes: Rng::with_seed(spelling.escapes),
            text: String::new(),
        };
        pen.value(self);
        pen.blanks();
        pen.text
    }
}

// === impl Pen ===

impl Pen {
    fn blanks(&mut self) {
        while self.blanks.u8(..4) == 0 {
            let blank = self.blanks.choice([" ", "\n", "\t", "\r", "\r\n"]);
            self.text.extend(blank);
        }
    }

    fn token(&mut self, token: &str) {
        self.blanks();
        self.text.push_str(token);
    }

    fn value(&mut self, tree: &Tree) {
        match tree {
            Tree::Null => self.token("null"),
            Tree::Bool(value) => self.token(if *value { "true" } else { "false" }),
            Tree::Number(digits) => self.token(digits),
            Tree::String(text) => self.string(text),
            Tree::Array(items) => {
                self.token("[");
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        self.token(",");
                    }
                    self.value(item);
                }
                self.token("]");
            }
            Tree::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                self.order.shuffle(&mut fields);
                self.token("{");
                for (at, (key, value)) in fields.into_iter().enumerate() {
                    if at > 0 {
                        self.token(",");
                    }
                    self.string(key);
                    self.token(":");
                    self.value(value);
                }
                self.token("}");
            }
        }
    }

    fn string(&mut self, text: &str) {
        self.token("\"");
        for c in text.chars() {
            let short = match c {
                '"' => Some("\\\""),
                '\\' => Some("\\\\"),
                '/' => Some("\\/"),
                '\n' => Some("\\n"),
                '\t' => Some("\\t"),
                _ => None,
            };
            let must = c < ' ' || matches!(c, '"' | '\\');
            match (self.escapes.u8(..4), short) {
                (0, Some(short)) => self.text.push_str(short),
                (0 | 1, _) => self.by_number(c),
                _ if must => self.by_number(c),
                _ => self.text.push(c),
            }
        }
        self.text.push('"');
    }

    /// The character as `\u…`, beyond the first plane as a pair.
    fn by_number(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = if self.escapes.bool() {
                write!(self.text, "\\u{unit:04x}")
            } else {
                write!(self.text, "\\u{unit:04X}")
            };
        }
    }
}
