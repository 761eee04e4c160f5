//! Finds lines that only draw: rows of dashes, equals signs and the like.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::compressor::{
    document::{About, Document},
    kind::Kind,
    look::{self, Look},
};

/// A drawn line of so many characters or more becomes one of [`SHORT`].
pub(super) const LONG: usize = 10;
pub(super) const SHORT: usize = 3;

/// Words of messages in which a drawn line is a sign: it parts, counts or is to be filled in. Those with a
/// blank at the end are whole words.
const ABOUT_LINES: &[&str] = &[
    "asterisk",
    "blanks ",
    "boundar",
    "dash ",
    "dashes ",
    "delimit",
    "divid",
    "equal sign",
    "equals sign",
    "fill in",
    "fill out",
    "form ",
    "forms ",
    "hash ",
    "hashes ",
    "horizontal",
    "hyphen",
    "line between",
    "marked by",
    "marker",
    "morse",
    "restructuredtext",
    "row of",
    "rst ",
    "separat",
    "signature",
    "split",
    "star ",
    "stars ",
    "this line",
    "underlin",
    "underscore",
];
static LINES: LazyLock<AhoCorasick> =
    LazyLock::new(|| super::automaton(ABOUT_LINES.iter().map(|word| word.trim_end())));

/// Whether the line is a drawn one that stands between texts.
///
/// Shortened to three marks it still underlines the heading above it, or parts what stands around it.
pub(super) fn is_idle(document: &Document<'_>, number: usize) -> bool {
    let body = document.body(number);
    if !is_drawn(body) || document.about == About::Wording {
        return false;
    }
    let above = number.checked_sub(1);
    let below = Some(number + 1).filter(|below| *below < document.lines.len());
    let kind = document.kinds[number];
    // Three dashes that begin a text open a head of settings.
    let opens = body.starts_with('-') && above.is_none();
    let is_text = |near: Option<usize>| near.is_none_or(|near| reads_as_text(document, near));
    let is_label = |near: Option<usize>| near.is_some_and(|near| is_label(document, near));
    !opens
        && (matches!(kind, Kind::Code | Kind::Diff) || is_parted(kind))
        && (is_text(above) || is_text(below))
        && (is_text(above) || is_label(above))
        && (is_text(below) || is_label(below))
        && !is_measured(document, number)
}

fn is_parted(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Blank | Kind::Prose | Kind::Marked | Kind::Doubtful | Kind::Payload
    )
}

/// Whether a line that nothing encloses is blank or a sentence by itself, whatever its neighbours make of it.
fn reads_as_text(document: &Document<'_>, number: usize) -> bool {
    let line = &document.lines[number];
    let is_sentence = || {
        line.start == line.body
            && document
                .body(number)
                .split_ascii_whitespace()
                .nth(2)
                .is_some()
            && look::of(document.text, line) <= Look::Marked
    };
    let kind = document.kinds[number];
    is_parted(kind) || matches!(kind, Kind::Code | Kind::Entries) && is_sentence()
}

/// A line in brackets that a tool prints about what it shows.
fn is_label(document: &Document<'_>, number: usize) -> bool {
    let body = document.body(number);
    document.kinds[number] == Kind::Json && body.starts_with('[') && body.ends_with(']')
}

/// Whether the line was drawn exactly as long as the one above: there are forms that ask for it.
fn is_measured(document: &Document<'_>, number: usize) -> bool {
    let above = number.checked_sub(1).map(|above| document.body(above));
    above.is_some_and(|above| above.chars().count() == document.body(number).chars().count())
}

/// Whether the line is one mark, many times.
fn is_drawn(line: &str) -> bool {
    let Some(mark) = line.chars().next() else {
        return false;
    };
    // Letters and figures are text, back ticks and tildes are fences, hats point at what stands above.
    (!mark.is_alphanumeric() && !"`~^".contains(mark) && !mark.is_whitespace())
        && line.len() >= LONG * mark.len_utf8()
        && line.chars().all(|c| c == mark)
}

/// Whether the words of a text may be about drawn lines.
pub(super) fn is_spoken_of(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphabetic);
    LINES.find_overlapping_iter(text).any(|found| {
        let is_whole = ABOUT_LINES[found.pattern()].ends_with(' ');
        // A function of that name.
        if bytes.get(found.end()) == Some(&b'(') {
            return false;
        }
        let before = found.start().checked_sub(1).and_then(|at| bytes.get(at));
        !is_whole || !letter(before) && !letter(bytes.get(found.end()))
    })
}
