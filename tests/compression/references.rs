//! Puts back what a folded message refers to, so that it can be compared whole.

use std::ops::Range;

use crate::subject::{Reference, reference};

/// `outgoing` with the text behind each reference in its place. A reference is one only where
/// `original` does not have the line itself. Fails with the line whose text stands nowhere earlier.
pub(crate) fn unfolded(
    original: &str,
    outgoing: &str,
    earlier: &[String],
) -> Result<String, String> {
    let own: Vec<&str> = original.split('\n').map(str::trim).collect();
    let mut lines: Vec<String> = Vec::new();
    for line in outgoing.split('\n') {
        match reference(line).filter(|_| !own.contains(&line.trim())) {
            None => lines.push(line.to_owned()),
            Some(named) => {
                let above = lines.join("\n");
                let texts = earlier.iter().rev().chain([&above]);
                let candidates: Vec<&str> = texts.flat_map(|text| blocks(text, named)).collect();
                // Blocks may start alike: the one meant is the one that is still to come.
                let is_missing = |block: &&&str| copies(block, original) > copies(block, &above);
                let meant = candidates.iter().find(is_missing);
                let block = meant
                    .or(candidates.first())
                    .ok_or_else(|| line.to_owned())?;
                lines.push((*block).to_owned());
            }
        }
    }
    Ok(lines.join("\n"))
}

/// The runs of lines in `text` that `named` may mean: as many lines as it says, empty ones not
/// counted, one of which starts with its words. The first lines of a run may say too little to name
/// it by, so that the line with the words is not always the first.
fn blocks<'t>(text: &'t str, named: Reference<'_>) -> Vec<&'t str> {
    let mut at = 0;
    let mut lines: Vec<Range<usize>> = Vec::new();
    for line in text.split('\n') {
        if !line.trim().is_empty() {
            lines.push(at..at + line.len());
        }
        at += line.len() + 1;
    }
    let words = squeezed(named.words);
    // The words may go on over several lines, but not for long.
    let is_named = |nth: &usize| {
        let from = lines[*nth].start;
        let to = text.ceil_char_boundary((from + 400).min(text.len()));
        squeezed(&text[from..to]).starts_with(&words)
    };
    let runs_over = |nth: usize| {
        let firsts = (0..named.lines).filter_map(move |before| nth.checked_sub(before));
        firsts.filter_map(|first| Some(lines[first].start..lines.get(first + named.lines - 1)?.end))
    };
    let runs = (0..lines.len()).filter(is_named).flat_map(runs_over);
    runs.map(|run| &text[run]).collect()
}

/// `text` with one blank for every run of white space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How often `block` stands in `text`, blanks at the ends of lines aside.
fn copies(block: &str, text: &str) -> usize {
    let trimmed = |text: &str| {
        text.split('\n')
            .map(str::trim)
            .collect::<Vec<_>>()
            .join("\n")
    };
    trimmed(text).matches(&trimmed(block)).count()
}

#[test]
fn a_reference_is_replaced_by_the_lines_it_names() {
    let earlier = ["Read it:\n{\nfn first() {}\n\nfn second() {}\nDone.".to_owned()];
    let marker = "[3 lines identical to earlier, from: fn first()]";
    let original = "Again:\n{\nfn first() {}\n\nfn second() {}\nWhy?";
    let outgoing = format!("Again:\n{marker}\nWhy?");
    assert_eq!(unfolded(original, &outgoing, &earlier).unwrap(), original);
}

#[test]
fn a_reference_to_nothing_is_refused() {
    let earlier = ["fn first() {}\nfn second() {}".to_owned()];
    let marker = "[3 lines identical to earlier, from: fn second()]";
    let original = "fn second() {}\nfn third() {}\nfn fourth() {}";
    assert_eq!(unfolded(original, marker, &earlier), Err(marker.to_owned()));
}

#[test]
fn a_line_that_the_author_wrote_is_no_reference() {
    let marker = "[2 lines identical to earlier, from: fn third()]";
    assert_eq!(unfolded(marker, marker, &[]).unwrap(), marker);
}

#[test]
fn lines_from_above_are_put_back() {
    let rules = "Rules of the house:\nno shoes\nno smoke";
    let original = format!("{rules}\n\nHello.\n\n{rules}\n\nBye.");
    let marker = "[3 lines identical above, from: Rules of the house:]";
    let outgoing = format!("{rules}\n\nHello.\n\n{marker}\n\nBye.");
    assert_eq!(unfolded(&original, &outgoing, &[]).unwrap(), original);
}
