//! What the cache's answers have saved since the last look, and what calls have cost: read from the books, as everybody
//! reads it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::metering::account::Source;
use crate::metering::books;
use crate::metering::hand::Hand;
use crate::metering::tally::{Figure, usd};
use crate::request::Route;

/// Sums of the cache's answers. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Takings {
    sums: Arc<Mutex<Sums>>,
}

/// What the cache gave, and what it did not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Answers.
    pub hits: u64,
    /// What they had cost, in nano-dollars.
    pub saved: u64,
    /// Calls that were paid for.
    pub calls: u64,
    /// What they cost, in nano-dollars.
    pub cost: u64,
}

impl Takings {
    /// What the books tell.
    pub(super) fn reader(&self) -> Box<dyn books::Reader> {
        Box::new(self.clone())
    }

    /// The sums so far, which begin anew.
    pub(super) fn take(&self) -> Sums {
        std::mem::take(&mut *self.sums.lock())
    }
}

impl books::Reader for Takings {
    fn read(&mut self, hand: &Hand<'_>) {
        let mut sums = self.sums.lock();
        for group in &hand.groups {
            // Embeddings are kept beside the answers, and not followed.
            if group.row.endpoint == Some(Route::Forwarded) {
                continue;
            }
            let get = |figure| group.tally.get(figure);
            match group.row.source {
                Source::Cache => {
                    sums.hits += get(Figure::Requests);
                    sums.saved = sums.saved.saturating_add(get(Figure::SavedByCache));
                }
                Source::Upstream if get(Figure::Cost) > 0 => {
                    sums.calls += get(Figure::Requests);
                    sums.cost = sums.cost.saturating_add(get(Figure::Cost));
                }
                _ => {}
            }
        }
    }
}

/// Fewer answers say less of what one is worth than the calls do.
const LEAST_HITS: u64 = 20;

impl Sums {
    /// Dollars that an answer of the cache saves, on average: what those have that were given, else what calls cost;
    /// `None` where neither has a price.
    pub(super) fn worth(self) -> Option<f64> {
        let (nanos, answers) = if self.hits >= LEAST_HITS {
            (self.saved, self.hits)
        } else {
            (self.cost, self.calls)
        };
        #[expect(clippy::cast_precision_loss, reason = "a mean")]
        let worth = usd(nanos) / answers.max(1) as f64;
        (nanos > 0).then_some(worth)
    }
}
