//! What the page and `/metrics` show of the requests that are over: sums by model, latencies, the last ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::account::{Row, Source};
use super::books::Reader;
use super::gathered::{RECENT, Times};
use super::hand::{DAY, Group, Hand};
use super::histogram::Histogram;
use super::tally::{Figure, Tally};
use crate::request::Route;

/// Models with sums of their own. Their names come from clients; what is beyond is summed up as `other`.
const MODELS: usize = 100;
/// More bytes than any model's name has: a longer one is nobody's, and no label.
const LONGEST: usize = 1_024;

/// What is known of the requests that are over. Cheap to clone.
#[derive(Clone)]
pub struct Overview {
    shared: Arc<Mutex<Known>>,
    /// Changes with each hand of rows.
    changes: watch::Sender<u64>,
}

/// All that is kept.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Sums by model, endpoint and source.
    pub by: BTreeMap<Series, Tally>,
    /// The sums of today (UTC), and of which day that is, in days since 1970.
    pub today: (i64, Tally),
    /// The sums of all times.
    pub overall: Tally,
    /// The sums of this process.
    pub own: Tally,
    /// How long requests took, by source.
    pub times: [Times; Source::ALL.len()],
    /// How many requests an open circuit turned away.
    pub refused_by_breaker: u64,
    /// Requests by the status of their response and the code of what went wrong, which is empty where nothing did.
    pub responses: BTreeMap<(u16, &'static str), u64>,
    /// The last requests, the newest first.
    pub recent: VecDeque<Row>,
}

/// What sums are kept by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// The model that was asked; empty where none was.
    pub model: Arc<str>,
    /// The endpoint.
    pub endpoint: &'static str,
    /// Where the answers came from.
    pub source: &'static str,
}

// === impl Overview ===

impl Overview {
    /// Nothing yet, on this day, in days since 1970.
    pub fn new(day: i64) -> Self {
        let known = Known {
            today: (day, Tally::default()),
            ..Known::default()
        };
        Self {
            shared: Arc::new(Mutex::new(known)),
            changes: watch::Sender::new(0),
        }
    }

    /// Adds sums of earlier times, whenever they are found: of a day, and of all.
    pub fn remember(&self, day: i64, of_day: Tally, overall: Tally) {
        let mut known = self.shared.lock();
        known.overall.add(&overall);
        if day > known.today.0 {
            known.today = (day, of_day);
        } else if day == known.today.0 {
            known.today.1.add(&of_day);
        }
        drop(known);
        self.changes.send_modify(|change| *change += 1);
    }

    /// All that is known.
    pub fn known(&self) -> Known {
        self.shared.lock().clone()
    }

    /// The sums of this process.
    pub fn own(&self) -> Tally {
        self.shared.lock().own
    }

    /// Tells when there is more to know.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What tells it of requests.
    pub fn reader(&self) -> Box<dyn Reader> {
        Box::new(self.clone())
    }
}

impl Reader for Overview {
    fn read(&mut self, hand: &Hand<'_>) {
        if hand.rows.is_empty() {
            return;
        }
        let mut known = self.shared.lock();
        for group in &hand.groups {
            known.add(group);
            known.note(group);
        }
        let last = hand.rows.len().saturating_sub(RECENT);
        for row in hand.rows.iter().skip(last) {
            known.recent.push_front(row.clone());
        }
        known.recent.truncate(RECENT);
        drop(known);
        self.changes.send_modify(|change| *change += 1);
    }
}

// === impl Known ===

impl Known {
    /// The sums of a day, in days since 1970.
    pub fn of_day(&self, day: i64) -> Tally {
        if self.today.0 == day {
            self.today.1
        } else {
            Tally::default()
        }
    }

    /// How long the requests took that were answered from a source.
    pub fn times_of(&self, source: Source) -> &Times {
        &self.times[source as usize]
    }

    /// One kind of times of all requests.
    pub fn all_times(&self, kind: impl Fn(&Times) -> &Histogram) -> Histogram {
        let all = self.times.iter().map(kind);
        all.fold(Histogram::default(), Histogram::plus)
    }

    fn add(&mut self, Group { row, tally }: &Group<'_>) {
        self.overall.add(tally);
        self.own.add(tally);
        let day = row.at.div_euclid(DAY);
        if day > self.today.0 {
            self.today = (day, Tally::default());
        }
        if day == self.today.0 {
            self.today.1.add(tally);
        }
        self.series(row).add(tally);
    }

    fn note(&mut self, Group { row, tally }: &Group<'_>) {
        let requests = tally.get(Figure::Requests);
        if row.error == Some("circuit_open") {
            self.refused_by_breaker += requests;
        }
        let outcome = (row.status, row.error.unwrap_or_default());
        *self.responses.entry(outcome).or_default() += requests;
        self.times[row.source as usize].add(row);
    }

    fn series(&mut self, row: &Row) -> &mut Tally {
        let mut series = Series {
            model: row.model.clone().unwrap_or_default(),
            endpoint: row.endpoint.map_or("", Route::as_str),
            source: row.source.as_str(),
        };
        if !is_label(&series.model) {
            series.model = "other".into();
        }
        if !self.by.contains_key(&series) {
            let mut models: Vec<_> = self.by.keys().map(|series| &series.model).collect();
            models.dedup();
            let is_known = models.contains(&&series.model);
            // Names that no model answers to must not take the places of those that do.
            if !is_known && (models.len() >= MODELS || row.usage().is_none()) {
                series.model = "other".into();
            }
        }
        self.by.entry(series).or_default()
    }
}

/// Whether a model's name is fit to be a label.
pub fn is_label(model: &str) -> bool {
    model.len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Usage;

    fn read(overview: &mut Overview, rows: &[Row]) {
        overview.read(&Hand::new(rows));
    }

    fn row(at: i64, model: &str) -> Row {
        Row {
            at,
            endpoint: Some(Route::Create),
            model: Some(model.into()),
            source: Source::Cache,
            given: Some(Usage::default()),
            cost: 1,
            ..Row::default()
        }
    }

    #[test]
    fn a_new_day_begins_with_nothing() {
        let mut overview = Overview::new(10);
        read(
            &mut overview,
            &[
                row(10 * DAY, "a"),
                row(11 * DAY - 1, "a"),
                row(11 * DAY, "a"),
            ],
        );
        // A request of yesterday that ended today is one of yesterday.
        read(&mut overview, &[row(11 * DAY - 1, "a")]);
        let known = overview.known();
        assert_eq!(known.of_day(11).get(Figure::Cost), 1);
        assert_eq!(known.of_day(12).get(Figure::Cost), 0);
        assert_eq!(known.overall.get(Figure::Cost), 4);
        assert_eq!(*overview.changes().borrow(), 2);
    }

    /// A shared ledger tells late what was before: that is no news of this process.
    #[test]
    fn sums_of_earlier_times_may_come_late() {
        let mut overview = Overview::new(10);
        read(&mut overview, &[row(10 * DAY, "a")]);
        let earlier = Tally::of(&row(0, "a"));
        overview.remember(10, earlier, earlier);
        overview.remember(9, earlier, earlier);
        let (known, cost) = (overview.known(), |tally: Tally| tally.get(Figure::Cost));
        assert_eq!(
            (
                cost(known.of_day(10)),
                cost(known.overall),
                cost(overview.own())
            ),
            (2, 3, 1)
        );
    }

    #[test]
    fn names_of_models_are_bounded() {
        let mut overview = Overview::new(0);
        for n in 0..1_000 {
            read(&mut overview, &[row(n, &format!("m{n}")), row(n, "m0")]);
        }
        // Nor does their length: what is too long is no name.
        read(&mut overview, &[row(0, &"m".repeat(100_000)), row(0, "m0")]);
        let known = overview.known();
        assert_eq!(known.by.len(), MODELS + 1);
        let sum = |model: &str| {
            let of = known
                .by
                .iter()
                .filter(|(series, _)| &*series.model == model);
            of.map(|(_, tally)| tally.get(Figure::Requests))
                .sum::<u64>()
        };
        assert_eq!(
            (sum("m0"), sum("m99"), sum("m100"), sum("other")),
            (1_002, 1, 0, 901)
        );
        assert_eq!(known.recent.len(), RECENT);
        assert_eq!(known.recent[0].model.as_deref(), Some("m0"));
        assert_eq!(known.recent[3].model.as_deref(), Some("m999"));
        assert_eq!(known.responses, BTreeMap::from([((0, ""), 2_002)]));
    }
}
