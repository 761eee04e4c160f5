//! Proposes plainer words for the prose of a message: the rules that change words.
//!
//! One automaton finds every wording of the tables in a line; each find is then judged by what stands
//! around it. Only lines with a find cost more than that scan. An edit touches no protected span, leaves a
//! grammatical sentence when it is applied alone, and does not overlap another.

mod context;
mod emphasis;
mod entry;
mod frames;
mod gate;
mod lighter;
mod line;
mod opening;
mod phrases;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
mod sentence;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::{borrow::Cow, collections::HashMap, ops::Range};

use super::{
    Role,
    edit::Edit,
    rule::{Rule, RuleSet},
};
pub(super) use emphasis::emphasis;
use entry::{Left, Rest, Right};
use line::Line;
pub(super) use opening::opening;
use table::{Found, table};

/// Lines from this length on, in bytes, may be parts of a repeat.
const COPY: usize = 20;
/// A line of courtesy alone is shorter than this, in bytes.
const SHORT: usize = 60;
/// A line in which so many wordings or more are found is none that somebody wrote, and would cost as much as a page.
const MANY: usize = 24;

/// Edits for the lines of prose at `lines` (byte ranges of line bodies without indentation and line end):
/// ascending, not overlapping, each right by itself.
///
/// Of what a user says only the sentence that opens the message is for certain no text that the task is about,
/// and a line of thanks that closes it.
pub(super) fn propose(text: &str, lines: &[Range<usize>], rules: RuleSet, role: Role) -> Vec<Edit> {
    let mut edits = proposals(text, lines, rules, role);
    if role == Role::User {
        let opening = opening(text);
        edits.retain(|edit| edit.at.end <= opening.end || closes(text, lines, edit));
    }
    edits
}

/// Whether the edit takes the message's last line away, which is a courtesy.
fn closes(text: &str, lines: &[Range<usize>], edit: &Edit) -> bool {
    edit.rule == Rule::Courtesy
        && lines.last() == Some(&edit.at)
        && text[edit.at.end..].trim().is_empty()
}

/// The same wherever it stands.
fn proposals(text: &str, lines: &[Range<usize>], rules: RuleSet, role: Role) -> Vec<Edit> {
    let mut edits = Vec::new();
    if matches!(role, Role::Assistant | Role::Tool) || !table().serves(rules) {
        return edits;
    }
    for at in lines {
        let from = edits.len();
        line_edits(text, at, rules, role, &mut edits);
        keep_first_of_overlapping(&mut edits, from);
        if edits.len() - from >= MANY {
            edits.truncate(from);
        }
    }
    if !edits.is_empty() {
        keep_copies(text, lines, &mut edits);
    }
    edits
}

/// Drops edits of lines that stand in the text once more where they may not be edited: equal lines stay equal, so
/// that repeats are found.
fn keep_copies(text: &str, lines: &[Range<usize>], edits: &mut Vec<Edit>) {
    let mut copies: HashMap<&str, isize> = HashMap::new();
    for line in text.lines().filter(|line| line.len() >= COPY) {
        *copies.entry(line.trim()).or_default() += 1;
    }
    for at in lines {
        if let Some(count) = copies.get_mut(text[at.clone()].trim()) {
            *count -= 1;
        }
    }
    edits.retain(|edit| {
        let after = lines.partition_point(|line| line.start <= edit.at.start);
        let line = &lines[after.saturating_sub(1)];
        copies
            .get(text[line.clone()].trim())
            .is_none_or(|count| *count <= 0)
    });
}

fn line_edits(text: &str, at: &Range<usize>, rules: RuleSet, role: Role, edits: &mut Vec<Edit>) {
    let mut line = None;
    let mut admitted = None;
    for found in table().find(&text[at.clone()]) {
        let courtesy = found.entry.rule == Rule::Courtesy;
        // An application's greetings and thanks may be what is to be said.
        let for_users = courtesy && !found.entry.opens_request();
        if !rules.has(found.entry.rule) || for_users && role != Role::User {
            continue;
        }
        // `Hi!` is too short to tell its language.
        let courteous = courtesy && at.len() < SHORT;
        let admitted = admitted.get_or_insert_with(|| gate::admits(&text[at.clone()]));
        if !*admitted && !courteous {
            continue;
        }
        let line = line.get_or_insert_with(|| Line::new(text, at.clone()));
        if let Some(edit) = edit(line, &found) {
            edits.push(Edit {
                at: at.start + edit.at.start..at.start + edit.at.end,
                ..edit
            });
        }
    }
}

/// Of edits that overlap, the first stays, and of those that start together the longest.
fn keep_first_of_overlapping(edits: &mut Vec<Edit>, from: usize) {
    // Only what is new is looked at: every line comes here.
    let mut new = edits.split_off(from);
    new.sort_by_key(|edit| (edit.at.start, usize::MAX - edit.at.end));
    let mut end = 0;
    for edit in new {
        if edit.at.start >= end {
            end = edit.at.end;
            edits.push(edit);
        }
    }
}

/// The edit for one find, in the line's own offsets.
fn edit(line: &Line<'_>, found: &Found) -> Option<Edit> {
    let entry = found.entry;
    // What takes the punctuation before it with it needs a word there.
    let loose = line.body[found.at.clone()].starts_with([',', ' '])
        && line.body[..found.at.start].ends_with([' ', ',']);
    // `React to: lights on, please` is no request to the reader.
    let introduced = entry.rule == Rule::Courtesy && line.introduced(found.at.start);
    if loose || introduced || !cased(line, found) || line.protects(&found.at) {
        return None;
    }
    // What opens a request is no part of what the request is about.
    if !entry.opens_request() && gate::mentions(line.sentence(&found.at)) {
        return None;
    }
    if !context::holds(entry, line, &found.at, &found.part) {
        return None;
    }
    let (at, with) = match (entry.left, entry.right, entry.rest) {
        (Left::Opening | Left::Closing, Right::End, _) => (whole_sentence(line, found)?, "".into()),
        (_, _, Rest::Request) => request(line, found)?,
        _ if entry.to.is_empty() => deletion(line, found),
        _ => (found.part.clone(), replacement(line, found)),
    };
    Some(Edit {
        at,
        with,
        rule: entry.rule,
    })
}

/// Whether the find is written as prose is: small letters, a capital only where a sentence starts.
fn cased(line: &Line<'_>, found: &Found) -> bool {
    if found.entry.rule == Rule::Courtesy {
        return true;
    }
    let text = &line.body[found.at.clone()];
    let pronoun = |at: usize| {
        text[at..].starts_with('I') && !text[at + 1..].starts_with(|c: char| c.is_alphanumeric())
    };
    text.bytes().enumerate().all(|(at, byte)| {
        !byte.is_ascii_uppercase() || pronoun(at) || at == 0 && line.sentence_starts(found.at.start)
    })
}

/// What replaces the find, with the capital that it had.
fn replacement(line: &Line<'_>, found: &Found) -> Cow<'static, str> {
    let to = found.entry.to;
    // `I` is no sign of a sentence's start.
    let text = &line.body[found.part.clone()];
    let upper = text.starts_with(|c: char| c.is_ascii_uppercase())
        && (!text.starts_with("I ") || line.sentence_starts(found.part.start));
    if upper && to.starts_with(|c: char| c.is_ascii_lowercase()) {
        capitalised(to).into()
    } else {
        to.into()
    }
}

/// What goes when nothing replaces the find, and the capital that the next word gets.
fn deletion(line: &Line<'_>, found: &Found) -> (Range<usize>, Cow<'static, str>) {
    let body = line.body.as_bytes();
    let Range { start, mut end } = found.part.clone();
    if !body[start].is_ascii_alphabetic() {
        return (start..end, "".into());
    }
    end += body[end..].iter().take_while(|byte| **byte == b' ').count();
    let next = body.get(end).copied().unwrap_or(b' ');
    let first = body[start].is_ascii_uppercase() && line.sentence_starts(start);
    if first && next.is_ascii_lowercase() && !line.protects(&(end..end + 1)) {
        let upper = char::from(next.to_ascii_uppercase());
        return (start..end + 1, upper.to_string().into());
    }
    (start..end, "".into())
}

/// `Could you please explain …?` as `Explain ….`, in one piece.
fn request(line: &Line<'_>, found: &Found) -> Option<(Range<usize>, Cow<'static, str>)> {
    let (at, with) = deletion(line, found);
    let (rest, mark) = line.rest_of_sentence(found.at.end)?;
    rest.split_ascii_whitespace().nth(1)?;
    let Some(mark) = mark.filter(|mark| line.body.as_bytes()[*mark] == b'?') else {
        return Some((at, with));
    };
    let whole = format!("{with}{}.", &line.body[at.end..mark]);
    Some((at.start..mark + 1, whole.into()))
}

/// The courtesy and all that belongs to it, when nothing else is in the line behind it.
fn whole_sentence(line: &Line<'_>, found: &Found) -> Option<Range<usize>> {
    let end = line.body.len();
    let behind = &line.body[found.at.end..];
    if !behind.chars().all(|c| matches!(c, '.' | '!' | ',' | ' ')) {
        return None;
    }
    let before = line.body[..found.at.start].trim_end();
    (line.has_company() || before.split_ascii_whitespace().nth(2).is_some())
        .then_some(before.len()..end)
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}
