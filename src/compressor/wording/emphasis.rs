//! Takes bold type out of prose where the words say the same without it.

use std::ops::Range;

use super::{gate, line::Line, words::listed};
use crate::compressor::{
    edit::Edit,
    rule::{Rule, RuleSet},
};

/// The longest text in bold that is still a word or a few; in bytes.
const LONGEST: usize = 120;
/// A line with more in bold shows what bold type is for.
const MOST: usize = 3;
/// Words that are set in bold to be heeded.
const STRESSED: &str = "\
    not no never none nor only must always all any both each every exactly without cannot \
    except one first last before after warning important caution danger required";

/// What a message says that asks for a form, or about one; in small letters.
const FORMS: [&str; 18] = [
    "bold",
    "asterisk",
    "format",
    "output",
    "respond",
    "response",
    "answer",
    "reply",
    "replies",
    "template",
    "markdown",
    "readme",
    "section",
    "heading",
    "structure",
    "include",
    "report",
    "emphasi",
];

/// The edit that takes `**` away around every list item's lead-in, and at `aggressive` anywhere in prose.
///
/// It is one edit for the whole message: bold words beside others that stay would look as if they were
/// meant to differ.
pub(in crate::compressor) fn emphasis(
    text: &str,
    lines: &[Range<usize>],
    rules: RuleSet,
) -> Vec<Edit> {
    let (lead, anywhere) = (rules.has(Rule::LeadEmphasis), rules.has(Rule::Emphasis));
    let marks = text.matches("**").count();
    if !(lead || anywhere) || marks == 0 {
        return Vec::new();
    }
    let lower = text.to_ascii_lowercase();
    if FORMS.iter().any(|word| lower.contains(word)) {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut rule = Rule::LeadEmphasis;
    for at in lines {
        let body = &text[at.clone()];
        if !body.contains("**") {
            continue;
        }
        let line = Line::new(text, at.clone());
        let found = bolds(body);
        let removable = |bold: &Range<usize>| {
            let words = &body[bold.start + 2..bold.end - 2];
            plain(words) && !stressed(words) && !line.protects(bold)
        };
        if !gate::admits_emphasis(body) || found.len() > MOST || !found.iter().all(removable) {
            return Vec::new();
        }
        for bold in found {
            let leads = bold.start == line.opening() && bold.start > 0 && introduces(body, &bold);
            if !(leads && lead) {
                rule = Rule::Emphasis;
            }
            all.push(at.start + bold.start..at.start + bold.end);
        }
    }
    // Marks outside these lines count as well.
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        return Vec::new();
    };
    if all.len() * 2 != marks || !rules.has(rule) {
        return Vec::new();
    }
    let at = first.start..last.end;
    let with = text[at.clone()].replace("**", "").into();
    vec![Edit { at, with, rule }]
}

/// Where `**bold**` stands, marks included; none when the marks of the line do not pair.
fn bolds(body: &str) -> Vec<Range<usize>> {
    let marks: Vec<_> = body.match_indices("**").map(|(at, _)| at).collect();
    let single = body.replace("**", "").contains('*') && !body.starts_with("* ");
    if marks.len() % 2 == 1 || single || body.contains("***") {
        return Vec::new();
    }
    let pairs: Vec<_> = marks
        .chunks_exact(2)
        .map(|pair| pair[0]..pair[1] + 2)
        .collect();
    let sound = |bold: &Range<usize>| {
        let before = body[..bold.start].chars().next_back();
        let after = body[bold.end..].chars().next();
        let words = &body[bold.start + 2..bold.end - 2];
        before.is_none_or(|c| c == ' ' || c == '(' || c == '—')
            && after.is_none_or(|c| " ,.;:!?)—-'’".contains(c))
            && words.trim() == words
            && !words.is_empty()
    };
    // One pair that is none puts the others in doubt.
    if pairs.iter().all(sound) {
        pairs
    } else {
        Vec::new()
    }
}

/// Whether `**Name**: text` or `**Name:** text` goes on as prose.
fn introduces(body: &str, bold: &Range<usize>) -> bool {
    let words = &body[bold.start + 2..bold.end - 2];
    let behind = &body[bold.end..];
    let colon = words.ends_with([':', '.', '?']) || behind.starts_with(':');
    let dash = [" - ", " – ", " — "]
        .iter()
        .any(|dash| behind.starts_with(dash));
    let text = behind.trim_start_matches([':', ' ', '-', '–', '—']);
    (colon || dash) && text.split_ascii_whitespace().nth(2).is_some()
}

/// Whether bold type stresses what must not be overlooked.
fn stressed(words: &str) -> bool {
    words
        .split(|c: char| !(c.is_alphabetic() || c == '\'' || c == '’'))
        .any(|word| listed(STRESSED, word) || word.ends_with("n't") || word.ends_with("n’t"))
}

/// Whether the words in bold are words, and would be nothing else without their marks.
fn plain(words: &str) -> bool {
    words.len() <= LONGEST
        && words.starts_with(|c: char| c.is_ascii_alphabetic())
        && !words.contains(['`', '{', '}', '<', '>', '[', ']', '$', '=', '|', '\\', '_'])
}
