//! White space that no reader of prose sees, characters that nobody sees, and lines that only draw.

mod blank_lines;
mod drawn;
mod endings;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::{
    Role, disguise,
    document::{About, Document},
    edit::Edit,
    kind::Kind,
    lines::{self, Line},
    rule::{Rule, RuleSet},
};

/// Words of tasks in which white space is what is asked about, or must come back as it was.
const ABOUT_SPACE: &[&str] = &[
    "whitespace",
    "white space",
    "white-space",
    "double space",
    "double-space",
    "extra space",
    "trailing space",
    "multiple spaces",
    "of spaces",
    "spaces between",
    "spacing",
    "blank line",
    "empty line",
    "line break",
    "newline",
    "verbatim",
    "proofread",
    "character count",
    "number of characters",
    "ascii art",
    "hidden",
    "invisible",
    "zero-width",
    "zero width",
    "unicode",
    "nbsp",
    "non-breaking",
    "watermark",
    "regex",
    "not match",
    "n't match",
    "not equal",
    "two blanks",
    "blanks",
    "full stop",
];

/// From this length on, in bytes, only what stands near the beginning and the end of a text that is not a
/// tool's can be its task.
const LONG_TEXT: usize = 6_000;
const NEAR: usize = 1_500;

/// Marks of list items that nobody types in code; those of private use are of symbol fonts.
const BULLETS: &str = "•◦▪‣·\u{f0a7}\u{f0b7}\u{f0d8}\u{f0fc}";

/// A line so long, in bytes, in which only sentences are parted by more than a space is written text.
const SENTENCES: usize = 80;

/// Whether any rule could apply, found without cutting the text into lines.
pub(super) fn is_worth_a_look(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.trim_ascii().is_empty() {
        return false;
    }
    // What looks like nothing begins with one of these bytes.
    if memchr::memchr3(0xE2, 0xC2, 0xEF, bytes).is_some()
        || matches!(bytes, [b'\n' | b'\r', ..] | [.., b'\n'])
    {
        return true;
    }
    let (mut start, mut blank_lines) = (0, 0);
    loop {
        let stop = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        let line = &bytes[start..stop];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let body = line
            .iter()
            .position(|byte| !lines::is_blank(*byte))
            .unwrap_or(line.len());
        blank_lines = if body == line.len() {
            blank_lines + 1
        } else {
            0
        };
        if blank_lines > 1
            || line.last().is_some_and(|byte| lines::is_blank(*byte))
            || memmem::find(&line[body..], b"  ").is_some()
            || line[body..].starts_with(b"o\t")
            || body + drawn::LONG <= line.len()
                && line[body..]
                    .windows(2)
                    .take(drawn::LONG)
                    .all(|two| two[0] == two[1])
        {
            return true;
        }
        if stop == bytes.len() {
            return false;
        }
        start = stop + 1;
    }
}

/// What to delete and shorten, in order and without overlaps.
pub(super) fn propose(document: &Document<'_>, rules: RuleSet, role: Role) -> Vec<Edit> {
    let mut edits = Vec::new();
    let lines = &document.lines;
    let ending = if rules.has(Rule::TrailingBlanks) {
        endings::common(document)
    } else {
        b""
    };
    let mut at = 0_usize;
    for run in lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
        if run[0].is_blank() {
            let blank = at..at + run.len();
            let from = edits.len();
            if rules.has(Rule::BlankLines) {
                blank_lines::fold(document, blank.clone(), role, &mut edits);
            }
            if edits.len() == from {
                blank.for_each(|number| strip(document, number, ending, &mut edits));
            }
        } else {
            for number in at..at + run.len() {
                tidy(document, number, rules, &mut edits);
                strip(document, number, ending, &mut edits);
            }
        }
        at += run.len();
    }
    if rules.has(Rule::BlankLines) {
        blank_lines::cut_end(document, role, &mut edits);
    }
    let draws = |edit: &Edit| edit.rule == Rule::Decoration;
    if edits.iter().any(draws) && drawn::is_spoken_of(document.text) {
        edits.retain(|edit| !draws(edit));
    }
    if !edits.is_empty() && is_about_space(document.text, role) {
        // What a tool says itself ends as the lines do that it shows: so these blanks are none of a file's.
        let is_whole = role == Role::Tool && endings::all_end_with(document, ending);
        edits.clear();
        if is_whole {
            (0..lines.len()).for_each(|number| strip(document, number, ending, &mut edits));
        }
    }
    edits
}

/// Deletes what is not deleted yet.
fn push(edits: &mut Vec<Edit>, at: Range<usize>, rule: Rule) {
    let done = edits.last().map_or(0, |last| last.at.end);
    let at = at.start.max(done)..at.end;
    if !at.is_empty() {
        edits.push(Edit::deletion(at, rule));
    }
}

/// Where the white space at the end of a line ends: before its line feed, or before the return in front of that
/// where some line is more than text.
fn end_of(document: &Document<'_>, line: &Line) -> usize {
    if document.is_plain && line.next > line.stop {
        line.next - 1
    } else {
        line.stop
    }
}

/// Deletes the blanks that all lines end with.
fn strip(document: &Document<'_>, number: usize, ending: &[u8], edits: &mut Vec<Edit>) {
    let line = &document.lines[number];
    let from = if line.is_blank() {
        line.start
    } else {
        line.end
    };
    let blanks = &document.text.as_bytes()[from..line.stop];
    if ending.is_empty()
        || !blanks.ends_with(ending)
        || !endings::is_shared_by(document.kinds[number])
    {
        return;
    }
    let idle = line.stop - ending.len()..line.stop;
    // A carriage return in front of them would become part of the line end.
    if !document.text[..idle.start].ends_with('\r') {
        push(edits, idle, Rule::TrailingBlanks);
    }
}

/// The gaps between the words of one line, what is invisible in it, and the blanks at its end.
fn tidy(document: &Document<'_>, number: usize, rules: RuleSet, edits: &mut Vec<Edit>) {
    let text = document.text;
    let line = &document.lines[number];
    let kind = document.kinds[number];
    let from = edits.len();
    if rules.has(Rule::Decoration) && drawn::is_idle(document, number) {
        let body = document.body(number);
        let kept = body
            .chars()
            .take(drawn::SHORT)
            .map(char::len_utf8)
            .sum::<usize>();
        push(edits, line.body + kept..line.end, Rule::Decoration);
    }
    let is_prose = matches!(kind, Kind::Prose | Kind::Marked | Kind::Payload);
    if let Some(gaps) = document.gaps[number].as_ref().filter(|gaps| {
        // Where a line may be more than a sentence, the habit of two spaces between sentences is still one.
        let is_habit = matches!(kind, Kind::Doubtful | Kind::Example)
            && document.body(number).len() >= SENTENCES
            && gaps.part_sentences();
        (is_prose || is_habit) && !document.is_mostly_raw && rules.has(Rule::InnerBlanks)
    }) {
        let near =
            |number: Option<usize>| number.and_then(|number| document.gaps.get(number)?.as_deref());
        let folds = gaps.folds([near(number.checked_sub(1)), near(Some(number + 1))]);
        edits.extend(folds.map(|at| Edit::deletion(at, Rule::InnerBlanks)));
    }
    let is_free = is_prose && document.about != About::Wording;
    if is_free && !document.body(number).is_ascii() {
        disguise::propose(text, line, rules, edits);
        edits[from..].sort_unstable_by_key(|edit| edit.at.start);
    }
    if rules.has(Rule::InnerBlanks)
        && let Some(tab) = tab_of_item(document.body(number))
    {
        edits.push(Edit {
            at: line.body + tab..line.body + tab + 1,
            with: " ".into(),
            rule: Rule::InnerBlanks,
        });
    }
    // Without its blanks, a carriage return within the line would become part of the line end.
    let ends_in_return = text[..line.end].ends_with('\r');
    if rules.has(Rule::TrailingBlanks) && !ends_in_return && endings::are_idle(document, number) {
        push(
            edits,
            line.end..end_of(document, line),
            Rule::TrailingBlanks,
        );
    }
}

/// Where the tab stands that a word processor puts between the mark of a list's item and its text.
pub(super) fn tab_of_item(body: &str) -> Option<usize> {
    let (mark, item) = body.split_once('\t')?;
    let is_mark = mark == "o" || mark.chars().count() == 1 && BULLETS.contains(mark);
    let is_text =
        !item.contains('\t') && item.split(' ').filter(|word| !word.is_empty()).count() >= 4;
    (is_mark && is_text && !item.starts_with(' ')).then_some(mark.len())
}

/// Whether white space may be what the text is about, or must come back as it was.
pub(super) fn is_about_space(text: &str, role: Role) -> bool {
    let bytes = text.as_bytes();
    if role == Role::Tool || bytes.len() < LONG_TEXT {
        return names_space(bytes);
    }
    names_space(&bytes[..NEAR]) || names_space(&bytes[bytes.len() - NEAR..])
}

/// Whether one of the words stands there, as the beginning of a word.
fn names_space(text: &[u8]) -> bool {
    SPACE.find_overlapping_iter(text).any(|found| {
        let before = found.start().checked_sub(1).map(|at| text[at]);
        !before.is_some_and(|byte| byte.is_ascii_alphabetic()) || text[found.start()] == b'n'
    })
}

static SPACE: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(ABOUT_SPACE));

pub(super) fn automaton<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .expect("a few short words make an automaton")
}
