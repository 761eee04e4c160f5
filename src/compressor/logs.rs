//! Folds runs of log lines that differ in a few places into a template and what differs.
//!
//! ```text
//! [6 similar lines: 12:00:{} job {} done in {}ms; values:
//! 01 4411 23
//! …
//! 09 4417 19]
//! ```
//!
//! Nothing is lost: each value takes the place of a `{}` in turn, values are parted by one blank, a
//! value that begins with a quotation mark ends with the next, and the lines stand in their order.
//! Numbers, words with digits in them and quotations vary; every other word must be equal.

mod fields;
mod stamp;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use memchr::{memchr, memmem};

use super::{
    edit::Edit,
    rule::{Rule, RuleSet},
};
use fields::{Quotes, Run, Template};

/// Fewer lines are read as easily as their template.
const FEW: usize = 6;
/// What a fold must leave of the run's bytes at most, in percent.
const WORTH: usize = 70;
const HEADER: &str = " similar lines: ";
const VALUES: &str = "; values:";

/// Whether a line begins as a log's do: with a time, a level, a counter or an address.
pub(super) fn begins_log(line: &str) -> bool {
    stamp::begins_log(line.as_bytes())
}

/// One edit for each run of similar lines among `lines`, the bodies of a message's lines in order.
pub(super) fn propose(text: &str, lines: &[Range<usize>], rules: RuleSet) -> Vec<Edit> {
    let mut edits = Vec::new();
    if !rules.has(Rule::LogTemplates) || lines.len() < FEW {
        return edits;
    }
    let mut at = 0;
    while at < lines.len() {
        let first = &text[lines[at].clone()];
        if let Some(folded) = folded_lines(first) {
            at = at.saturating_add(folded).saturating_add(1);
            continue;
        }
        let end = end_of_run(text, lines, at);
        if end - at >= FEW
            && let Some(edit) = fold(text, &lines[at..end])
        {
            edits.push(edit);
        }
        at = end;
    }
    edits
}

/// Past the lines from `first` on that have its shape and are parted by the same line end.
fn end_of_run(text: &str, lines: &[Range<usize>], first: usize) -> usize {
    let body = &text[lines[first].clone()];
    let mut end = first + 1;
    let Some(shape) = fields::shape(body) else {
        return end;
    };
    let mut gap = None;
    while let Some(line) = lines.get(end) {
        let this = text.get(lines[end - 1].end..line.start).unwrap_or_default();
        let parted = *gap.get_or_insert(this) == this
            && this.trim_ascii().is_empty()
            && memchr::memchr_iter(b'\n', this.as_bytes()).count() == 1;
        let body = &text[line.clone()];
        if !parted || fields::shape(body) != Some(shape) || folded_lines(body).is_some() {
            break;
        }
        end += 1;
    }
    end
}

/// How many lines of values follow, if `line` is the head of a fold.
pub(super) fn folded_lines(line: &str) -> Option<usize> {
    let line = line.strip_prefix('[')?.strip_suffix(VALUES)?;
    let (count, _) = line.split_once(HEADER)?;
    count.parse().ok()
}

fn fold(text: &str, run: &[Range<usize>]) -> Option<Edit> {
    // Quotations are mostly of one pattern too; else each is one value.
    let read = |quotes| {
        let lines = run.iter().map(|line| &text[line.clone()]);
        let lines = Run::read(lines, quotes)?;
        Template::of(&lines).map(|template| (lines, template))
    };
    let (lines, template) = read(Quotes::Open).or_else(|| read(Quotes::Whole))?;
    let whole = run[0].start..run[run.len() - 1].end;
    let gap = &text[run[0].end..run[1].start];
    let limit = whole.len() * WORTH / 100;
    let mut with = format!("[{}{HEADER}{}{VALUES}", run.len(), template.text);
    for line in 0..run.len() {
        with.push_str(gap);
        template.write_values(&lines, line, &mut with);
        if with.len() >= limit {
            return None;
        }
    }
    with.push(']');
    (with.len() <= limit).then_some(Edit {
        at: whole,
        with: Cow::Owned(with),
        rule: Rule::LogTemplates,
    })
}

/// Whether a line may stand in a template: not one that holds a mark of templates, and not data, code,
/// a change or a row of a table, which are quoted and edited as they stand: it begins with a stamp.
fn is_foldable(line: &str) -> bool {
    let bytes = line.as_bytes();
    let is_log =
        stamp::begins_log(bytes) && bytes.last().is_some_and(|last| !b";,{(\\".contains(last));
    is_log && (memchr(b'{', bytes).is_none() || memmem::find(bytes, b"{}").is_none())
}
