//! Takes the padding out of the tables that clients of databases draw.
//!
//! ```text
//! +----+-------+        id | name
//! | id | name  |       ----+-------
//! +----+-------+         1 | Ann
//! |  1 | Ann   |
//! +----+-------+
//! ```
//!
//! The drawn lines say where a cell ends: each row has a bar below each `+` and none elsewhere, or the table
//! is left as it is. A client draws one line below the header, and with a frame one above it and one at the end:
//! more of them, or double ones, are of a table that somebody wrote, or of a board.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

use super::{blanks, has_signs, short_cell};
use crate::compressor::{document::Document, edit::Edit, kind::Kind, rule::Rule};

/// One edit for each line of such tables that can be shorter.
pub(in crate::compressor) fn propose(document: &Document<'_>) -> Vec<Edit> {
    let mut edits = Vec::new();
    let count = document.lines.len();
    let mut at = 0;
    while at < count {
        let Some(crosses) = crosses(document, at) else {
            at += 1;
            continue;
        };
        let framed = document.body(at).starts_with('+');
        let start = if framed { at } else { at.saturating_sub(1) };
        let fits = |number: &usize| {
            self::crosses(document, *number).as_ref() == Some(&crosses) && framed
                || row(document, *number, &crosses, framed).is_some()
        };
        let end = at + 1 + (at + 1..count).take_while(fits).count();
        // Two drawn lines share no row: it would be of two tables.
        let is_shared = start > 0 && is_border(document, start - 1);
        let headed = framed || at > 0 && !is_shared && fits(&start);
        // A line that goes on below with bars is a row of which nobody knows the cells.
        let goes_on = end < count && (document.body(end).contains('|') || is_border(document, end));
        let closed = !goes_on && (!framed || is_border(document, end - 1));
        // Whatever is drawn within, more than a header stands between two lines.
        let table = start..end;
        if headed
            && closed
            && end - start >= 3
            && is_of_client(document, &table, framed)
            && !has_meaning(document, &table, &crosses, framed)
        {
            for number in table {
                edits.extend(shorter(document, number, &crosses, framed));
            }
        }
        at = end;
    }
    edits
}

/// Whether the drawn lines stand where the clients of databases put them.
fn is_of_client(document: &Document<'_>, table: &Range<usize>, framed: bool) -> bool {
    let borders = table.clone().filter(|number| is_border(document, *number));
    let borders: Vec<_> = borders.collect();
    let is_double = |number: &usize| document.body(*number).contains('=');
    let last = table.len() - 1;
    let places: &[usize] = if framed { &[0, 2, last] } else { &[1] };
    let is_placed = borders
        .iter()
        .map(|number| number - table.start)
        .eq(places.iter().copied());
    is_placed && !borders.iter().any(is_double)
}

/// Whether the blanks of the cells may be more than padding.
fn has_meaning(
    document: &Document<'_>,
    table: &Range<usize>,
    crosses: &[usize],
    framed: bool,
) -> bool {
    let mut rows = table
        .clone()
        .filter_map(|number| row(document, number, crosses, framed));
    let header = rows.next().unwrap_or_default();
    blanks::may_mean_something(&header, &rows.collect::<Vec<_>>())
}

fn shorter(
    document: &Document<'_>,
    number: usize,
    crosses: &[usize],
    framed: bool,
) -> Option<Edit> {
    let line = document.lines[number];
    let body = document.body(number);
    let with = if is_border(document, number) {
        let mark = if body.contains('=') { "=" } else { "-" };
        let cells = vec![mark; crosses.len() - usize::from(framed)];
        if framed {
            format!("+{}+", cells.join("+"))
        } else {
            // One dash more than there are crosses.
            format!("{}+{mark}", cells.join("+"))
        }
    } else if has_signs(body) {
        return None;
    } else {
        let cells: Vec<_> = row(document, number, crosses, framed)?
            .into_iter()
            .map(short_cell)
            .collect();
        let inner = cells.join("|");
        if framed { format!("|{inner}|") } else { inner }
    };
    // Of a table without a frame, the blank in front of the first cell is padding, too.
    let at = if framed { line.body } else { line.start }..line.stop;
    (with.len() < at.len()).then_some(Edit {
        at,
        with: Cow::Owned(with),
        rule: Rule::TablePadding,
    })
}

/// Whether the line is one of dashes and crosses.
pub(super) fn is_border(document: &Document<'_>, number: usize) -> bool {
    let body = document.body(number).as_bytes();
    body.len() >= 5
        && body.contains(&b'+')
        && (body.iter().all(|byte| b"+-".contains(byte))
            || body.iter().all(|byte| b"+=".contains(byte)))
}

/// Where the crosses of a drawn line stand, in characters from the start of the line. Those of a frame begin
/// and end it.
fn crosses(document: &Document<'_>, number: usize) -> Option<Vec<usize>> {
    let is_kept = matches!(
        document.kinds[number],
        Kind::Fence
            | Kind::Diff
            | Kind::Json
            | Kind::Formula
            | Kind::Quote
            | Kind::Markup
            | Kind::Reference
    );
    if is_kept || !is_border(document, number) {
        return None;
    }
    let line = document.lines[number];
    let body = document.body(number).as_bytes();
    let framed = body[0] == b'+';
    if framed != body.ends_with(b"+") || !framed && line.body > line.start {
        return None;
    }
    // Blanks of an indentation are one character each, tabs are not.
    let crosses: Vec<_> =
        memchr::memchr_iter(b'+', &document.text.as_bytes()[line.start..line.end]).collect();
    let narrow = crosses.windows(2).any(|pair| pair[1] - pair[0] < 2);
    (!narrow && !document.text[line.start..line.body].contains('\t')).then_some(crosses)
}

/// The cells of a row that has a bar below each cross.
fn row<'t>(
    document: &Document<'t>,
    number: usize,
    crosses: &[usize],
    framed: bool,
) -> Option<Vec<&'t str>> {
    let line = document.lines[number];
    let text = &document.text[line.start..line.end];
    let is_kept = matches!(
        document.kinds[number],
        Kind::Fence | Kind::Diff | Kind::Markup
    );
    // A bar within a cell could not be told from the frame once the places are gone.
    let bars = memchr::memchr_iter(b'|', text.as_bytes()).count();
    if line.is_blank() || is_kept || bars != crosses.len() || text.contains('\t') {
        return None;
    }
    let mut cells = Vec::new();
    let (mut chars, mut next, mut from) = (text.char_indices(), 0, 0);
    let mut passed = 0;
    for cross in crosses {
        let (at, bar) = chars.nth(cross - passed)?;
        passed = cross + 1;
        if bar != '|' {
            return None;
        }
        if next > 0 || !framed {
            cells.push(&text[from..at]);
        }
        from = at + 1;
        next += 1;
    }
    if framed {
        (from == text.len()).then_some(cells)
    } else {
        cells.push(&text[from..]);
        Some(cells)
    }
}
