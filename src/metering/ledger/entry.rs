//! Rows on their way into the ledger: one each, or some as one where there are very many.

use std::collections::HashMap;
use std::sync::Arc;

use super::schema::HOUR;
use crate::metering::account::{Row, Source, Who};
use crate::metering::tally::Tally;
use crate::request::Route;

/// More rows than these in one hand are put together where they differ in their times alone. A machine that gives tens
/// of thousands of hits a second would otherwise pay more for its books than for its answers, and fill its disk.
pub(super) const BY_THEMSELVES: usize = 1_000;

/// A line of `requests`.
pub(super) struct Entry<'r> {
    /// The request, or the first of those put together.
    pub(super) row: &'r Row,
    pub(super) tally: Tally,
}

/// What the sums of an hour are kept by.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'r> {
    pub(super) hour: i64,
    pub(super) model: &'r str,
    pub(super) who: &'r Who,
    pub(super) user: &'r str,
    pub(super) endpoint: &'static str,
    pub(super) source: Source,
}

/// What requests have in common that are put together.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'r> {
    key: Key<'r>,
    served: Option<&'r str>,
    status: u16,
    error: Option<&'static str>,
    is_aborted: bool,
    /// The answer's tokens and money: an answer of the same entry has the same.
    tokens: u64,
    saved: u64,
}

impl<'r> Key<'r> {
    pub(super) fn of(row: &'r Row) -> Self {
        Self {
            hour: row.at - row.at.rem_euclid(HOUR),
            model: text(row.model.as_ref()),
            who: &row.who,
            user: text(row.user.as_ref()),
            endpoint: row.endpoint.map_or("", Route::as_str),
            source: row.source,
        }
    }
}

pub(super) fn text(name: Option<&Arc<str>>) -> &str {
    name.map_or("", |name| name)
}

/// The lines for these rows.
pub(super) fn entries(rows: &[Row]) -> Vec<Entry<'_>> {
    let single = |row| Entry {
        row,
        tally: Tally::of(row),
    };
    if rows.len() <= BY_THEMSELVES {
        return rows.iter().map(single).collect();
    }
    let mut entries: Vec<Entry<'_>> = Vec::new();
    let mut places = HashMap::new();
    for row in rows {
        // What was paid for has a line of its own, however many there are.
        if row.cost > 0 || row.attempts > 0 {
            entries.push(single(row));
            continue;
        }
        let alike = Alike {
            key: Key::of(row),
            served: row.served.as_deref(),
            status: row.status,
            error: row.error,
            is_aborted: row.is_aborted,
            tokens: row.usage.map_or(0, |usage| usage.total_tokens),
            saved: row.saved.total(),
        };
        let place = *places.entry(alike).or_insert(entries.len());
        match entries.get_mut(place) {
            Some(entry) => entry.tally.add(&Tally::of(row)),
            None => entries.push(single(row)),
        }
    }
    entries
}

/// The sums by hour of these rows.
pub(super) fn hours(rows: &[Row]) -> HashMap<Key<'_>, Tally> {
    let mut sums = HashMap::<_, Tally>::new();
    for row in rows {
        sums.entry(Key::of(row)).or_default().add(&Tally::of(row));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::tally::Figure;

    fn row(at: i64, model: &str) -> Row {
        Row {
            at,
            model: Some(model.into()),
            endpoint: Some(Route::Create),
            source: Source::Cache,
            status: 200,
            ..Row::default()
        }
    }

    #[test]
    fn few_rows_stand_by_themselves_and_many_together() {
        let rows: Vec<_> = (0..BY_THEMSELVES as i64).map(|at| row(at, "a")).collect();
        assert_eq!(entries(&rows).len(), rows.len());
        let mut rows: Vec<_> = (0..3_000)
            .map(|at| row(at, if at % 3 == 0 { "a" } else { "b" }))
            .collect();
        rows[7].status = 500;
        rows[8].cost = 1;
        let entries = entries(&rows);
        assert_eq!(entries.len(), 4);
        let requests: u64 = entries
            .iter()
            .map(|entry| entry.tally.get(Figure::Requests))
            .sum();
        assert_eq!(requests, 3_000);
    }

    #[test]
    fn hours_are_those_of_the_clock() {
        let rows = [row(HOUR - 1, "a"), row(HOUR, "a"), row(HOUR + 5, "a")];
        let sums = hours(&rows);
        let of = |hour| {
            let mut key = Key::of(&rows[0]);
            key.hour = hour;
            sums[&key].get(Figure::Requests)
        };
        assert_eq!((of(0), of(HOUR)), (1, 2));
    }
}
