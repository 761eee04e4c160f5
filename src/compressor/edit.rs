//! What a rule proposes, and what becomes of it: an edit stays only if it lowers the real token counts.

use std::borrow::Cow;
use std::ops::Range;

use crate::tokens;

use super::{Saving, Step, document::Document, guard, lessons::Skips, rule::Rule};

/// Some bytes of the text, what to put there, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) with: Cow<'static, str>,
    pub(super) rule: Rule,
}

/// What became of the edits.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) savings: Vec<Saving>,
    /// Each edit that was made, for those who want to read them.
    pub(super) steps: Option<Vec<Step>>,
}

// === impl Edit ===

impl Edit {
    pub(super) fn deletion(at: Range<usize>, rule: Rule) -> Self {
        Self {
            at,
            with: Cow::Borrowed(""),
            rule,
        }
    }
}

/// The text with those of `edits` that pay, and what each saved; `None` if none does. Those that `skips` covers are not
/// tried.
///
/// Edits ascend and do not overlap. Those so near to each other that a token may span both are judged
/// together, so the tokens of the text fall by exactly the sum of what is booked.
pub(super) fn apply(
    document: &Document<'_>,
    edits: &[Edit],
    skips: Option<&Skips>,
    journal: &mut Journal,
) -> Option<String> {
    let mut edits = Cow::Borrowed(edits);
    if let Some(skips) = skips {
        let kind = |edit: &Edit| document.kinds[document.line_at(edit.at.start)];
        edits
            .to_mut()
            .retain(|edit| !skips.has(edit.rule, kind(edit)));
    }
    if edits.is_empty() {
        return None;
    }
    let text = document.text;
    let pairs: Vec<_> = edits
        .iter()
        .map(|edit| (edit.at.clone(), &*edit.with))
        .collect();
    let mut shorter = String::new();
    let mut from = 0;
    tokens::each_part(text, &pairs, |part| {
        let group = &edits[part.edits.clone()];
        let change = part.difference();
        if change.o200k >= 0 || change.cl100k > 0 || !is_guarded(document, group) {
            return;
        }
        if shorter.capacity() == 0 {
            shorter.reserve(text.len());
        }
        shorter.push_str(&text[from..part.at.start]);
        shorter.push_str(part.after);
        from = part.at.end;
        book(document, group, change.o200k.unsigned_abs(), journal);
    });
    (from > 0).then(|| {
        shorter.push_str(&text[from..]);
        shorter
    })
}

/// The bytes of `window` with the edits within it made.
fn replaced(text: &str, window: Range<usize>, edits: &[Edit]) -> String {
    let mut after = String::with_capacity(window.len());
    let mut from = window.start;
    for edit in edits {
        after.push_str(&text[from..edit.at.start]);
        after.push_str(&edit.with);
        from = edit.at.end;
    }
    after.push_str(&text[from..window.end]);
    after
}

/// Whether the words that must stay do. White space, data and references are proven by their rules.
fn is_guarded(document: &Document<'_>, group: &[Edit]) -> bool {
    let (Some(first), Some(last)) = (group.first(), group.last()) else {
        return true;
    };
    if !group.iter().any(|edit| edit.rule.rewords()) {
        return true;
    }
    // The sentences that the edits are in: what stands beside them is the same before and after.
    let line = document.lines[document.line_at(first.at.start)].start;
    let from = document.text[line..first.at.start]
        .rmatch_indices(['.', '!', '?'])
        .map(|(at, _)| line + at + 1)
        .find(|at| document.text[*at..].starts_with(' '))
        .unwrap_or(line);
    let line = document.lines[document.line_at(last.at.end.max(1) - 1)].stop;
    let to = document.text[last.at.end..line]
        .match_indices(['.', '!', '?'])
        .map(|(at, _)| last.at.end + at + 1)
        .find(|at| document.text[*at..].starts_with(' '))
        .unwrap_or(line);
    guard::keeps(
        &document.text[from..to],
        &replaced(document.text, from..to, group),
    )
}

/// Books what a group saved on its edits, by the characters that each of them saved.
fn book(document: &Document<'_>, group: &[Edit], tokens: usize, journal: &mut Journal) {
    let chars = |edit: &Edit| {
        let before = document.text[edit.at.clone()].chars().count() as u64;
        before.saturating_sub(edit.with.chars().count() as u64)
    };
    let all: u64 = group.iter().map(chars).sum();
    let mut left = tokens as u64;
    for (number, edit) in group.iter().enumerate() {
        let share = if number + 1 == group.len() {
            left
        } else {
            (tokens as u64 * chars(edit)).checked_div(all).unwrap_or(0)
        };
        left -= share;
        let kind = document.kinds[document.line_at(edit.at.start)];
        let saving = Saving {
            rule: edit.rule,
            kind,
            edits: 1,
            chars: chars(edit),
            tokens: share,
        };
        if let Some(steps) = &mut journal.steps {
            steps.push(Step {
                rule: edit.rule,
                line: document.line_at(edit.at.start) + 1,
                before: document.text[edit.at.clone()].to_owned(),
                after: edit.with.clone().into_owned(),
                tokens: share,
            });
        }
        Saving::add(&mut journal.savings, saving);
    }
}
