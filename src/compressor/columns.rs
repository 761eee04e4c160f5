//! Takes the padding out of columns that a command made of blanks.
//!
//! One blank between two cells says the same as ten where every line of a table has as many cells, none of
//! them is empty and none holds a blank. A header in capitals shows that it is such a table, and that all
//! cells of a column begin or end below each other shows that the cells are its cells.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use memchr::memmem;

use super::{
    Role,
    document::Document,
    edit::Edit,
    kind::Kind,
    rule::{Rule, RuleSet},
    space, tables,
};

/// Two columns may be a list of words and their meanings, or code.
const COLUMNS: usize = 3;
/// Fewer rows may be below each other by chance.
const ROWS: usize = 2;
/// Longer lines are no table of a terminal, in bytes.
const WIDE: usize = 400;
/// What the progress meter of `curl` begins with; the cells of its header hold blanks, but it is always the same.
const METER: [&[&str]; 2] = [
    &[
        "%", "Total", "%", "Received", "%", "Xferd", "Average", "Speed", "Time", "Time", "Time",
        "Current",
    ],
    &["Dload", "Upload", "Total", "Spent", "Left", "Speed"],
];

/// Words of texts in which the place of a cell may count.
const ABOUT_PLACES: &[&str] = &[
    "align",
    "byte",
    "character",
    "column ",
    "column width",
    "columns ",
    "fixed",
    "layout",
    "offset",
    "padded",
    "padding",
    "position",
];
static PLACES: LazyLock<AhoCorasick> = LazyLock::new(|| space::automaton(ABOUT_PLACES));

/// Whether there may be padding: two blanks in a row.
pub(super) fn is_worth_a_look(text: &str, role: Role) -> bool {
    matches!(role, Role::Tool | Role::User) && memmem::find(text.as_bytes(), b"  ").is_some()
}

/// What to delete so that one blank stands between two cells.
pub(super) fn propose(document: &Document<'_>, rules: RuleSet, role: Role) -> Vec<Edit> {
    let mut edits = Vec::new();
    if !rules.has(Rule::ColumnPadding) || !is_worth_a_look(document.text, role) {
        return edits;
    }
    let mut at = 0;
    while at < document.lines.len() {
        let found = meter(document, at).or_else(|| table(document, at, role));
        let Some(found) = found else {
            at += 1;
            continue;
        };
        if found.is_proven {
            for number in found.lines.clone() {
                fold(document, number, &mut edits);
            }
        }
        // What is no table from its first line on is none from a later one: each line is read once.
        at = found.lines.end;
    }
    let is_about = || PLACES.is_match(document.text) || space::is_about_space(document.text, role);
    if !edits.is_empty() && is_about() {
        edits.clear();
    }
    edits
}

/// Lines that may be a table, and whether they are one.
struct Found {
    lines: Range<usize>,
    is_proven: bool,
}

/// The table whose header is this line.
fn table(document: &Document<'_>, header: usize, role: Role) -> Option<Found> {
    let is_loud = |cell: &str| {
        cell.starts_with(|first: char| first.is_ascii_uppercase() || first == '%')
            && cell.bytes().all(|byte| byte.is_ascii_alphabetic() || b"%_-/()".contains(&byte))
            // Of what a person sends, only capitals throughout tell a command's output from a list.
            && (role == Role::Tool || !cell.bytes().any(|byte| byte.is_ascii_lowercase()))
    };
    let body = document.body(header);
    if !body.starts_with(|first: char| first.is_ascii_uppercase() || first == '%')
        || !body.contains("  ")
    {
        return None;
    }
    let names = cells(document, header)?;
    if names.len() < COLUMNS || !names.iter().all(|at| is_loud(&document.text[at.clone()])) {
        return None;
    }
    let place = |number: usize, at: &Range<usize>| {
        let start = document.lines[number].start;
        let chars = |to: usize| document.text[start..to].chars().count();
        (chars(at.start), chars(at.end))
    };
    let names: Vec<_> = names.iter().map(|at| place(header, at)).collect();
    let mut starts = vec![true; names.len()];
    let mut ends = starts.clone();
    let mut end = header + 1;
    while let Some(row) = (end < document.lines.len())
        .then(|| cells(document, end))
        .flatten()
    {
        if row.len() != names.len() {
            break;
        }
        for (column, at) in row.iter().enumerate() {
            let (start, stop) = place(end, at);
            starts[column] &= start == names[column].0;
            ends[column] &= stop == names[column].1;
        }
        end += 1;
    }
    let is_straight = starts.iter().zip(&ends).all(|(start, end)| *start || *end);
    // A line that goes on below may be a row with an empty cell, so that all are in doubt.
    let is_closed = document
        .lines
        .get(end)
        .is_none_or(super::lines::Line::is_blank)
        || role == Role::Tool && !document.body(end).contains("  ");
    Some(Found {
        lines: header..end,
        is_proven: end > header + ROWS && is_straight && is_closed,
    })
}

/// The progress meter whose header is this line.
fn meter(document: &Document<'_>, header: usize) -> Option<Found> {
    if !document.body(header).starts_with("% Total ") {
        return None;
    }
    let words = |number: usize| document.body(number).split_ascii_whitespace();
    let is_header = METER.iter().enumerate().all(|(below, names)| {
        header + below < document.lines.len() && words(header + below).eq(names.iter().copied())
    });
    let is_row = |number: &usize| {
        let is_figure = |cell: &str| {
            cell.starts_with(|first: char| first.is_ascii_digit() || first == '-')
                && cell
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || b":.-kMGT".contains(&byte))
        };
        words(*number).count() == METER[0].len() && words(*number).all(is_figure)
    };
    let mut first = header + METER.len();
    // The return that the first row begins with may have become a line of its own.
    first += usize::from(document.kinds.get(first) == Some(&Kind::Blank));
    let rows = (first..document.lines.len()).take_while(is_row).count();
    (is_header && rows > 0).then_some(Found {
        lines: header..first + rows,
        is_proven: true,
    })
}

/// The cells of a line; `None` if it cannot be one of a table.
fn cells(document: &Document<'_>, number: usize) -> Option<Vec<Range<usize>>> {
    let is_kept = matches!(
        document.kinds[number],
        Kind::Blank
            | Kind::Fence
            | Kind::Diff
            | Kind::Json
            | Kind::Formula
            | Kind::Quote
            | Kind::Markup
            | Kind::Enclosed
            | Kind::Table
            | Kind::Example
            | Kind::Reference
    );
    let body = document.body(number);
    if is_kept
        || body.len() > WIDE
        || body
            .bytes()
            .any(|byte| b"\t\r\"'`|{}[];=\\".contains(&byte))
    {
        return None;
    }
    let line = document.lines[number];
    let mut cells = Vec::new();
    let mut at = line.body;
    for cell in body.split(' ') {
        if !cell.is_empty() {
            cells.push(at..at + cell.len());
        }
        at += cell.len() + 1;
    }
    let ends = |mark: char| {
        cells
            .iter()
            .any(|at| document.text[at.clone()].ends_with(mark))
    };
    (!ends(',') && !ends(':')).then_some(cells)
}

fn fold(document: &Document<'_>, number: usize, edits: &mut Vec<Edit>) {
    let line = document.lines[number];
    let body = document.body(number);
    if line.is_blank() || tables::has_signs(body) {
        return;
    }
    if line.body > line.start {
        edits.push(Edit::deletion(line.start..line.body, Rule::ColumnPadding));
    }
    let mut at = line.body;
    for cell in body.split(' ') {
        // The blank behind the cell before stays, those in front of empty cells go.
        if cell.is_empty() {
            match edits.last_mut() {
                Some(last) if last.at.end == at && last.at.start >= line.body => last.at.end += 1,
                _ => edits.push(Edit::deletion(at..at + 1, Rule::ColumnPadding)),
            }
        }
        at += cell.len() + 1;
    }
}
