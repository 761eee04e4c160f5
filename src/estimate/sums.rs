//! The rows of the replayed requests, summed up as the reports show them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::upstream::read_id;
use crate::metering::account::{Row, Source};
use crate::metering::tally::{Figure, Tally};
use crate::request::Route;

/// Models with sums of their own; those beyond are one.
const MODELS: usize = 200;
/// The name of these.
const OTHERS: &str = "(others)";
/// So many slices of time have sums of their own.
const SLICES: usize = 240;

/// Some requests: what they were, cost and saved, and how many of them needed no call of their own.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) tally: Tally,
    /// Answered from the cache, in time or past it.
    pub(super) hits: u64,
    /// Answered by another request's call.
    pub(super) joined: u64,
}

/// All that is summed up.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) total: Part,
    pub(super) by_model: BTreeMap<Arc<str>, Part>,
    pub(super) by_endpoint: BTreeMap<&'static str, Part>,
    pub(super) by_source: BTreeMap<&'static str, Part>,
    pub(super) over_time: Series,
    pub(super) unpriced: BTreeSet<Arc<str>>,
}

/// Sums by slices of time, which grow as more time is to be shown.
#[derive(Default)]
pub(super) struct Series {
    /// When the first slice begins, in milliseconds.
    pub(super) from: i64,
    /// How long each is, in milliseconds.
    pub(super) width: i64,
    pub(super) slices: Vec<Part>,
}

// === impl Part ===

impl Part {
    pub(super) fn add(&mut self, other: &Self) {
        self.tally.add(&other.tally);
        self.hits += other.hits;
        self.joined += other.joined;
    }

    /// What is paid, in nano-dollars.
    pub(super) fn cost(&self) -> u64 {
        self.tally.get(Figure::Cost)
    }

    /// What the proxy saved, in nano-dollars; what the provider's own cache does, it does without a proxy as well.
    pub(super) fn saved(&self) -> u64 {
        let saved = self.tally.saved();
        saved.saturating_sub(self.tally.get(Figure::SavedByProviderCache))
    }

    /// What would have been paid without the proxy, in nano-dollars.
    pub(super) fn without(&self) -> u64 {
        self.cost().saturating_add(self.saved())
    }

    pub(super) fn requests(&self) -> u64 {
        self.tally.get(Figure::Requests)
    }
}

// === impl Sums ===

impl Sums {
    /// Adds a request.
    pub(super) fn read(&mut self, row: &Row) {
        let requests = row.requests();
        let counts = |sources: &[Source]| {
            if sources.contains(&row.source) {
                requests
            } else {
                0
            }
        };
        let part = Part {
            tally: Tally::of(row),
            hits: counts(&[Source::Cache, Source::Stale]),
            joined: counts(&[Source::Dedup]),
        };
        self.total.add(&part);
        let endpoint = row.endpoint.map_or("", Route::as_str);
        self.by_endpoint.entry(endpoint).or_default().add(&part);
        self.by_source
            .entry(row.source.as_str())
            .or_default()
            .add(&part);
        if let Some(model) = &row.model {
            let is_known = self.by_model.contains_key(model) || self.by_model.len() < MODELS;
            let name = if is_known {
                Arc::clone(model)
            } else {
                OTHERS.into()
            };
            if part.tally.get(Figure::Unpriced) > 0 {
                self.unpriced.insert(Arc::clone(&name));
            }
            self.by_model.entry(name).or_default().add(&part);
        }
        if let Some((at, _)) = read_id(&row.id) {
            self.over_time.add(at, &part);
        }
    }
}

// === impl Series ===

impl Series {
    fn add(&mut self, at: i64, part: &Part) {
        if self.slices.is_empty() {
            self.width = 1_000;
            self.from = at - at.rem_euclid(self.width);
        }
        let place = loop {
            let place = at.saturating_sub(self.from).max(0) / self.width;
            match usize::try_from(place) {
                Ok(place) if place < SLICES => break place,
                _ => self.widen(),
            }
        };
        if self.slices.len() <= place {
            self.slices.resize(place + 1, Part::default());
        }
        self.slices[place].add(part);
    }

    /// Slices of the next length, which are those of a clock: seconds, minutes, hours, days. Each is a multiple of the one
    /// before, so that no slice falls into two.
    fn widen(&mut self) {
        const STEPS: [i64; 13] = [
            1, 2, 10, 30, 60, 120, 600, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400,
        ];
        let next = STEPS
            .iter()
            .map(|step| step * 1_000)
            .find(|step| *step > self.width);
        let width = next.unwrap_or(self.width.saturating_mul(2));
        let from = self.from - self.from.rem_euclid(width);
        let mut slices: Vec<Part> = Vec::new();
        for (at, part) in self.slices.iter().enumerate() {
            let begun = self.from + i64::try_from(at).unwrap_or(0) * self.width;
            let place = usize::try_from((begun - from) / width).unwrap_or(0);
            if slices.len() <= place {
                slices.resize(place + 1, Part::default());
            }
            slices[place].add(part);
        }
        (self.from, self.width, self.slices) = (from, width, slices);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: i64, model: &str) -> Row {
        Row {
            id: format!("{at}.1").into(),
            model: Some(model.into()),
            endpoint: Some(Route::ChatCompletions),
            source: Source::Cache,
            ..Row::default()
        }
    }

    #[test]
    fn slices_of_time_grow_and_lose_nothing() {
        let mut sums = Sums::default();
        let times = (0..2_000_i64).map(|n| 1_000_000_000_000 + n * n * 7_919);
        for at in times.clone() {
            sums.read(&row(at, "m"));
        }
        let (from, width) = (sums.over_time.from, sums.over_time.width);
        let slices = &sums.over_time.slices;
        assert!(slices.len() <= SLICES && slices.len() > SLICES / 3);
        assert_eq!((from % width, width), (0, 172_800_000));
        let requests: u64 = slices.iter().map(Part::requests).sum();
        assert_eq!((requests, sums.total.hits), (2_000, 2_000));
        for (at, slice) in (0_i64..).zip(slices) {
            let begun = from + at * width;
            let within = times
                .clone()
                .filter(|at| (begun..begun + width).contains(at));
            assert_eq!(slice.requests(), within.count() as u64);
        }
    }

    #[test]
    fn names_of_models_are_bounded() {
        let mut sums = Sums::default();
        for n in 0..1_000 {
            sums.read(&row(0, &n.to_string()));
        }
        assert_eq!(sums.by_model.len(), MODELS + 1);
        assert_eq!(sums.by_model[OTHERS].requests(), 800);
    }
}
