//! White space that no reader of prose sees, characters that nobody sees, and lines that only draw.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::{
    disguise,
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

/// A drawn line of so many characters or more becomes one of [`SHORT`].
const LONG: usize = 10;
const SHORT: usize = 3;

/// Whether any rule could apply, found without cutting the text into lines.
pub(super) fn is_worth_a_look(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.trim_ascii().is_empty() {
        return false;
    }
    // What looks like nothing begins with one of these bytes.
    if memchr::memchr3(0xE2, 0xC2, 0xEF, bytes).is_some() || bytes.ends_with(b"\n") {
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
            || body + LONG <= line.len()
                && line[body..]
                    .windows(2)
                    .take(LONG)
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
pub(super) fn propose(document: &Document<'_>, rules: RuleSet) -> Vec<Edit> {
    let mut edits = Vec::new();
    let lines = &document.lines;
    let mut at = 0_usize;
    for run in lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
        if run[0].is_blank() {
            if rules.has(Rule::BlankLines) {
                fold(document, at..at + run.len(), &mut edits);
            }
        } else {
            for number in at..at + run.len() {
                tidy(document, number, rules, &mut edits);
            }
        }
        at += run.len();
    }
    if let (Some(last), Some(kind)) = (lines.last(), document.kinds.last())
        && rules.has(Rule::BlankLines)
        && !last.is_blank()
        && !counts_blank_lines(*kind)
    {
        push(&mut edits, last.stop..last.next, Rule::BlankLines);
    }
    if !edits.is_empty() && is_about_space(document.text) {
        edits.clear();
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

/// Blank lines between two paragraphs become one, those at an edge of the text go.
fn fold(document: &Document<'_>, blank: Range<usize>, edits: &mut Vec<Edit>) {
    let lines = &document.lines;
    let kind = |near: Option<usize>| near.and_then(|near| document.kinds.get(near)).copied();
    let (above, below) = (kind(blank.start.checked_sub(1)), kind(Some(blank.end)));
    let is_inside = document.kinds[blank.start] != Kind::Blank;
    if is_inside || [above, below].into_iter().flatten().any(counts_blank_lines) {
        return;
    }
    let (first, last) = (&lines[blank.start], &lines[blank.end - 1]);
    match (above, below) {
        (Some(_), Some(_)) => {
            push(
                edits,
                first.start..end_of(document, first),
                Rule::BlankLines,
            );
            push(edits, first.next..last.next, Rule::BlankLines);
        }
        (None, _) => push(edits, first.start..last.next, Rule::BlankLines),
        // The line end of the last written line goes, too.
        (_, None) => push(
            edits,
            lines[blank.start - 1].stop..last.next,
            Rule::BlankLines,
        ),
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

/// Whether blank lines beside a line of this kind may be part of what it is.
fn counts_blank_lines(kind: Kind) -> bool {
    !kind.is_text() || kind == Kind::Verse
}

/// The gaps between the words of one line, what is invisible in it, and the blanks at its end.
fn tidy(document: &Document<'_>, number: usize, rules: RuleSet, edits: &mut Vec<Edit>) {
    let text = document.text;
    let line = &document.lines[number];
    let kind = document.kinds[number];
    let from = edits.len();
    if rules.has(Rule::Decoration) && is_rule_between_texts(document, number) {
        let body = document.body(number);
        let kept = body.chars().take(SHORT).map(char::len_utf8).sum::<usize>();
        push(edits, line.body + kept..line.end, Rule::Decoration);
    }
    let is_prose = matches!(kind, Kind::Prose | Kind::Marked | Kind::Payload);
    if let Some(gaps) = document.gaps[number]
        .as_ref()
        .filter(|_| is_prose && !document.is_mostly_raw && rules.has(Rule::InnerBlanks))
    {
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
    // Without its blanks, a carriage return within the line would become part of the line end.
    let ends_in_return = text[..line.end].ends_with('\r');
    if rules.has(Rule::TrailingBlanks)
        && !ends_in_return
        && (kind.is_text() || kind == Kind::Enclosed)
    {
        push(
            edits,
            line.end..end_of(document, line),
            Rule::TrailingBlanks,
        );
    }
}

/// Words of messages in which a drawn line is a sign: it parts, counts or is to be filled in.
const ABOUT_LINES: &[&str] = &[
    "separator",
    "delimit",
    "divider",
    "this line",
    "line between",
    "split",
    "star",
    "morse",
    "underlin",
    "rst",
    "form",
    "fill in",
    "signature",
    "marker",
];

/// Whether the line is a drawn one between blank lines, which nobody speaks of.
fn is_rule_between_texts(document: &Document<'_>, number: usize) -> bool {
    let is_blank = |near: Option<usize>| {
        near.and_then(|near| document.kinds.get(near))
            .is_none_or(|kind| *kind == Kind::Blank)
    };
    let inside = matches!(
        document.kinds[number],
        Kind::Fence | Kind::Quote | Kind::Markup | Kind::Formula | Kind::Json | Kind::Example
    );
    !inside
        && document.about != About::Wording
        && is_drawn(document.body(number))
        && is_blank(number.checked_sub(1))
        && is_blank(Some(number + 1))
        && !LINES.is_match(document.text)
}

/// Whether the line is one mark, many times.
fn is_drawn(line: &str) -> bool {
    let Some(mark) = line.chars().next() else {
        return false;
    };
    // Letters and figures are text, back ticks and tildes are fences.
    (!mark.is_alphanumeric() && !"`~".contains(mark) && !mark.is_whitespace())
        && line.len() >= LONG * mark.len_utf8()
        && line.chars().all(|c| c == mark)
}

pub(super) fn is_about_space(text: &str) -> bool {
    SPACE.is_match(text)
}

static SPACE: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(ABOUT_SPACE));
static LINES: LazyLock<AhoCorasick> = LazyLock::new(|| automaton(ABOUT_LINES));

fn automaton(words: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .expect("a few short words make an automaton")
}
