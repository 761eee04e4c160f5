//! The short lines that stand in for lines which the model can read elsewhere.
//!
//! ```text
//! [line above repeated 7 more times]
//! [12 lines identical above, from: GET /health]
//! [repeats the block above, from: You are a careful]
//! [40 lines identical to earlier, from: import os]
//! [18 lines identical to earlier, from the fence before: def pages(session):]
//! [repeats the earlier line: You are a careful]
//! ```
//!
//! The words behind the colon are those that the first line begins with; where several begin so, the latest is meant.
//! Every token of a form counts, because small repeats are many.

use super::seen::Seen;

/// How long the words may be by which a reference says what it stands for, in bytes: the shortest that are
/// enough.
const LENGTHS: [usize; 4] = [20, 40, 80, 160];
/// Fewer letters and figures say too little.
const LETTERS: usize = super::seen::BEGINNING;

const SAME: &str = "[line above repeated ";
const BLOCK: &str = "[repeats the block above, from: ";
const LINES_ABOVE: &str = " lines identical above, from: ";
const LINES_EARLIER: &str = " lines identical to earlier, from";
const FENCE: &str = " the fence before";
const LINE_EARLIER: &str = "[repeats the earlier line: ";
const SIMILAR: &str = " similar lines";

/// Stands for `count` further copies of the line above it.
pub(super) fn same(count: usize) -> String {
    let times = if count == 1 { "time" } else { "times" };
    format!("{SAME}{count} more {times}]")
}

/// A reference, and for how many lines it stands.
pub(super) struct Named {
    pub(super) with: String,
    pub(super) lines: usize,
}

/// Stands for `lines`, or as many of them from the first one on as can be named: those that stand above in the same
/// message. By a name the latest lines are meant that start so.
pub(super) fn above(lines: &[&str], seen: &Seen<'_>) -> Option<Named> {
    if is_fence(lines.first()?) {
        return None;
    }
    // Letters other than ASCII would be there twice after a later reading.
    let (name, lines) = name(lines, 0, seen, |_| false).filter(|(name, _)| name.is_ascii())?;
    let with = match count(lines) {
        1 => format!("{BLOCK}{name}]"),
        count => format!("[{count}{LINES_ABOVE}{name}]"),
    };
    Some(Named {
        with,
        lines: lines.len(),
    })
}

/// The same for lines that stand in an earlier message; a name that `is_taken`, by lines that this message has above,
/// is none. Where the first line opens a fence, the one behind it gives the name.
pub(super) fn earlier(
    lines: &[&str],
    seen: &Seen<'_>,
    is_taken: impl Fn(&str) -> bool,
) -> Option<Named> {
    let lead = usize::from(is_fence(lines.first()?));
    let (name, lines) = name(lines, lead, seen, is_taken)?;
    let with = match count(lines) {
        1 => format!("{LINE_EARLIER}{name}]"),
        count if lead > 0 => format!("[{count}{LINES_EARLIER}{FENCE}: {name}]"),
        count => format!("[{count}{LINES_EARLIER}: {name}]"),
    };
    Some(Named {
        with,
        lines: lines.len(),
    })
}

/// Whether the line opens or closes a fence.
pub(super) fn is_fence(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("```") || line.starts_with("~~~")
}

/// Whether a line, without the blanks around it, is one of these.
pub(super) fn is_reference(line: &str) -> bool {
    let Some(inner) = line.strip_prefix('[').filter(|_| line.ends_with(']')) else {
        return false;
    };
    if [SAME, BLOCK, LINE_EARLIER]
        .iter()
        .any(|form| line.starts_with(form))
    {
        return true;
    }
    let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < inner.len()
        && [LINES_ABOVE, LINES_EARLIER, SIMILAR]
            .iter()
            .any(|form| rest.starts_with(form))
}

fn count(lines: &[&str]) -> usize {
    lines.iter().filter(|line| !line.trim().is_empty()).count()
}

/// The first words of the line behind the `lead`, and those of `lines` that stand at the latest place that starts so:
/// the words by which they are most.
fn name<'l, 't>(
    lines: &'l [&'t str],
    lead: usize,
    seen: &Seen<'_>,
    is_taken: impl Fn(&str) -> bool,
) -> Option<(&'t str, &'l [&'t str])> {
    let first = lines.get(lead)?;
    let mut best: Option<(&str, usize)> = None;
    for length in LENGTHS {
        let name = beginning(first, length);
        let letters = name.chars().filter(|c| c.is_alphanumeric()).count();
        // The marks of a fence would open one within the reference.
        if letters < LETTERS || name.contains("```") || is_taken(name) {
            continue;
        }
        let latest = seen.latest(lines, lead, name);
        if latest > lead && best.is_none_or(|(_, most)| latest > most) {
            best = Some((name, latest));
        }
        if name.len() == first.trim().len() {
            break;
        }
    }
    best.map(|(name, latest)| (name, &lines[..latest]))
}

/// At most so many bytes of the line's first words.
fn beginning(line: &str, length: usize) -> &str {
    let line = line.trim();
    let end = line.floor_char_boundary(length);
    let part = &line[..end];
    match part.rfind(' ') {
        // Whole words, unless that would leave next to nothing.
        Some(blank) if end < line.len() && blank * 2 > end => part[..blank].trim_end(),
        _ => part.trim_end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &'static str) -> Seen<'static> {
        let mut seen = Seen::default();
        seen.begin(text);
        let mut at = 0;
        for line in text.split('\n') {
            seen.push(at..at + line.len());
            at += line.len() + 1;
        }
        seen
    }

    #[test]
    fn references_are_known_again() {
        let lines = [
            "You are a careful reviewer of the code that others have written",
            "",
            "```rust",
            "fn reviewer() {}",
        ];
        let seen = seen(
            "You are a careful reviewer of the code that others have written\n\n```rust\nfn reviewer() {}",
        );
        let all = [
            same(1),
            same(7),
            above(&lines, &seen).unwrap().with,
            above(&lines[..1], &seen).unwrap().with,
            earlier(&lines, &seen, |_| false).unwrap().with,
            earlier(&lines[2..], &seen, |_| false).unwrap().with,
            earlier(&lines[..1], &seen, |_| false).unwrap().with,
        ];
        for reference in &all {
            assert!(is_reference(reference), "{reference}");
        }
        assert_eq!(all[3], "[repeats the block above, from: You are a careful]");
        assert_eq!(
            all[4],
            "[3 lines identical to earlier, from: You are a careful]"
        );
        assert_eq!(
            all[5],
            "[2 lines identical to earlier, from the fence before: fn reviewer() {}]"
        );
        assert!(above(&lines[2..], &seen).is_none());
        for other in [
            "[x]",
            "[3 lines]",
            "[line above]",
            "",
            "[",
            "12 similar lines",
        ] {
            assert!(!is_reference(other), "{other}");
        }
    }

    #[test]
    fn a_name_means_the_latest() {
        let text = "Open the console of the server.\nred\nOpen the console of the server.\nblue";
        let seen = seen(text);
        let name = |lines: &[&str]| {
            earlier(lines, &seen, |_| false).map(|named| (named.with, named.lines))
        };
        let first = "Open the console of the server.";
        let lines = "[2 lines identical to earlier, from: Open the console of]";
        assert_eq!(name(&[first, "blue"]), Some((lines.to_owned(), 2)));
        // The latest ones that start so go on otherwise: only what they share is named.
        let line = "[repeats the earlier line: Open the console of]";
        assert_eq!(name(&[first, "red"]), Some((line.to_owned(), 1)));
        assert_eq!(name(&["{", "}"]), None);
        assert_eq!(name(&["red", "Open the console of the server."]), None);
        assert_eq!(name(&["unseen before"]), None);
    }

    #[test]
    fn a_name_is_no_beginning_of_a_later_line() {
        let name = |text: &'static str, lines: &[&str]| {
            earlier(lines, &seen(text), |_| false).map(|named| (named.with, named.lines))
        };
        // A reader would find the longer line.
        let imports = "import re\nimport requests\nfrom os import path";
        assert_eq!(name(imports, &["import re", "import requests"]), None);
        let log = "[INFO] start of the server\n[INFO] one\n[INFO] two";
        let (with, lines) = name(log, &["[INFO] start of the server", "[INFO] one"]).unwrap();
        assert_eq!(
            with,
            "[2 lines identical to earlier, from: [INFO] start of the]"
        );
        assert_eq!(lines, 2);
    }
}
