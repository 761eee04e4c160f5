//! Folds what a message says again: a line repeated at once, and lines that stand further up.

use std::ops::Range;

use super::{
    Role,
    document::{About, Document},
    edit::Edit,
    kind::Kind,
    references,
    rule::{Rule, RuleSet},
    seen::Seen,
};

/// So many equal lines in a row and more are counted rather than shown.
const ROW: usize = 4;
/// Repeated lines of so many bytes and more become a reference.
const BLOCK: usize = 160;
/// The same at `aggressive`.
const BOILERPLATE: usize = 80;
/// In a person's own words shorter repeats may be rows of what is asked about.
const OWN_WORDS: usize = 400;

/// What to fold, in order and without overlaps.
pub(super) fn propose(document: &Document<'_>, rules: RuleSet, role: Role) -> Vec<Edit> {
    let text = document.text;
    let mut edits = Vec::new();
    let may_matter = document.about != About::Nothing || document.counts_copies;
    if document.lines.len() < 2 || may_matter && role != Role::Tool {
        return edits;
    }
    let lines: Vec<&str> = document
        .lines
        .iter()
        .map(|line| &text[line.start..line.end])
        .collect();
    let is_open = |line: usize| {
        let kind = document.kinds[line];
        is_foldable(kind, role) && (rules.has(Rule::Boilerplate) || !is_delicate(kind, role))
    };
    let mut open = runs(lines.len(), is_open).peekable();
    let mut seen = Seen::default();
    seen.begin(text);
    seen.allow(lines.len());
    let mut at = 0;
    while at < lines.len() {
        while open.next_if(|open| open.end <= at).is_some() {}
        let end = open
            .peek()
            .filter(|open| open.start <= at)
            .map_or(at, |open| open.end);
        if seen.is_spent() {
            break;
        }
        let counts = rules.has(Rule::RepeatedLines)
            && role != Role::System
            && !lines[at].is_empty()
            && !is_delicate(document.kinds[at], role);
        let equal = lines[at..end].iter().take_while(|line| **line == lines[at]);
        let more = if counts {
            equal.count().saturating_sub(1)
        } else {
            0
        };
        if more + 1 >= ROW {
            seen.push(document.lines[at].start..document.lines[at].end);
            seen.part();
            let with = references::same(more);
            edits.push(fold(
                document,
                at + 1..at + 1 + more,
                with,
                Rule::RepeatedLines,
            ));
            at += 1 + more;
            continue;
        }
        let run = whole(document, at..at + seen.longest(&lines[at..end]));
        if run.start == at
            && let Some(edit) = reference(document, &lines, &seen, run, rules, role)
        {
            at = document.line_at(edit.at.end.max(1) - 1) + 1;
            edits.push(edit);
            seen.part();
            continue;
        }
        if document.kinds[at] == Kind::Reference {
            seen.part();
        } else {
            seen.push(document.lines[at].start..document.lines[at].end);
        }
        at += 1;
    }
    edits
}

/// The runs of consecutive lines, out of `count`, for which this holds.
pub(super) fn runs(
    count: usize,
    holds: impl Fn(usize) -> bool,
) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (at..count).find(|line| holds(*line))?;
        at = (start..count).find(|line| !holds(*line)).unwrap_or(count);
        Some(start..at)
    })
}

/// The edit that puts a reference in the place of the run or its beginning.
fn reference(
    document: &Document<'_>,
    lines: &[&str],
    seen: &Seen<'_>,
    run: Range<usize>,
    rules: RuleSet,
    role: Role,
) -> Option<Edit> {
    // The rule that folds such a run, if it is on.
    let applies = |run: &Range<usize>| {
        let mut kinds = document.kinds[run.clone()].iter();
        let has_code = kinds.any(|kind| is_delicate(*kind, role));
        let (block, boilerplate) = match role {
            Role::User => (OWN_WORDS, BLOCK),
            _ => (BLOCK, BOILERPLATE),
        };
        let bytes = bytes(document, run);
        let folding = if bytes >= block && !has_code {
            Rule::RepeatedBlocks
        } else if bytes >= BLOCK || bytes >= boilerplate && !has_code {
            Rule::Boilerplate
        } else {
            return None;
        };
        rules.has(folding).then_some(folding)
    };
    applies(&run)?;
    let named = references::above(&lines[run.clone()], seen)?;
    let run = whole(document, run.start..run.start + named.lines);
    let with_rule = applies(&run)?;
    let pays = run.len() == named.lines && named.with.len() * 2 <= bytes(document, &run);
    pays.then(|| fold(document, run, named.with, with_rule))
}

/// How long the lines of the run are, in bytes.
pub(super) fn bytes(document: &Document<'_>, run: &Range<usize>) -> usize {
    match run.clone().last() {
        Some(last) => document.lines[last].end - document.lines[run.start].start,
        None => 0,
    }
}

/// The run without blank lines at its end and without the parts of blocks that it would cut.
pub(super) fn whole(document: &Document<'_>, mut run: Range<usize>) -> Range<usize> {
    let kinds = &document.kinds;
    let cuts = |at: usize| match kinds.get(at) {
        Some(Kind::Fence | Kind::Formula | Kind::Json | Kind::Markup | Kind::Enclosed) => {
            document.continues[at]
        }
        // Rows of one table, lines of one change.
        Some(kind @ (Kind::Table | Kind::Diff)) => at > 0 && kinds[at - 1] == *kind,
        _ => false,
    };
    while !run.is_empty() && (cuts(run.end) || document.lines[run.end - 1].is_blank()) {
        run.end -= 1;
    }
    while !run.is_empty() && (cuts(run.start) || document.lines[run.start].is_blank()) {
        run.start += 1;
    }
    run
}

/// The edit that puts `with` in the place of the lines.
pub(super) fn fold(document: &Document<'_>, run: Range<usize>, with: String, rule: Rule) -> Edit {
    Edit {
        at: document.lines[run.start].start..document.lines[run.end - 1].stop,
        with: with.into(),
        rule,
    }
}

/// Whether repeated lines of this kind may be folded: fences never, verse, demonstrations and what is quoted only where a
/// tool put them out.
fn is_foldable(kind: Kind, role: Role) -> bool {
    match kind {
        Kind::Fence | Kind::Reference => false,
        Kind::Verse | Kind::Example | Kind::Quote | Kind::Formula => role == Role::Tool,
        // Rows that a person gives are counted, numbered and looked up.
        Kind::Json | Kind::Entries | Kind::Table | Kind::Columns | Kind::Log => role != Role::User,
        _ => true,
    }
}

/// Whether they are code of people, which is folded at `aggressive` alone.
fn is_delicate(kind: Kind, role: Role) -> bool {
    matches!(kind, Kind::Code | Kind::Diff | Kind::Shell) && role != Role::Tool
}
