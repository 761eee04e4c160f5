//! What the sums of the ledger are kept by.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metering::account::{Row, Source, Who};
use crate::metering::hand::{Group, HOUR};
use crate::metering::tally::Tally;
use crate::request::Route;

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

/// The sums by hour of these requests.
pub(super) fn hours<'r>(groups: &[Group<'r>]) -> HashMap<Key<'r>, Tally> {
    let mut sums = HashMap::<_, Tally>::new();
    for Group { row, tally } in groups {
        sums.entry(Key::of(row)).or_default().add(tally);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::hand::Hand;
    use crate::metering::tally::Figure;

    fn row(at: i64) -> Row {
        Row {
            at,
            model: Some("a".into()),
            endpoint: Some(Route::Create),
            ..Row::default()
        }
    }

    #[test]
    fn hours_are_those_of_the_clock() {
        let rows = [row(HOUR - 1), row(HOUR), row(HOUR + 5)];
        let sums = hours(&Hand::new(&rows).groups);
        let of = |hour| {
            let mut key = Key::of(&rows[0]);
            key.hour = hour;
            sums[&key].get(Figure::Requests)
        };
        assert_eq!((of(0), of(HOUR)), (1, 2));
    }
}
