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

/// What a message says that speaks of how things are set; in small letters.
const SETTING: [&str; 11] = [
    "bold",
    "asterisk",
    "markdown",
    "emphasi",
    "formatting",
    "typeset",
    "marked",
    "highlight",
    "starred",
    "stressed",
    "underlin",
];
/// What a list is introduced by that shows what an answer looks like, and a paragraph has in it that speaks of
/// the answer's form; in small letters.
const FORMS: [&str; 19] = [
    "format",
    "output",
    "respond",
    "response",
    "answer",
    "reply",
    "replies",
    "template",
    "readme",
    "section",
    "heading",
    "structure",
    "include",
    "report",
    "return",
    "contain",
    "example",
    "look like",
    "title",
];

/// The edits that take `**` away around every list item's lead-in, and at `aggressive` anywhere in prose.
///
/// It is one edit for a whole list or paragraph: bold words beside others that stay would look as if they were
/// meant to differ.
pub(in crate::compressor) fn emphasis(
    text: &str,
    lines: &[Range<usize>],
    rules: RuleSet,
) -> Vec<Edit> {
    let any = rules.has(Rule::LeadEmphasis) || rules.has(Rule::Emphasis);
    if !any || memchr::memmem::find(text.as_bytes(), b"**").is_none() {
        return Vec::new();
    }
    let lower = text.to_ascii_lowercase();
    if SETTING.iter().any(|word| lower.contains(word)) {
        return Vec::new();
    }
    let mut introduction = 0..0;
    let mut edits = Vec::new();
    for group in lines.chunk_by(|above, below| belong(text, above, below)) {
        let from = group.first().map_or(0, |line| line.start);
        if let Some(above) = group_above(text, from) {
            introduction = above;
        }
        let speaks_of_form = |at: &Range<usize>| {
            let text = &lower[at.clone()];
            FORMS.iter().any(|word| text.contains(word))
        };
        let is_list = Line::new(text, group[0].clone()).opening() > 0;
        let form = if is_list {
            speaks_of_form(&introduction)
        } else {
            speaks_of_form(&introduction) || group.iter().any(speaks_of_form)
        };
        if !form {
            edits.extend(of_group(text, group, rules));
        }
    }
    edits
}

/// Whether two lines stand in one list: both are items, and nothing but white space is between them.
fn belong(text: &str, above: &Range<usize>, below: &Range<usize>) -> bool {
    let is_item = |at: &Range<usize>| Line::new(text, at.clone()).opening() > 0;
    text[above.end..below.start].trim().is_empty() && is_item(above) && is_item(below)
}

/// The last line with words above `from`.
fn group_above(text: &str, from: usize) -> Option<Range<usize>> {
    let above = text[..from].trim_end();
    let start = above.rfind('\n').map_or(0, |at| at + 1);
    (!above.is_empty()).then_some(start..above.len())
}

/// The edit for one list or paragraph.
fn of_group(text: &str, group: &[Range<usize>], rules: RuleSet) -> Option<Edit> {
    let (mut all, mut bold_lines) = (Vec::new(), 0);
    let mut rule = Rule::LeadEmphasis;
    for at in group {
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
        let fits = (1..=MOST).contains(&found.len());
        if !gate::admits_emphasis(body) || !fits || !found.iter().all(removable) {
            return None;
        }
        bold_lines += 1;
        for bold in found {
            let leads = bold.start == line.opening() && bold.start > 0 && introduces(body, &bold);
            if !leads {
                rule = Rule::Emphasis;
            }
            all.push(at.start + bold.start..at.start + bold.end);
        }
    }
    // The few that are bold among many are meant to differ.
    if bold_lines * 2 < group.len() || !rules.has(rule) {
        return None;
    }
    let at = all.first()?.start..all.last()?.end;
    let with = text[at.clone()].replace("**", "").into();
    Some(Edit { at, with, rule })
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
