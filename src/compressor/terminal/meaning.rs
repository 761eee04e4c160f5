//! Tells control sequences that only adorn from those that a reader would miss.
//!
//! Colour that says what was removed, or what state something is in, is part of the text; and what a terminal
//! would draw elsewhere is not what stands there once the way there is gone.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};
use memchr::{memchr, memmem};

/// Words of texts that explain their colours, or that say by their colours what they do not say otherwise.
const ABOUT_COLOUR: &[&str] = &[
    "amber",
    "blinking",
    "blue",
    "bold",
    "color",
    "color-coded",
    "colored",
    "colors",
    "colour",
    "colour-coded",
    "coloured",
    "colours",
    "crossed",
    "cyan",
    "dimmed",
    "gray",
    "green",
    "grey",
    "greyed",
    "highlight",
    "highlighted",
    "highlights",
    "inverted",
    "legend",
    "magenta",
    "marked",
    "orange",
    "pink",
    "purple",
    "red",
    "shaded",
    "strikethrough",
    "strike-through",
    "struck",
    "underlined",
    "yellow",
];
static COLOUR: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostLongest)
        .build(ABOUT_COLOUR)
        .expect("a few short words make an automaton")
});

const STRUCK: u16 = 9;
const CONCEALED: u16 = 8;

/// Those of the `runs` of touching sequences that carry no meaning.
pub(super) fn without(text: &str, runs: &[Range<usize>]) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let hides = |run: &Range<usize>| {
        each(bytes, run).any(|sequence| {
            parameters(sequence).any(|number| number == STRUCK || number == CONCEALED)
        })
    };
    if runs.is_empty() || runs.iter().any(hides) || speaks_of_colour(bytes, runs) {
        return Vec::new();
    }
    let is_diff = memmem::find(bytes, b"@@ -").is_some();
    let mut plain = Vec::with_capacity(runs.len());
    let mut rest = runs;
    while let Some(first) = rest.first() {
        let start = memchr::memrchr(b'\n', &bytes[..first.start]).map_or(0, |at| at + 1);
        let end = memchr(b'\n', &bytes[first.end..]).map_or(bytes.len(), |at| first.end + at);
        let (line, others) = rest.split_at(rest.partition_point(|run| run.start < end));
        if !is_needed(text, start..end, line, is_diff) {
            plain.extend_from_slice(line);
        }
        rest = others;
    }
    plain
}

/// Whether one of the `runs` in the line at `at` says more than how its text looks.
fn is_needed(text: &str, at: Range<usize>, runs: &[Range<usize>], is_diff: bool) -> bool {
    let bytes = text.as_bytes();
    let is_changed =
        |visible: Option<&str>| visible.is_some_and(|text| text.starts_with(['+', '-']));
    let shown = if runs[0].start == at.start {
        runs[0].end
    } else {
        at.start
    };
    // A change within a line shows by its colours alone, one of a whole line by its sign.
    let is_diff = is_diff && !is_changed(text.get(shown..at.end));
    let mut before = at.start;
    let mut last = None;
    for (number, run) in runs.iter().enumerate() {
        let next = runs.get(number + 1).map_or(at.end, |next| next.start);
        let left = text[before..run.start].chars().next_back();
        let right = text[run.end..next].chars().next();
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_blank = |c: Option<char>| c.is_none_or(char::is_whitespace);
        if is_word(left) && is_word(right) {
            return true;
        }
        let colour = each(bytes, run).filter_map(colour).last();
        // Removed and added: without a blank between the two, nothing else parts them.
        let is_change = colour.is_some() && last.is_some() && colour != last;
        if is_change && !is_blank(left) && !is_blank(right)
            || is_diff && left.is_some() && colour.is_some()
        {
            return true;
        }
        last = colour;
        let starts =
            text[before..run.start].trim_ascii().is_empty() && number == 0 || left == Some('\r');
        let ends = number + 1 == runs.len() && text[run.end..next].trim_ascii().is_empty()
            || right == Some('\r');
        if each(bytes, run).any(|sequence| is_move(sequence, starts || ends)) {
            return true;
        }
        before = run.end;
    }
    false
}

/// The sequences of a run.
fn each<'b>(bytes: &'b [u8], run: &Range<usize>) -> impl Iterator<Item = &'b [u8]> {
    let (mut at, end) = (run.start, run.end);
    std::iter::from_fn(move || {
        let start = at;
        if start >= end {
            return None;
        }
        at = super::end_of_sequence(bytes, start).ok()?;
        Some(&bytes[start..at])
    })
}

/// Whether the sequence draws what follows, or has drawn what stands before, elsewhere or not at all.
fn is_move(sequence: &[u8], is_edge: bool) -> bool {
    match (sequence.get(1), sequence.last()) {
        // Modes, looks and the shape of the cursor.
        (Some(b'['), Some(b'm' | b'h' | b'l' | b'q')) => false,
        // To the right and repeated: these stand for text.
        (Some(b'['), Some(b'C' | b'a' | b'b' | b'@' | b'I')) => true,
        (Some(b'[' | b'7' | b'8' | b'c' | b'D' | b'E' | b'H' | b'M'), _) => !is_edge,
        _ => false,
    }
}

/// The parameters of a sequence that selects how text looks, without those that tell a colour of the palette.
fn parameters(sequence: &[u8]) -> impl Iterator<Item = u16> {
    let inner = sequence
        .strip_prefix(b"\x1b[")
        .and_then(|inner| inner.strip_suffix(b"m"));
    let mut numbers = inner
        .unwrap_or_default()
        .split(|byte| *byte == b';')
        .map(|number| {
            let head = number
                .split(|byte| *byte == b':')
                .next()
                .unwrap_or_default();
            let value = std::str::from_utf8(head)
                .ok()
                .and_then(|head| head.parse().ok());
            (value.unwrap_or(0), head.len() < number.len())
        });
    std::iter::from_fn(move || {
        let (number, is_whole) = numbers.next()?;
        if matches!(number, 38 | 48 | 58) && !is_whole {
            match numbers.next() {
                Some((5, _)) => drop(numbers.next()),
                Some((2, _)) => drop(numbers.nth(2)),
                _ => (),
            }
        }
        Some(number)
    })
}

/// `true` for the green of what was added, `false` for the red of what was removed.
fn colour(sequence: &[u8]) -> Option<bool> {
    let colours = parameters(sequence).filter_map(|number| match number {
        31 | 41 | 91 | 101 => Some(false),
        32 | 42 | 92 | 102 => Some(true),
        _ => None,
    });
    colours.last()
}

/// Whether one of the words stands in what is visible.
fn speaks_of_colour(bytes: &[u8], runs: &[Range<usize>]) -> bool {
    let mut visible = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for run in runs {
        visible.extend_from_slice(&bytes[from..run.start]);
        from = run.end;
    }
    visible.extend_from_slice(&bytes[from..]);
    // Names of options and packages, and settings, are no talk.
    let joins = |byte: Option<&u8>, marks: &[u8]| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || marks.contains(byte))
    };
    COLOUR.find_iter(&visible).any(|found| {
        let before = found.start().checked_sub(1).and_then(|at| visible.get(at));
        !joins(before, b"-_/.@") && !joins(visible.get(found.end()), b"_=@/")
    })
}
