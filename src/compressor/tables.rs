//! Takes the padding out of Markdown tables.
//!
//! What costs a token decides: a blank before a letter is part of the word's token and stays, one
//! before a digit, a sign or a bar goes. The texts of the cells and their number never change; a row
//! in which it is unclear where a cell ends keeps its bytes, and so does a table whose blanks may mean
//! something (`tables/blanks.rs`).

mod blanks;
mod boxed;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use aho_corasick::AhoCorasick;
use memchr::{memchr, memchr2_iter, memmem};

use super::{
    Role,
    document::Document,
    edit::Edit,
    json,
    kind::Kind,
    rule::{Rule, RuleSet},
};

/// Talk about how a table looks, next to that about layout. Those with a blank at the end are whole words.
const ABOUT_FORM: &[&str] = &[
    "draw", "form ", "format", "frame ", "padd", "redraw", "wide ",
];
static FORM: LazyLock<AhoCorasick> = LazyLock::new(|| json::automaton(ABOUT_FORM));

/// One edit for each line of a table drawn by the client of a database that can be shorter.
pub(super) fn propose_boxed(document: &Document<'_>, _: RuleSet, role: Role) -> Vec<Edit> {
    unless_spoken_of(document, role, boxed::propose(document))
}

/// One edit for each row of a Markdown table that can be shorter.
pub(super) fn propose_all(document: &Document<'_>, rules: RuleSet, role: Role) -> Vec<Edit> {
    let has_border =
        |number: usize| number < document.lines.len() && boxed::is_border(document, number);
    // Rows within a drawn frame are of another sort of table.
    let is_framed =
        |run: &Range<usize>| has_border(run.end) || run.start > 0 && has_border(run.start - 1);
    let tables = document.runs(Kind::Table).filter(|run| !is_framed(run));
    let edits: Vec<_> = tables
        .flat_map(|run| {
            let rows: Vec<_> = run.map(|line| document.body_range(line)).collect();
            propose(document.text, &rows, rules)
        })
        .collect();
    unless_spoken_of(document, role, edits)
}

/// The edits, but none where a person's words outside of tables and fences may be about how a table looks.
fn unless_spoken_of(document: &Document<'_>, role: Role, edits: Vec<Edit>) -> Vec<Edit> {
    if edits.is_empty() || role == Role::Tool {
        return edits;
    }
    let speaks = document.kinds.iter().enumerate().any(|(number, kind)| {
        let line = document.body(number).as_bytes();
        !matches!(kind, Kind::Table | Kind::Fence)
            && memchr(b'|', line).is_none()
            && (json::speaks_of_layout(line) || json::names(&FORM, ABOUT_FORM, line))
    });
    if speaks { Vec::new() } else { edits }
}

/// One edit for each row that can be shorter; `rows` are the bodies of one table's lines.
pub(super) fn propose(text: &str, rows: &[Range<usize>], rules: RuleSet) -> Vec<Edit> {
    if !rules.has(Rule::TablePadding) || rows.len() < 2 {
        return Vec::new();
    }
    let lines: Vec<&str> = rows
        .iter()
        .map(|row| text[row.clone()].trim_ascii())
        .collect();
    let has_rule = cells(lines[1]).is_some_and(|rule| {
        rule.iter().all(|cell| is_rule(cell))
            && cells(lines[0]).is_some_and(|header| header.len() == rule.len())
    });
    if !has_rule && !is_grid(&lines) {
        return Vec::new();
    }
    // The header may stand in the middle of a column whose cells do not.
    let body = if has_rule { &lines[2..] } else { &lines[..] };
    let body: Vec<_> = body.iter().filter_map(|line| cells(line)).collect();
    let header = if has_rule { cells(lines[0]) } else { None };
    if blanks::may_mean_something(&header.unwrap_or_default(), &body) {
        return Vec::new();
    }
    let mut edits = Vec::new();
    for (at, (row, line)) in rows.iter().zip(&lines).enumerate() {
        let Some(cells) = cells(line) else { continue };
        let with = if has_rule && at == 1 {
            joined(line, cells.iter().map(|cell| short_rule(cell)))
        } else if has_signs(line) {
            continue;
        } else {
            joined(line, cells.iter().map(|cell| short_cell(cell)))
        };
        if with.len() < line.len() {
            let body = &text[row.clone()];
            let start = row.start + body.len() - body.trim_ascii_start().len();
            edits.push(Edit {
                at: start..start + line.len(),
                with: Cow::Owned(with),
                rule: Rule::TablePadding,
            });
        }
    }
    edits
}

/// Rows of equal width with text in each: without a rule below the header, bars may be a drawing.
fn is_grid(lines: &[&str]) -> bool {
    let width = |line: &str| cells(line).map_or(0, |cells| cells.len());
    lines.iter().all(|line| {
        line.starts_with('|')
            && is_closed(line)
            && width(line) >= 2
            && width(line) == width(lines[0])
            && line
                .bytes()
                .any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80)
    })
}

/// Whether the bar at the end is one of the frame.
fn is_closed(line: &str) -> bool {
    line.len() > 1 && line.ends_with('|') && !line.ends_with("\\|")
}

/// The cells between the bars; `None` where a bar may belong to a quotation or to code.
fn cells(line: &str) -> Option<Vec<&str>> {
    memchr(b'|', line.as_bytes())?;
    // Readers disagree about a bar behind two backslashes.
    if memmem::find(line.as_bytes(), b"\\\\").is_some() {
        return None;
    }
    let inner = line.strip_prefix('|').unwrap_or(line);
    let mut cells = Vec::new();
    let mut start = 0;
    let mut escaped = usize::MAX;
    for at in memchr2_iter(b'|', b'\\', inner.as_bytes()) {
        if at == escaped {
            continue;
        }
        if inner.as_bytes()[at] == b'\\' {
            escaped = at + 1;
        } else {
            cells.push(&inner[start..at]);
            start = at + 1;
        }
    }
    if start < inner.len() {
        cells.push(&inner[start..]);
    }
    cells.iter().all(|cell| is_whole(cell)).then_some(cells)
}

/// Whether every quotation and code span of the cell ends in it.
fn is_whole(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    let count = |sign: u8| memchr::memchr_iter(sign, bytes).count();
    let letter = |at: Option<usize>| {
        let byte = at.and_then(|at| bytes.get(at));
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
    };
    let apostrophe = |at: usize| letter(at.checked_sub(1)) && letter(Some(at + 1));
    let single = memchr::memchr_iter(b'\'', bytes)
        .filter(|at| !apostrophe(*at))
        .count();
    count(b'`') % 2 == 0
        && count(b'"') % 2 == 0
        && single % 2 == 0
        && cell.matches('“').count() == cell.matches('”').count()
}

/// Arrows and comparisons: such a row may be a line of code.
pub(super) fn has_signs(line: &str) -> bool {
    [
        &b"=>"[..],
        b"->",
        b"==",
        b"!=",
        b"&&",
        b"||",
        b"::",
        b"<-",
        b"<=",
    ]
    .iter()
    .any(|sign| memmem::find(line.as_bytes(), sign).is_some())
}

/// `---`, `:--`, `--:` or `:-:`
fn is_rule(cell: &str) -> bool {
    let dashes = cell.trim_ascii();
    let dashes = dashes.strip_prefix(':').unwrap_or(dashes);
    let dashes = dashes.strip_suffix(':').unwrap_or(dashes);
    !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
}

fn short_rule(cell: &str) -> &'static str {
    let cell = cell.trim_ascii();
    match (cell.starts_with(':'), cell.ends_with(':')) {
        (false, false) => "-",
        (true, false) => ":-",
        (false, true) => "-:",
        (true, true) => ":-:",
    }
}

/// The cell with at most one blank before it, and only where that costs nothing.
fn short_cell(cell: &str) -> &str {
    let padded = |byte: &u8| matches!(byte, b' ' | b'\t');
    let bytes = cell.as_bytes();
    let lead = bytes.iter().take_while(|byte| padded(byte)).count();
    if lead == cell.len() {
        // Two bars that touch are an operator, or a wide cell, to some readers.
        return &cell[..lead.min(1)];
    }
    let tail = bytes.iter().rev().take_while(|byte| padded(byte)).count();
    let text = &cell[lead..cell.len() - tail];
    // A backslash would take the bar that follows.
    if text.ends_with('\\')
        || text.starts_with(char::is_whitespace)
        || text.ends_with(char::is_whitespace)
    {
        return cell;
    }
    let is_word = text.starts_with(|first: char| first.is_alphabetic() && first < '\u{530}');
    let before = usize::from(is_word && bytes[..lead].ends_with(b" "));
    // An address would reach into the bar.
    let after = usize::from(text.contains("://") && bytes[lead + text.len()..].starts_with(b" "));
    &cell[lead - before..lead + text.len() + after]
}

fn joined<'c>(line: &str, cells: impl Iterator<Item = &'c str>) -> String {
    let mut out = String::with_capacity(line.len());
    if line.starts_with('|') {
        out.push('|');
    }
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            out.push('|');
        }
        out.push_str(cell);
    }
    if is_closed(line) {
        out.push('|');
    }
    out
}
