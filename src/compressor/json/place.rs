//! Says whether a JSON value stands in the text as data, or belongs to code, markup or a sentence.
//!
//! Judged by the line around the value and by the lines next to it, so that the answer does not
//! depend on white space that other edits take out.

#[cfg(test)]
mod tests;

use std::ops::Range;

use memchr::{memchr, memmem, memrchr};

use crate::compressor::Role;

/// What stands further off on the same line is not looked at: such a line is no data set apart.
const FAR: usize = 200;

/// Words of code that a value belongs to.
const CODE_WORDS: &[&[u8]] = &[
    b"and", b"as", b"assert", b"await", b"case", b"const", b"default", b"echo", b"elif", b"else",
    b"export", b"expect", b"for", b"from", b"if", b"import", b"in", b"is", b"lambda", b"let",
    b"new", b"not", b"of", b"or", b"print", b"raise", b"return", b"set", b"then", b"throw",
    b"typeof", b"until", b"var", b"when", b"while", b"with", b"yield",
];

/// Beginnings of lines of code.
const CODE_STARTS: &[&[u8]] = &[
    b"#include",
    b"#define",
    b"...",
    b"//",
    b"/*",
    b">>>",
    b"@",
    b"async ",
    b"class ",
    b"const ",
    b"def ",
    b"export ",
    b"fn ",
    b"func ",
    b"function ",
    b"import ",
    b"let ",
    b"package ",
    b"private ",
    b"public ",
    b"static ",
    b"use ",
    b"using ",
    b"var ",
];

/// Endings of lines that go on in the next: calls, lists, strings, blocks of YAML.
const OPEN_ENDS: &[&[u8]] = &[
    b"{", b"(", b"[", b",", b"=", b";", b"\\", b"=>", b"->", b"&&", b"||", b"\"\"\"", b"'''", b"'",
    b": |", b": |-", b": |+", b": >", b": >-",
];

/// Markup whose text is code or keeps its white space.
const CODE_TAGS: &[&[u8]] = &[
    b"code",
    b"pre",
    b"script",
    b"style",
    b"template",
    b"textarea",
];

/// Whether the value at `at` is data that stands by itself.
///
/// `last` is the end of the value before it, `behind` that of the last one that may be edited: how
/// lines are broken inside those must not matter here.
pub(super) fn is_data(
    text: &str,
    last: usize,
    behind: usize,
    at: &Range<usize>,
    role: Role,
) -> bool {
    let bytes = text.as_bytes();
    let from = at.start.saturating_sub(FAR);
    let line = match memrchr(b'\n', &bytes[from..at.start]) {
        Some(found) => from + found + 1,
        None if from == 0 => 0,
        None => return false,
    };
    let in_log = role == Role::Tool && bytes[at.start] == b'{';
    let settings = role == Role::Tool
        && is_setting(&bytes[line..at.start])
        && memchr(b'\n', &bytes[at.clone()]).is_none()
        && has_settings_around(&bytes[..line], &bytes[at.end..]);
    last <= line
        && !settings
        && leads_to_data(&bytes[line..at.start], in_log)
        && ends_data(&bytes[at.end..], role == Role::Tool)
        && above_is_complete(&bytes[..line], behind)
        && below_is_afresh(&bytes[at.end..])
}

/// The text before the value on its line: nothing, list and quote markers, a label, a tag; with
/// `in_log` also words.
fn leads_to_data(lead: &[u8], in_log: bool) -> bool {
    let body = unmarked(lead);
    if body.trim_ascii().is_empty() {
        // A marker without a blank behind it is a sign of its own: `-{`, `+[`.
        return lead.last().is_none_or(u8::is_ascii_whitespace);
    }
    let spaced = body.last().is_some_and(u8::is_ascii_whitespace);
    let body = body.trim_ascii();
    if is_tag(body) {
        return true;
    }
    if !is_plain(body) || body.starts_with(b"@") {
        return false;
    }
    let word = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'_';
    let first = body.split(word).next().unwrap_or_default();
    let last = body.rsplit(word).next().unwrap_or_default();
    let is_code = |word: &[u8]| {
        CODE_WORDS
            .iter()
            .any(|code| word.eq_ignore_ascii_case(code))
    };
    if is_code(last) || (first.iter().all(u8::is_ascii_lowercase) && is_code(first)) {
        return false;
    }
    let label = body.strip_suffix(b"**").unwrap_or(body);
    if let Some(name) = label.strip_suffix(b":") {
        // Numbers in front are those of lines in a listing.
        let named = name
            .iter()
            .any(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
        return named && !name.ends_with(b":") && !name.ends_with(b"?");
    }
    let ended = body
        .last()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"])-.".contains(byte));
    in_log && spaced && ended && body.iter().any(u8::is_ascii_alphabetic)
}

/// The text behind the value on its line.
fn ends_data(rest: &[u8], is_tool: bool) -> bool {
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .count();
    let rest = &rest[blanks..];
    let Some(first) = rest.first() else {
        return true;
    };
    match first {
        b'\n' => true,
        b'<' => rest.get(1) == Some(&b'/') && !is_code_tag(&rest[2..]),
        b'.' => rest.get(1).is_none_or(u8::is_ascii_whitespace),
        _ if is_tool && blanks > 0 && first.is_ascii_alphanumeric() => {
            let word = rest.split(|byte| !byte.is_ascii_alphanumeric()).next();
            !word.is_some_and(|word| CODE_WORDS.contains(&word))
        }
        _ => false,
    }
}

/// Whether the line above is finished, so that the value is no part of it. Of a line that a value ends
/// on, what comes behind that counts.
fn above_is_complete(above: &[u8], behind: usize) -> bool {
    let end = above.trim_ascii_end().len();
    let from = end.saturating_sub(FAR);
    let start = memrchr(b'\n', &above[from..end]).map_or(from, |found| from + found + 1);
    let whole = start >= behind;
    let line = above[start.max(behind.min(end))..end].trim_ascii_start();
    let opens_code = |tag: usize| is_code_tag(&line[tag + 1..]);
    !OPEN_ENDS.iter().any(|end| line.ends_with(end))
        && !(whole && (is_changed(line) || CODE_STARTS.iter().any(|code| line.starts_with(code))))
        && memmem::find(line, b"<<").is_none()
        && !memchr::memchr_iter(b'<', line).any(opens_code)
}

/// Whether the line below begins something new, so that nothing encloses the value.
fn below_is_afresh(rest: &[u8]) -> bool {
    let Some(end) = memchr(b'\n', rest) else {
        return true;
    };
    let below = rest[end..].trim_ascii_start();
    let Some(first) = below.first() else {
        return true;
    };
    let closes = b")]};,'|".contains(first) || below.starts_with(b"\"\"\"");
    !closes
        && !is_changed(below)
        && !below.starts_with(b"EOF")
        && !below.strip_prefix(b"</").is_some_and(is_code_tag)
}

/// Whether the line above or below is a setting too, as in YAML that a tool shows for editing.
fn has_settings_around(above: &[u8], below: &[u8]) -> bool {
    let above = above.strip_suffix(b"\n").unwrap_or(above);
    let from = above.len().saturating_sub(FAR);
    let start = memrchr(b'\n', &above[from..]).map_or(from, |found| from + found + 1);
    let next = below[..below.len().min(FAR)]
        .split(|byte| *byte == b'\n')
        .nth(1);
    is_setting(&above[start..]) || next.is_some_and(is_setting)
}

/// One bare word and a colon.
fn is_setting(line: &[u8]) -> bool {
    let line = unmarked(line);
    let word = line
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
        .count();
    line.first().is_some_and(u8::is_ascii_lowercase)
        && line.get(word) == Some(&b':')
        && line.get(word + 1).is_none_or(u8::is_ascii_whitespace)
}

/// The line without list and quote markers.
fn unmarked(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii_start();
    loop {
        let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let marker = match line.get(digits) {
            Some(b'.' | b')') if (1..=3).contains(&digits) => digits + 1,
            Some(b'-' | b'*' | b'+' | b'>') if digits == 0 => 1,
            _ if line.starts_with("•".as_bytes()) => "•".len(),
            _ => return line,
        };
        if !line.get(marker).is_some_and(u8::is_ascii_whitespace) {
            return line;
        }
        line = line[marker..].trim_ascii_start();
    }
}

/// No operators, no quotes, and every bracket closed.
fn is_plain(body: &[u8]) -> bool {
    let mut open = 0_usize;
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'{' | b'}' | b'"' | b'`' | b'=' | b'\\' | b'|' | b'$' | b';' | b'<' | b'>' | b'\r' => {
                return false;
            }
            b'\'' => {
                let letter = |at: usize| body.get(at).is_some_and(u8::is_ascii_alphabetic);
                if at == 0 || !letter(at - 1) || !letter(at + 1) {
                    return false;
                }
            }
            b'(' | b'[' => open += 1,
            b')' | b']' if open == 0 => return false,
            b')' | b']' => open -= 1,
            _ => {}
        }
    }
    open == 0
}

/// One opening tag without attributes, and not one of code.
fn is_tag(body: &[u8]) -> bool {
    let name = body
        .strip_prefix(b"<")
        .and_then(|body| body.strip_suffix(b">"));
    name.is_some_and(|name| {
        let named = name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte));
        named && name.first().is_some_and(u8::is_ascii_alphabetic) && !is_code_tag(name)
    })
}

fn is_code_tag(name: &[u8]) -> bool {
    let length = name
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    CODE_TAGS
        .iter()
        .any(|tag| name[..length].eq_ignore_ascii_case(tag))
}

/// A line of a diff: a sign without a blank behind it.
fn is_changed(line: &[u8]) -> bool {
    let signed = matches!(line, [b'+' | b'-', next, ..] if !next.is_ascii_whitespace());
    line.starts_with(b"@@")
        || signed && !line.starts_with(b"---") && !line.starts_with(b"-->")
        || line.starts_with(b"--- a/")
        || line.starts_with(b"+++ ")
}
