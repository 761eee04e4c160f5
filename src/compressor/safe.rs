//! The safe level: white space that no reader of prose sees.

use std::ops::Range;

use memchr::memmem;

use super::{
    layout::Layout,
    lines::{self, Line},
    look::Look,
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
];

/// The text without the white space that the rules take out, or `None` if they take none.
pub(super) fn compress(text: &str) -> Option<String> {
    if !is_worth_a_look(text) {
        return None;
    }
    let deletions = deletions(text);
    if deletions.is_empty() {
        return None;
    }
    let shorter = without(text, &deletions);
    // Protection is a reading of the text, and a shorter text might read otherwise: then it stays
    // as it came.
    self::deletions(&shorter).is_empty().then_some(shorter)
}

/// Whether any rule could apply, found without cutting the text into lines.
fn is_worth_a_look(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.trim_ascii().is_empty() {
        return false;
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
        {
            return true;
        }
        if stop == bytes.len() {
            return false;
        }
        start = stop + 1;
    }
}

/// What to delete, in order and without overlaps.
fn deletions(text: &str) -> Vec<Range<usize>> {
    let lines = lines::split(text);
    if is_about_space(text) {
        return Vec::new();
    }
    let Some(layout) = Layout::of(text, &lines) else {
        return Vec::new();
    };
    let mut deletions = Vec::new();
    let mut at = 0_usize;
    for run in lines.chunk_by(|a, b| a.is_blank() == b.is_blank()) {
        if run[0].is_blank() {
            let beside = [at.checked_sub(1), Some(at + run.len())];
            let is_free = |near: &Option<usize>| {
                near.and_then(|near| layout.looks.get(near))
                    .is_none_or(|look| matches!(look, Look::Prose | Look::Kept))
            };
            if beside.iter().all(is_free) && layout.looks[at] == Look::Prose {
                deletions.push(run[0].start..run[0].stop);
                deletions.push(run[0].next..run[run.len() - 1].next);
            }
        } else {
            for number in at..at + run.len() {
                tidy(text, &lines, &layout, number, &mut deletions);
            }
        }
        at += run.len();
    }
    deletions.retain(|range| !range.is_empty());
    deletions
}

/// The gaps between the words of one line, and the blanks at its end.
fn tidy(
    text: &str,
    lines: &[Line],
    layout: &Layout,
    number: usize,
    deletions: &mut Vec<Range<usize>>,
) {
    let line = &lines[number];
    let look = layout.looks[number];
    if let Some(gaps) = layout.gaps[number].as_ref().filter(|_| look == Look::Prose) {
        let near =
            |number: Option<usize>| number.and_then(|number| layout.gaps.get(number)?.as_deref());
        deletions.extend(gaps.folds([near(number.checked_sub(1)), near(Some(number + 1))]));
    }
    let is_followed = lines.get(number + 1).is_some_and(|next| !next.is_blank());
    // Two spaces before a further line of the paragraph are Markdown's hard line break.
    let is_hard_break = is_followed && text[line.trailing()].ends_with("  ");
    // Without its blanks, a carriage return within the line would become part of the line end.
    let ends_in_return = text[..line.end].ends_with('\r');
    if look <= Look::Verse && !is_hard_break && !ends_in_return {
        deletions.push(line.trailing());
    }
}

fn is_about_space(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ABOUT_SPACE
        .iter()
        .any(|word| memmem::find(lower.as_bytes(), word.as_bytes()).is_some())
}

fn without(text: &str, deletions: &[Range<usize>]) -> String {
    let mut shorter = String::with_capacity(text.len());
    let mut from = 0;
    for deletion in deletions {
        shorter.push_str(&text[from..deletion.start]);
        from = deletion.end;
    }
    shorter.push_str(&text[from..]);
    shorter
}
