//! Takes out of terminal output what a terminal does not show: control sequences, and frames of
//! progress displays that later frames overwrote.
//!
//! What colours alone tell apart, and what a terminal would draw elsewhere, keeps its sequences
//! (`terminal/meaning.rs`).
//!
//! Only a tool's text, or a user's that holds real escape characters, is terminal output. Numbers in
//! frames that go are lost: a display that ended at 100 % says no less without its 37 %.

mod frames;
mod meaning;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memchr2};

use super::{
    Role,
    edit::Edit,
    rule::{Rule, RuleSet},
};

const ESCAPE: u8 = 0x1b;
const LINK: &[u8] = b"\x1b]8;";
const BELL: u8 = 0x07;

/// One edit for each run of control sequences and each run of overwritten frames.
pub(super) fn propose(text: &str, rules: RuleSet, role: Role) -> Vec<Edit> {
    let bytes = text.as_bytes();
    let codes = rules.has(Rule::AnsiCodes);
    let frames = rules.has(Rule::ProgressBars);
    let is_output = match role {
        Role::Tool => codes || frames,
        Role::User => (codes || frames) && memchr(ESCAPE, bytes).is_some(),
        Role::System | Role::Assistant => false,
    };
    if !is_output || memchr2(ESCAPE, b'\r', bytes).is_none() {
        return Vec::new();
    }
    let overwritten = if frames {
        frames::overwritten(bytes)
    } else {
        Vec::new()
    };
    let sequences = if codes {
        meaning::without(text, &sequences(bytes))
    } else {
        Vec::new()
    };
    merge(overwritten, sequences)
}

/// Both lists as edits in the order of the text; a sequence inside an overwritten frame goes with it.
fn merge(overwritten: Vec<Range<usize>>, sequences: Vec<Range<usize>>) -> Vec<Edit> {
    let deletion = |at, rule| Edit {
        at,
        with: Cow::Borrowed(""),
        rule,
    };
    let mut edits = Vec::with_capacity(overwritten.len() + sequences.len());
    let mut sequences = sequences.into_iter().peekable();
    for frames in overwritten {
        while let Some(codes) = sequences.next_if(|codes| codes.start < frames.end) {
            if codes.start < frames.start {
                edits.push(deletion(codes, Rule::AnsiCodes));
            }
        }
        edits.push(deletion(frames, Rule::ProgressBars));
    }
    edits.extend(sequences.map(|codes| deletion(codes, Rule::AnsiCodes)));
    edits
}

/// Control sequences, ascending, those that touch as one.
///
/// One that breaks stays, and so does one directly behind it: without it the broken one would go on
/// with what follows.
fn sequences(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut at = 0;
    let mut broken = None;
    let mut is_linked = false;
    while let Some(next) = memchr(ESCAPE, &bytes[at..]) {
        let start = at + next;
        match end_of_sequence(bytes, start) {
            Ok(end) => {
                at = end;
                let sequence = &bytes[start..end];
                // A link that stays goes on to its end.
                let ends_link = sequence.starts_with(LINK) && std::mem::take(&mut is_linked);
                is_linked |= is_link(sequence);
                if broken == Some(start) || ends_link || is_linked && sequence.starts_with(LINK) {
                    continue;
                }
                match found.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => found.push(start..end),
                }
            }
            Err(end) => {
                at = end;
                broken = Some(end);
            }
        }
    }
    found
}

/// Past the sequence whose escape is at `start`; `Err` with the place where it breaks.
fn end_of_sequence(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start + 1;
    match bytes.get(at) {
        Some(b'[') => {
            at = past(bytes, at + 1, 0x30..=0x3f);
            at = past(bytes, at, 0x20..=0x2f);
            end_if(bytes, at, |byte| (0x40..=0x7e).contains(&byte))
        }
        Some(b']' | b'P' | b'X' | b'^' | b'_') => end_of_text(bytes, at + 1),
        _ => {
            at = past(bytes, at, 0x20..=0x2f);
            end_if(bytes, at, |byte| (0x30..=0x7e).contains(&byte))
        }
    }
}

/// Past the text of a title or the like, which ends with BEL or `ESC \`.
fn end_of_text(bytes: &[u8], at: usize) -> Result<usize, usize> {
    let text = bytes[at..].iter().position(|byte| *byte < b' ');
    let end = at + text.ok_or(bytes.len())?;
    match (bytes[end], bytes.get(end + 1)) {
        (BELL, _) => Ok(end + 1),
        (ESCAPE, Some(b'\\')) => Ok(end + 2),
        _ => Err(end),
    }
}

fn past(bytes: &[u8], at: usize, class: std::ops::RangeInclusive<u8>) -> usize {
    let run = bytes[at..].iter().take_while(|byte| class.contains(byte));
    at + run.count()
}

fn end_if(bytes: &[u8], at: usize, last: impl Fn(u8) -> bool) -> Result<usize, usize> {
    match bytes.get(at) {
        Some(byte) if last(*byte) => Ok(at + 1),
        _ => Err(at),
    }
}

/// A hyperlink: its address is nowhere else in the text.
fn is_link(sequence: &[u8]) -> bool {
    sequence.starts_with(LINK) && memchr::memmem::find(sequence, b"://").is_some()
}
