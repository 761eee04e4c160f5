//! Replaces strings of a JSON text, and moves its tree along.

use std::ops::Range;

use super::{Json, Member, Node, Text, escape};

impl Json {
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
            escape::write(&value, &mut text);
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
