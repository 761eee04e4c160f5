//! Reads what stands around the values of a message: talk about the bytes of the text, or signs of a
//! shown file, keep every value of it.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::memmem;

/// Talk about the white space itself, about places in the text or about its bytes. Those with a blank at
/// the end are whole words.
const LAYOUT: &[&str] = &[
    "align",
    "as is ",
    "as it is ",
    "as it stands",
    "beautif",
    "byte",
    "character",
    "checksum",
    "column ",
    "columns ",
    "content-length",
    "diff ",
    "exact",
    "formatting",
    "gaps ",
    "hash ",
    "hmac",
    "how it looks",
    "indent",
    "layout",
    "line ",
    "lines ",
    "lint",
    "md5",
    "minif",
    "modified",
    "patch ",
    "pretti",
    "pretty-print",
    "pretty print",
    "raw ",
    "sha ",
    "sha1",
    "sha256",
    "sha512",
    "sign ",
    "signature",
    "spaces ",
    "tab ",
    "tabs ",
    "token",
    "unchanged",
    "unformatted",
    "unmodified",
    "verbatim",
    "white space",
    "whitespace",
];
static FIND_LAYOUT: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(LAYOUT));
/// Endings of the names of files that hold JSON.
const FILES: &[&[u8]] = &[
    b".json",
    b".ipynb",
    b".webmanifest",
    b"rc",
    b".code-workspace",
];
/// Programs that show a file, as the first word of a line or behind a prompt.
const SHOWS: &[&[u8]] = &[
    b"cat ",
    b"sed -n ",
    b"head ",
    b"tail ",
    b"less ",
    b"more ",
    b"bat ",
    b"nl ",
    b"[File: ",
    b"Open file",
    b"File: ",
    b"==> ",
];

/// The text between `closed`, which are ascending and may overlap.
pub(super) fn outside<'t>(
    text: &'t str,
    closed: &'t [Range<usize>],
) -> impl Iterator<Item = &'t [u8]> {
    let ends = closed.iter().map(|range| range.start);
    let mut at = 0;
    ends.chain([text.len()]).enumerate().map(move |(nth, end)| {
        let piece = text.as_bytes().get(at..end).unwrap_or_default();
        if let Some(range) = closed.get(nth) {
            at = at.max(range.end);
        }
        piece
    })
}

/// Finds `words` in any case, for [`names`].
pub(in crate::compressor) fn automaton(words: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(words.iter().map(|word| word.trim_end()))
        .expect("a few short words make an automaton")
}

/// Whether the words are about bytes, places or white space.
pub(in crate::compressor) fn speaks_of_layout(text: &[u8]) -> bool {
    names(&FIND_LAYOUT, LAYOUT, text)
}

/// Whether one of `words` begins a word of the text, or is one where it ends with a blank.
pub(in crate::compressor) fn names(find: &AhoCorasick, words: &[&str], text: &[u8]) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    find.find_iter(text).any(|found| {
        let whole = words[found.pattern()].ends_with(' ');
        let before = found.start().checked_sub(1).and_then(|at| text.get(at));
        !(letter(before) || whole && letter(text.get(found.end())))
    })
}

/// Whether the text names a file of JSON or a program that shows files.
pub(super) fn shows_file(text: &[u8]) -> bool {
    FILES.iter().any(|name| {
        memmem::find_iter(text, name).any(|at| {
            let word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let end = at + name.len();
            // `.jsonc` and `.jsonl` have one more letter.
            let end = end + usize::from(*name == b".json" && word(text.get(end)));
            let called = matches!(text.get(end), Some(b'(' | b'_'));
            let is_dotted = name[0] == b'.' || {
                let start = text[..at]
                    .iter()
                    .rev()
                    .take_while(|byte| byte.is_ascii_lowercase());
                let start = at - start.count();
                start > 0 && start < at && text[start - 1] == b'.'
            };
            is_dotted && !called && !word(text.get(end))
        })
    }) || text.split(|byte| *byte == b'\n').any(is_shown)
}

fn is_shown(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let command = match line.iter().position(|byte| b"$#%>".contains(byte)) {
        Some(at) if at < 80 && line.get(at + 1) == Some(&b' ') => line[at + 1..].trim_ascii_start(),
        _ => line,
    };
    SHOWS
        .iter()
        .any(|start| line.starts_with(start) || command.starts_with(start))
}
