//! Tells padding from blanks that mean something.
//!
//! Padding brings all cells of a column to one width. Blanks that go beyond draw a tree, a plan or a board, or
//! indent what a cell goes on with: a table with any of them stays whole.

/// Whether blanks of the table whose body has these `rows` may be more than padding.
pub(super) fn may_mean_something(header: &[&str], rows: &[Vec<&str>]) -> bool {
    let rows = || {
        rows.iter()
            .filter(|row| !row.iter().all(|cell| super::is_rule(cell)))
    };
    let cells = || rows().flatten().chain(header);
    let width = rows().map(Vec::len).max().unwrap_or_default();
    cells().any(|cell| has_gaps(cell.trim()))
        // A client of PostgreSQL marks a cell that goes on in the line below.
        || rows().flatten().any(|cell| cell.trim_end().ends_with('+'))
        || !(0..width).all(|column| is_padded(rows().filter_map(|row| row.get(column).copied())))
}

/// Whether places within the cell count: more than one blank in a row, or nothing but single signs.
fn has_gaps(text: &str) -> bool {
    let mut words = text.split(char::is_whitespace);
    let is_sign = |word: &str| word.chars().nth(1).is_none();
    words.clone().any(str::is_empty) && !text.is_empty()
        || words.clone().nth(1).is_some() && words.all(is_sign)
}

/// Whether the cells of a column begin at one place, or end at one, or stand in the middle.
fn is_padded<'c>(cells: impl Iterator<Item = &'c str> + Clone) -> bool {
    let sizes = cells.filter(|cell| !cell.trim().is_empty()).map(|cell| {
        let count = |text: &str| text.chars().count();
        let lead = count(cell) - count(cell.trim_start());
        let end = count(cell.trim_end());
        (lead, end, count(cell))
    });
    let Some(first) = sizes.clone().next() else {
        return true;
    };
    let is_centred = |(lead, end, width): (usize, usize, usize)| {
        width == first.2 && lead.abs_diff(width - end) <= 1
    };
    sizes.clone().all(|(lead, ..)| lead == first.0)
        || sizes.clone().all(|(_, end, _)| end == first.1)
        || sizes.clone().all(is_centred)
}
