//! The rows that the books hand to their readers at once, and those of them summed up that are alike.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::account::{Row, Who};
use super::tally::Tally;

/// An hour in milliseconds.
pub const HOUR: i64 = 3_600_000;
/// A day in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// With so many rows in a hand, those that differ in their times alone are summed up together. A machine that gives tens
/// of thousands of hits a second would otherwise pay for its books what it saves on its answers.
pub const BY_THEMSELVES: usize = 1_000;

/// Some rows of requests that are over, in the order in which they ended.
pub struct Hand<'r> {
    /// Each of them.
    pub rows: &'r [Row],
    /// The same summed up: each by itself, or with those that are alike.
    pub groups: Vec<Group<'r>>,
}

/// Requests that are alike, all in one hour.
pub struct Group<'r> {
    /// The first of them.
    pub row: &'r Row,
    /// Their sums.
    pub tally: Tally,
}

/// What rows have in common that are summed up together. Names are told apart by where they are kept: those of the
/// answers of one entry are in one place.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'r> {
    hour: i64,
    names: [usize; 3],
    who: (usize, &'r [u8]),
    places: (u8, u8, u16, bool),
    error: usize,
    money: [u64; 2],
    tokens: u64,
}

fn place(name: Option<&Arc<str>>) -> usize {
    name.map_or(0, |name| name.as_ptr().addr())
}

impl<'r> Hand<'r> {
    /// Sums rows up.
    pub fn new(rows: &'r [Row]) -> Self {
        let mut groups: Vec<Group<'r>> = Vec::new();
        let mut places = HashMap::with_hasher(RandomState::default());
        let are_many = rows.len() > BY_THEMSELVES;
        for row in rows {
            let tally = Tally::of(row);
            // What was paid for stands by itself, however much there is of it.
            if are_many && row.cost == 0 && row.attempts == 0 {
                let at = *places.entry(alike(row)).or_insert(groups.len());
                if let Some(group) = groups.get_mut(at) {
                    group.tally.add(&tally);
                    continue;
                }
            }
            groups.push(Group { row, tally });
        }
        Self { rows, groups }
    }
}

fn alike(row: &Row) -> Alike<'_> {
    let who = match &row.who {
        Who::Anonymous => (0, &[][..]),
        Who::Named(name) => (name.as_ptr().addr(), &[][..]),
        Who::Scope(bytes) => (0, &bytes[..]),
    };
    Alike {
        hour: row.at.div_euclid(HOUR),
        names: [
            place(row.model.as_ref()),
            place(row.served.as_ref()),
            place(row.user.as_ref()),
        ],
        who,
        places: (
            row.endpoint.map_or(0, |route| 1 + route as u8),
            row.source as u8,
            row.status,
            row.is_aborted,
        ),
        error: row.error.map_or(0, |code| code.as_ptr().addr()),
        money: [row.saved.total(), row.compressed_tokens],
        tokens: row.usage().map_or(0, |usage| usage.total_tokens),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::account::Source;
    use crate::metering::tally::Figure;
    use crate::request::Route;

    fn row(at: i64, model: &Arc<str>) -> Row {
        Row {
            at,
            model: Some(Arc::clone(model)),
            endpoint: Some(Route::Create),
            source: Source::Cache,
            status: 200,
            ..Row::default()
        }
    }

    #[test]
    fn few_rows_stand_by_themselves_and_many_together() {
        let models: [Arc<str>; 2] = ["a".into(), "b".into()];
        let rows: Vec<_> = (0..BY_THEMSELVES).map(|_| row(0, &models[0])).collect();
        assert_eq!(Hand::new(&rows).groups.len(), rows.len());
        let mut rows: Vec<_> = (0..3_000)
            .map(|at| row(at, &models[usize::from(at % 3 == 0)]))
            .collect();
        rows[7].status = 500;
        rows[8].cost = 1;
        rows[9].at = HOUR;
        let groups = Hand::new(&rows).groups;
        assert_eq!(groups.len(), 5);
        let requests: u64 = groups
            .iter()
            .map(|group| group.tally.get(Figure::Requests))
            .sum();
        assert_eq!(requests, 3_000);
    }
}
