//! Takes the white space out of JSON data, and at `aggressive` the repeated keys out of uniform
//! arrays.
//!
//! A value is an object or array of [`SHORT`] bytes or more that parses strictly (RFC 8259) and
//! stands by itself: at the start of a line, behind a label or a tag, or in a tool's line of log. What
//! is code, quoted, fenced or shows the wanted form of an answer keeps its bytes (`json/place.rs`,
//! `json/demo.rs`). Keys, their order, duplicates, numbers and strings are copied byte for byte. Of a
//! value that breaks, nothing changes, the whole values inside it included.
//!
//! The text is read once from left to right: whatever does not parse is behind the reader for good.

mod around;
mod demo;
mod parse;
mod place;
#[cfg(test)]
mod properties;
mod rows;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

use super::{
    Role,
    edit::Edit,
    rule::{Rule, RuleSet},
};
pub(super) use around::{automaton, names, speaks_of_layout};
use parse::{Parser, behind_broken};

/// Below this many bytes a value saves less than looking at it costs.
const SHORT: usize = 40;

/// One edit for each JSON value in `text` that can be shorter.
///
/// `closed` are the byte ranges of fenced code, ascending; a value that touches one stays.
pub(super) fn propose(
    text: &str,
    closed: &[Range<usize>],
    rules: RuleSet,
    role: Role,
) -> Vec<Edit> {
    let mut edits = Vec::new();
    let space = rules.has(Rule::JsonSpace);
    let rows = rules.has(Rule::JsonRows) && role == Role::Tool;
    // What the assistant wrote is what it imitates.
    if role == Role::Assistant || !(space || rows) {
        return edits;
    }
    let mut parser = Parser::default();
    // The ends of the value before and of the last one that may change, and whether that was an example.
    let (mut last, mut last_long, mut shown) = (0, 0, false);
    let mut values = Vec::new();
    let fences = closed;
    let mut closed = fences.iter().peekable();
    let mut at = 0;
    while let Some(found) = memchr2(b'{', b'[', &text.as_bytes()[at..]) {
        let start = at + found;
        while closed.next_if(|fence| fence.end <= start).is_some() {}
        let limit = closed.peek().map_or(text.len(), |fence| fence.start);
        if limit <= start {
            at = closed.peek().map_or(text.len(), |fence| fence.end);
            continue;
        }
        let bytes = &text.as_bytes()[..limit];
        if !may_begin(bytes, start) {
            at = start + 1;
            continue;
        }
        at = match parser.read(bytes, start) {
            Ok(end) => end,
            Err(error) => {
                at = behind_broken(bytes, start, error, parser.depth());
                continue;
            }
        };
        let value = start..at;
        values.push(value.clone());
        let before = std::mem::replace(&mut last, at);
        if value.len() < SHORT {
            continue;
        }
        let behind = std::mem::replace(&mut last_long, at);
        if parser.is_settings() || !place::is_data(text, before, behind, &value, role) {
            continue;
        }
        if role == Role::Tool {
            if parser.is_translations() {
                continue;
            }
        } else {
            shown = demo::is_demonstration(text, behind, &value, role).unwrap_or(shown);
            if shown {
                continue;
            }
        }
        if parser.gaps().is_empty() && !rows {
            continue;
        }
        let minified = parser.minified(text, &value);
        let shorter = if rows { rows::fold(&minified) } else { None };
        let (with, why) = match shorter {
            Some(folded) => (folded, Rule::JsonRows),
            None if space && minified.len() < value.len() => (minified, Rule::JsonSpace),
            None => continue,
        };
        edits.push(Edit {
            at: value,
            with: Cow::Owned(with),
            rule: why,
        });
    }
    if !edits.is_empty() {
        values.extend_from_slice(fences);
        values.sort_unstable_by_key(|range| range.start);
        let is_kept = if role == Role::Tool {
            around::shows_file
        } else {
            speaks_of_layout
        };
        if around::outside(text, &values).any(is_kept) {
            edits.clear();
        }
    }
    edits
}

/// Whether a member can follow the bracket at `start`: brackets in prose cost no more than this.
fn may_begin(bytes: &[u8], start: usize) -> bool {
    let next = bytes[start + 1..].iter().find(|byte| !is_space(**byte));
    next.is_some_and(|next| {
        if bytes[start] == b'{' {
            *next == b'"'
        } else {
            matches!(
                next,
                b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n'
            )
        }
    })
}

/// White space between JSON tokens.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
