//! One row of the tables: what is replaced by what, and where that is right.

use std::ops::Range;

use crate::compressor::rule::Rule;

/// A wording and its replacement.
///
/// In `from`, `(a|b)` stands for either, `[a]` for `a` or nothing, and what is before a first `~`
/// or behind a second is looked for but kept. All is lower case; what the text has at a sentence's start
/// may be capitalised.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) rule: Rule,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    pub(super) left: Left,
    pub(super) right: Right,
    pub(super) rest: Rest,
}

/// What stands before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Left {
    Any,
    /// A sentence starts here.
    Start,
    /// A sentence starts here, or one of these words (or a comma) stands before.
    StartOr(&'static str),
    /// One of these words.
    After(&'static str),
    /// A word other than these, or nothing but white space and punctuation.
    Not(&'static str),
    /// A word other than these, and nothing in the line that is put in order.
    Unordered(&'static str),
    /// A verb or its object, as far as can be told, or the sentence starts here; none of these words.
    Action(&'static str),
    /// No other aside and no adverb near it.
    Apart,
    /// A sentence starts here, or its main clause behind `If …,`, `From now on,` and the like.
    Lead,
    /// This is the first sentence of the message.
    Opening,
    /// This is the last sentence of the message.
    Closing,
}

/// What stands behind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Right {
    Any,
    /// A word in small letters that may be a verb in its plain form.
    Lower,
    /// One of these words.
    Word(&'static str),
    /// None of these words, but a word in small letters.
    NotWord(&'static str),
    /// A verb that can begin a request, perhaps with an adverb.
    Verb,
    /// An adjective after which `a` stays `a`.
    Consonant,
    /// Any verb in its plain form.
    AnyVerb,
    /// None of these words, but a word.
    Complement(&'static str),
    /// A clause: its first word, or a protected span.
    Clause,
    /// The same, or a plural noun.
    Statement,
    /// `doing`.
    Gerund,
    /// A plural noun, perhaps with one word before it.
    Plural,
    /// A digit.
    Number,
    /// Punctuation or the line's end.
    End,
    /// The same, or one of these words.
    EndOr(&'static str),
}

/// What the rest of the sentence is like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rest {
    Any,
    /// Nothing is coordinated in it.
    Lone,
    /// The same, but one comma may end a clause.
    OneClause,
    /// Nothing is coordinated in it and nothing behind it refers back, so that a noun may become a verb.
    Sole,
    /// No second `to` hangs on the words that go.
    OneVerb,
    /// The same, and a question mark at the end becomes a full stop.
    Request,
    /// No second `that` hangs on the words that go.
    OneThat,
    /// Nothing hangs on `able` behind it, so that `can` may stand there.
    OneAble,
    /// The sentence begins with what the speaker will do, and no second verb hangs on the words that go.
    Promised,
    /// No second `of` hangs on the words that go.
    OneOf,
    /// No second `with` hangs on the words that go.
    OneWith,
    /// At least two words.
    TwoWords,
    /// What is compared or graded: the word that follows stands nowhere else in the line.
    Ungraded,
    /// The line says nothing about style.
    Unstyled,
}

// === impl Entry ===

impl Entry {
    pub(super) const fn new(rule: Rule, from: &'static str, to: &'static str) -> Self {
        Self {
            rule,
            from,
            to,
            left: Left::Any,
            right: Right::Any,
            rest: Rest::Any,
        }
    }

    /// Whether it stands before a request and is no part of it.
    pub(super) const fn opens_request(&self) -> bool {
        let opens = matches!(self.left, Left::Start | Left::Lead | Left::StartOr(_));
        let requests = matches!(self.right, Right::Verb | Right::AnyVerb);
        opens && requests && matches!(self.rule, Rule::Frames | Rule::Courtesy)
    }

    pub(super) const fn to(self, to: &'static str) -> Self {
        Self { to, ..self }
    }

    pub(super) const fn left(self, left: Left) -> Self {
        Self { left, ..self }
    }

    pub(super) const fn right(self, right: Right) -> Self {
        Self { right, ..self }
    }

    pub(super) const fn rest(self, rest: Rest) -> Self {
        Self { rest, ..self }
    }
}

/// One wording that an entry stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wording {
    pub(super) text: String,
    /// The bytes of it that are replaced.
    pub(super) part: Range<usize>,
}

/// All wordings that `from` stands for.
pub(super) fn expand(from: &str) -> Vec<Wording> {
    let mut texts = vec![String::new()];
    alternatives(from, &mut texts);
    texts
        .into_iter()
        .map(|text| {
            let mut marks = text.match_indices('~').map(|(at, _)| at);
            let start = marks.next();
            let end = marks.next().map(|at| at - 1);
            let text = text.replace('~', "");
            let part = start.unwrap_or(0)..end.unwrap_or(text.len());
            Wording { text, part }
        })
        .collect()
}

/// Appends each reading of `pattern` to each of `texts`.
fn alternatives(pattern: &str, texts: &mut Vec<String>) {
    let mut rest = pattern;
    while let Some(open) = rest.find(['(', '[']) {
        for text in texts.iter_mut() {
            text.push_str(&rest[..open]);
        }
        let (inside, behind) = group(&rest[open..]);
        let mut readings = Vec::new();
        if rest[open..].starts_with('[') {
            readings.extend(texts.iter().cloned());
        }
        for part in parts(inside) {
            let mut branch = texts.clone();
            alternatives(part, &mut branch);
            readings.append(&mut branch);
        }
        *texts = readings;
        rest = behind;
    }
    for text in texts.iter_mut() {
        text.push_str(rest);
    }
}

/// What is inside the brackets that `pattern` starts with, and what is behind them.
fn group(pattern: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    for (at, byte) in pattern.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&pattern[1..at], &pattern[at + 1..]);
        }
    }
    (&pattern[1..], "")
}

/// The alternatives of a group, split at its own bars.
fn parts(inside: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    inside
        .split(|c: char| {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ => {}
            }
            c == '|' && depth == 0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn patterns_expand() {
        let texts = |from| {
            expand(from)
                .into_iter()
                .map(|wording| wording.text)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("a b"), ["a b"]);
        assert_eq!(texts("a( b| c)[ d]"), ["a b", "a c", "a b d", "a c d"]);
        assert_eq!(texts("x( (y|z) w|v)"), ["x y w", "x z w", "xv"]);
        let parts = |from| {
            expand(from)
                .into_iter()
                .map(|wording| wording.part)
                .collect::<Vec<_>>()
        };
        assert_eq!(texts("(i|you)~ am"), ["i am", "you am"]);
        assert_eq!(parts("(i|you)~ am"), [1..4, 3..6]);
        assert_eq!(texts("all~ of~ the"), ["all of the"]);
        assert_eq!(parts("all~ of~ the").first(), Some(&(3..6)));
    }
}
