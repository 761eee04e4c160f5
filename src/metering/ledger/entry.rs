//! What is entered into the tables: the rows of requests, and the sums of hours with what they are kept by.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metering::account::{Row, Source, Who};
use crate::metering::hand::{DAY, Group, HOUR};
use crate::metering::tally::{Figure, Tally};
use crate::request::Route;

/// What stands in one column of one row.
#[derive(Debug, Clone)]
pub(super) enum Value<'r> {
    Integer(i64),
    Text(&'r str),
    Name(Arc<str>),
    Null,
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

    /// Where it stands among others, the same on every instance.
    pub(super) fn order(&self) -> (i64, [Arc<str>; 5]) {
        let Self {
            hour,
            model,
            who,
            user,
            endpoint,
            source,
        } = *self;
        let names = [model, user, endpoint, source.as_str()].map(Arc::from);
        let [model, user, endpoint, source] = names;
        (hour, [model, who.name(), user, endpoint, source])
    }
}

fn text(name: Option<&Arc<str>>) -> &str {
    name.map_or("", |name| name)
}

pub(super) fn integer<'r>(number: u64) -> Value<'r> {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The columns of a row of `requests`, in the order of [`super::schema::insert_request`].
pub(super) fn request<'r>(group: &'r Group<'_>) -> Vec<Value<'r>> {
    let Group { row, tally } = group;
    let certainty = row.usage().map_or("", |usage| usage.certainty.as_str());
    let key = Key::of(row);
    let mut values = vec![
        Value::Integer(row.at),
        Value::Text(&row.id),
        Value::Text(key.endpoint),
        Value::Text(key.model),
        Value::Text(text(row.served.as_ref())),
        Value::Name(key.who.name()),
        Value::Text(key.user),
        Value::Text(key.source.as_str()),
        Value::Integer(row.status.into()),
        Value::Text(row.error.unwrap_or_default()),
        Value::Text(certainty),
        integer(row.took.added),
        integer(row.took.upstream),
        row.took.first_token.map_or(Value::Null, integer),
    ];
    values.extend(tally.kept().map(integer));
    values
}

/// The columns of a row of `hours`, in the order of [`super::schema::add_to_hour`].
pub(super) fn hour<'r>(key: &Key<'r>, tally: &Tally) -> Vec<Value<'r>> {
    let mut values = vec![
        Value::Integer(key.hour),
        Value::Text(key.model),
        Value::Name(key.who.name()),
        Value::Text(key.user),
        Value::Text(key.endpoint),
        Value::Text(key.source.as_str()),
    ];
    values.extend(tally.kept().map(integer));
    values
}

/// The sums by hour of these requests.
pub(super) fn hours<'r>(groups: &[Group<'r>]) -> HashMap<Key<'r>, Tally> {
    let mut sums = HashMap::<_, Tally>::new();
    for Group { row, tally } in groups {
        sums.entry(Key::of(row)).or_default().add(tally);
    }
    sums
}

/// What clients with names have spent in these requests, by day and name.
pub(super) fn spending(groups: &[Group<'_>]) -> HashMap<(i64, Arc<str>), u64> {
    let mut sums = HashMap::<_, u64>::new();
    for Group { row, tally } in groups {
        let cost = tally.get(Figure::Cost);
        if let (Who::Named(name), 1..) = (&row.who, cost) {
            let day = row.at - row.at.rem_euclid(DAY);
            let sum = sums.entry((day, Arc::clone(name))).or_default();
            *sum = sum.saturating_add(cost);
        }
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
