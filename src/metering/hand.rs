//! The rows that the books hand to their readers at once.

use super::account::Row;
use super::tally::Tally;

/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;
/// A day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// Some rows of requests that are over; those at the end are the last ones, in the order in which they ended.
pub struct Hand<'r> {
    /// Each of them.
    pub rows: &'r [Row],
    /// The same with what each stands for.
    pub groups: Vec<Group<'r>>,
}

/// Requests that are alike, all in one hour; mostly one.
pub struct Group<'r> {
    /// The first of them.
    pub row: &'r Row,
    /// Their sums.
    pub tally: Tally,
}

impl<'r> Hand<'r> {
    /// These rows.
    pub fn new(rows: &'r [Row]) -> Self {
        let group = |row| Group {
            row,
            tally: Tally::of(row),
        };
        Self {
            rows,
            groups: rows.iter().map(group).collect(),
        }
    }
}
