//! Says whether a JSON value shows the wanted form of an answer: a model copies the form it is shown,
//! white space included.

use std::ops::Range;

use memchr::{memchr2, memmem, memrchr};

use crate::compressor::Role;

/// As far as instructions about a value stand from it, in bytes.
const NEAR: usize = 220;
/// From here on a value is data, whatever is said about it.
const LONG: usize = 1_500;

/// Beginnings of words with which people ask for a form.
const FORM: &[&[u8]] = &[
    b"answer",
    b"assistant",
    b"emit",
    b"exampl",
    b"expected",
    b"follow",
    b"format",
    b"illustrat",
    b"outline",
    b"output",
    b"pattern",
    b"produc",
    b"repl",
    b"respon",
    b"return",
    b"sampl",
    b"schema",
    b"shape",
    b"structur",
    b"style",
    b"syntax",
    b"templat",
];
/// Those that ask for it even before a list of tools.
const STRONG: &[&[u8]] = &[
    b"answer", b"emit", b"exampl", b"output", b"repl", b"respon", b"return", b"sampl", b"templat",
];
/// Names of the form itself.
const SHAPE: &[&[u8]] = &[
    b"exampl",
    b"format",
    b"schema",
    b"shape",
    b"structur",
    b"syntax",
    b"templat",
];
/// The same in two words.
const PHRASES: &[&[u8]] = &[
    b"like this",
    b"as follows",
    b"such as",
    b"look like",
    b"looks like",
    b"e.g.",
];
/// What comes after `following` when it announces data.
const DATA: &[&[u8]] = &[
    b"article",
    b"conversation",
    b"customer",
    b"data",
    b"document",
    b"event",
    b"information",
    b"input",
    b"item",
    b"list",
    b"log",
    b"message",
    b"metadata",
    b"order",
    b"payload",
    b"product",
    b"profile",
    b"record",
    b"report",
    b"result",
    b"table",
    b"text",
    b"user",
];
/// Talk about the white space itself, or about places in the text.
const LAYOUT: &[&[u8]] = &[
    b"beautif",
    b"column",
    b"indent",
    b"lint",
    b"minif",
    b"pretti",
    b"pretty",
    b"unformatted",
    b"whitespace",
];
/// What introduces an answer in a row of questions and answers.
const TURNS: &[&[u8]] = &[
    b"a:",
    b"ai:",
    b"answer:",
    b"assistant:",
    b"bot:",
    b"completion:",
    b"expected:",
    b"expected output:",
    b"gpt:",
    b"model:",
];
/// A label that is longer is a sentence.
const LABEL: usize = 40;

/// Whether the value at `at` is an example of what to answer; `None` if nothing is said about it that
/// is not said about the value before it, which ends at `behind`.
pub(super) fn is_demonstration(
    text: &str,
    behind: usize,
    at: &Range<usize>,
    role: Role,
) -> Option<bool> {
    let bytes = text.as_bytes();
    // What stands in the values around is data and no talk about this one.
    let before = &bytes[at.start.saturating_sub(NEAR).max(behind)..at.start];
    let after = &bytes[at.end..(at.end + NEAR).min(bytes.len())];
    let after = &after[..memchr2(b'{', b'[', after).unwrap_or(after.len())];
    if words(before)
        .chain(words(after))
        .any(|word| begins(word, LAYOUT))
    {
        return Some(true);
    }
    let line = last_line(before);
    let label = line.trim_ascii_start();
    if TURNS.iter().any(|turn| label.eq_ignore_ascii_case(turn)) {
        return Some(true);
    }
    if at.len() >= LONG {
        return Some(false);
    }
    if is_asked_again(bytes, at, label) || refers_back(after) {
        return Some(true);
    }
    if is_tool_list(&bytes[at.clone()], line) {
        return Some(words(line).any(|word| begins(word, STRONG)));
    }
    let silent = behind > 0 && words(before).next().is_none();
    if silent {
        None
    } else {
        let is_loose = role == Role::System && !line.is_empty() && !announces(line);
        Some(is_loose || asks_for_form(before))
    }
}

/// Whether a line says that data or tools follow: it ends as an announcement does and names them.
fn announces(line: &[u8]) -> bool {
    const SAYS: &[&[u8]] = &[b"says", b"said", b"asks", b"writes", b"wrote"];
    const MORE: &[&[u8]] = &[
        b"account",
        b"action",
        b"api",
        b"available",
        b"catalog",
        b"config",
        b"context",
        b"function",
        b"histor",
        b"inventor",
        b"plugin",
        b"state",
        b"tool",
    ];
    let line = line.trim_ascii_end();
    let ends = line.starts_with(b"#")
        || line.ends_with(b":")
        || line.ends_with(b":**")
        || line.ends_with(b">")
        || line.ends_with(b".");
    ends && words(line).any(|word| begins(word, DATA) || begins(word, MORE))
        && !words(line).any(|word| begins(word, SAYS))
}

/// A text that ends with the label of this value wants another value like it.
fn is_asked_again(bytes: &[u8], at: &Range<usize>, label: &[u8]) -> bool {
    let tail = &bytes[at.end.max(bytes.len().saturating_sub(NEAR))..];
    let end = last_line(tail).trim_ascii_start();
    label.ends_with(b":") && label.len() <= LABEL && end.eq_ignore_ascii_case(label)
}

/// Whether what follows speaks of the form above: `this format`, `the structure above`.
fn refers_back(after: &[u8]) -> bool {
    let points = |word: &[u8]| {
        [&b"above"[..], b"same", b"that", b"this"]
            .iter()
            .any(|pointer| word.eq_ignore_ascii_case(pointer))
    };
    let mut last: &[u8] = b"";
    words(after).any(|word| {
        let (first, second) = (std::mem::replace(&mut last, word), word);
        points(first) && begins(second, SHAPE) || begins(first, SHAPE) && points(second)
    })
}

/// Definitions of tools behind an announcement of tools.
fn is_tool_list(value: &[u8], line: &[u8]) -> bool {
    let about = |word| begins(word, &[b"function", b"tool", b"api", b"action", b"plugin"]);
    let has = |key: &[u8]| memmem::find(value, key).is_some();
    words(line).any(about)
        && has(b"\"name\"")
        && (has(b"\"parameters\"") || has(b"\"input_schema\"") || has(b"\"inputSchema\""))
}

fn asks_for_form(before: &[u8]) -> bool {
    let mut following = false;
    for word in words(before) {
        if following && !word.eq_ignore_ascii_case(b"json") {
            following = false;
            if !begins(word, DATA) {
                return true;
            }
        }
        if begins(word, &[b"follow"]) {
            following = true;
        } else if begins(word, FORM) {
            return true;
        }
    }
    let lower = before.to_ascii_lowercase();
    following
        || PHRASES
            .iter()
            .any(|phrase| memmem::find(&lower, phrase).is_some())
}

/// The last line that is not blank, without its indentation.
fn last_line(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_end();
    let start = memrchr(b'\n', text).map_or(0, |found| found + 1);
    text[start..].trim_ascii_start()
}

/// Runs of ASCII letters; those behind an underscore or a digit are words too.
fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphabetic())
        .filter(|word| !word.is_empty())
}

fn begins(word: &[u8], stems: &[&[u8]]) -> bool {
    stems.iter().any(|stem| {
        word.len() >= stem.len()
            && word[0].eq_ignore_ascii_case(&stem[0])
            && word[..stem.len()].eq_ignore_ascii_case(stem)
    })
}
