//! Rows as they gather for the readers of the books: each by itself, or summed up with those that are alike.
//!
//! A machine that gives tens of thousands of hits a second would otherwise pay for its books, in memory that is written
//! once and read once, what it saves on its answers.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;

use super::account::{Row, Source, Who};
use super::hand::HOUR;
use super::histogram::Histogram;
use super::tally::{Figure, Tally};
use crate::chat::Certainty;
use crate::request::Route;

/// So many rows of a hand stand by themselves, whatever they are. Of what is beyond, those that cost nothing are summed
/// up with those that are alike: in model, caller, user, endpoint, source and outcome.
const BY_THEMSELVES: usize = 1_000;

/// So many of the last requests are shown, and never summed up.
pub const RECENT: usize = 50;

/// Room for rows that is kept from one hand to the next.
const KEPT: usize = BY_THEMSELVES + RECENT;

/// Rows that wait for the readers.
#[derive(Default)]
pub struct Gathered {
    rows: Vec<Row>,
    /// The last of them, in the order in which they came.
    last: VecDeque<Row>,
    /// Those that stand for others, too, and where each of them is by the hash of what they have in common.
    sums: Vec<Row>,
    places: HashMap<u64, usize, RandomState>,
}

/// There is no room for another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// What a row holds of all the requests that it stands for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Their sums.
    pub tally: Tally,
    /// How long they took.
    pub times: Times,
}

/// How long requests took that were answered from one source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// In all.
    pub total: Histogram,
    /// What the proxy added.
    pub added: Histogram,
    /// Waiting for the upstream's head.
    pub upstream: Histogram,
    /// To the first event of a stream.
    pub first_token: Histogram,
}

/// What rows have in common that are summed up together.
#[derive(PartialEq, Eq, Hash)]
struct Alike<'r> {
    hour: i64,
    names: [Option<&'r str>; 3],
    who: &'r Who,
    endpoint: Option<Route>,
    source: Source,
    outcome: (u16, bool, Option<&'static str>),
    certainty: Option<Certainty>,
}

// === impl Gathered ===

impl Gathered {
    /// How many rows there are; those that are summed up are one.
    pub fn len(&self) -> usize {
        self.rows.len() + self.last.len() + self.sums.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row. Fails where that makes more than so many: one is lost then.
    pub fn add(&mut self, row: Row, limit: usize) -> Result<(), Full> {
        if self.rows.len() < BY_THEMSELVES {
            self.rows.push(row);
            return Ok(());
        }
        let oldest = (self.last.len() == RECENT).then(|| self.last.pop_front());
        self.last.push_back(row);
        oldest
            .flatten()
            .map_or(Ok(()), |row| self.settle(row, limit))
    }

    /// Adds a row that is none of the last ones any more.
    fn settle(&mut self, row: Row, limit: usize) -> Result<(), Full> {
        let is_full = self.len() >= limit;
        // What was paid for stands by itself, however much there is of it.
        if row.cost == 0 && row.attempts == 0 {
            let alike = Alike::of(&row);
            match self.places.entry(self.places.hasher().hash_one(&alike)) {
                Entry::Occupied(place) => {
                    if let Some(other) = self.sums.get_mut(*place.get())
                        && Alike::of(other) == alike
                    {
                        other.stand_for(&row);
                        return Ok(());
                    }
                }
                Entry::Vacant(place) if !is_full => {
                    place.insert(self.sums.len());
                    self.sums.push(row);
                    return Ok(());
                }
                Entry::Vacant(_) => {}
            }
        }
        if is_full {
            return Err(Full);
        }
        self.rows.push(row);
        Ok(())
    }

    /// All of them, the last ones last.
    pub fn rows(&mut self) -> &[Row] {
        self.rows.append(&mut self.sums);
        self.rows.extend(self.last.drain(..));
        &self.rows
    }

    /// Forgets them, and keeps some room for others.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.rows.shrink_to(KEPT);
        self.sums.clear();
        self.sums.shrink_to(KEPT);
        self.places.clear();
        self.places.shrink_to(KEPT);
    }
}

// === impl Times ===

impl Times {
    /// Adds a request.
    pub fn add(&mut self, row: &Row) {
        if let Some(sums) = &row.sums {
            self.add_all(&sums.times);
            return;
        }
        let took = &row.took;
        if row.source != Source::None {
            self.total.add(took.total);
            self.added.add(took.added);
        }
        if matches!(row.source, Source::Upstream | Source::Bypass) {
            self.upstream.add(took.upstream);
        }
        if let Some(first) = took.first_token {
            self.first_token.add(first);
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (times, more) in [
            (&mut self.total, &other.total),
            (&mut self.added, &other.added),
            (&mut self.upstream, &other.upstream),
            (&mut self.first_token, &other.first_token),
        ] {
            times.add_all(more);
        }
    }
}

// === impl Row ===

impl Row {
    /// How many requests it stands for.
    pub fn requests(&self) -> u64 {
        let sums = self.sums.as_ref();
        sums.map_or(1, |sums| sums.tally.get(Figure::Requests))
    }

    /// From now on it stands for another one, too.
    fn stand_for(&mut self, other: &Self) {
        let mut sums = self.sums.take().unwrap_or_else(|| {
            let mut own = Sums {
                tally: Tally::of(self),
                ..Sums::default()
            };
            own.times.add(self);
            Box::new(own)
        });
        sums.tally.add(&Tally::of(other));
        sums.times.add(other);
        self.sums = Some(sums);
    }
}

// === impl Alike ===

impl<'r> Alike<'r> {
    fn of(row: &'r Row) -> Self {
        Self {
            hour: row.at.div_euclid(HOUR),
            names: [&row.model, &row.served, &row.user].map(Option::as_deref),
            who: &row.who,
            endpoint: row.endpoint,
            source: row.source,
            outcome: (row.status, row.is_aborted, row.error),
            certainty: row.usage().map(|usage| usage.certainty),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::account::Took;

    fn row(at: i64, model: &str) -> Row {
        Row {
            at,
            model: Some(model.into()),
            endpoint: Some(Route::Create),
            source: Source::Cache,
            status: 200,
            took: Took {
                total: 60,
                ..Took::default()
            },
            ..Row::default()
        }
    }

    fn requests(rows: &[Row]) -> u64 {
        rows.iter().map(Row::requests).sum()
    }

    fn gather(rows: impl IntoIterator<Item = Row>) -> Gathered {
        let mut gathered = Gathered::default();
        for row in rows {
            assert_eq!(gathered.add(row, usize::MAX), Ok(()));
        }
        gathered
    }

    #[test]
    fn few_rows_stand_by_themselves() {
        let mut gathered = gather((0..BY_THEMSELVES + RECENT).map(|_| row(0, "a")));
        assert_eq!(gathered.rows().len(), BY_THEMSELVES + RECENT);
        gathered.clear();
        assert!(gathered.is_empty());
    }

    /// Of many, those that are alike are one; nothing of them is lost, and the last ones are seen.
    #[test]
    fn many_rows_that_are_alike_stand_together() {
        let many = 10 * BY_THEMSELVES;
        let mut gathered = gather((0..many).map(|at| {
            let mut row = row(0, if at % 3 == 0 { "a" } else { "b" });
            row.saved.cache = 7;
            row.id = at.to_string().into();
            match at {
                2_000 => row.status = 500,
                2_001 => row.cost = 1,
                2_002 => row.at = HOUR,
                2_003 => row.who = Who::Named("web".into()),
                2_004 => row.attempts = 1,
                _ => {}
            }
            row
        }));
        let rows = gathered.rows();
        assert_eq!(rows.len(), BY_THEMSELVES + RECENT + 2 + 5);
        assert_eq!(requests(rows), many as u64);
        let saved: u64 = rows.iter().map(|row| Tally::of(row).saved()).sum();
        assert_eq!(saved, 7 * many as u64);
        let mut times = Times::default();
        for row in rows {
            times.add(row);
        }
        assert_eq!(
            (times.total.count(), times.total.sum),
            (many as u64, 60 * many as u64)
        );
        let last: Vec<_> = rows[rows.len() - RECENT..]
            .iter()
            .map(|row| &*row.id)
            .collect();
        let expected: Vec<_> = (many - RECENT..many).map(|at| at.to_string()).collect();
        assert_eq!(last, expected);
        gathered.clear();
        assert!(gathered.rows().is_empty());
        // What is new is not taken for what is gone.
        let again = gathered.add(row(0, "a"), usize::MAX);
        assert_eq!((again, requests(gathered.rows())), (Ok(()), 1));
    }

    /// Where there is no more room, what is alike still finds its place.
    #[test]
    fn a_full_room_takes_what_is_alike() {
        let limit = BY_THEMSELVES + RECENT + 1;
        let mut gathered = gather((0..BY_THEMSELVES + RECENT).map(|_| row(0, "a")));
        let refused = (0..1_000).filter(|at| {
            let model = if at % 10 == 9 { "b" } else { "a" };
            gathered.add(row(0, model), limit).is_err()
        });
        // None has left the last ones but those of "a" by then, and 95 of "b".
        assert_eq!(refused.count(), 95);
        assert_eq!(gathered.len(), limit);
        assert_eq!(requests(gathered.rows()), 1_000 - 95 + 1_050);
    }
}
