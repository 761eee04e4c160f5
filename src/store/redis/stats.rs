//! How the shared tier does, for operators.

use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::metering::Counter;

/// The weight of the newest round trip in the average.
const NEWEST: f64 = 0.1;

/// What is counted of the tier.
#[derive(Default)]
pub(super) struct Stats {
    /// Look-ups that found an answer.
    pub(super) hits: Counter,
    /// Look-ups that found none.
    pub(super) misses: Counter,
    /// Values that were damaged, of another version, too large or without a life.
    pub(super) invalid: Counter,
    /// Answers written.
    pub(super) written: Counter,
    /// Answers not written, for whatever reason.
    pub(super) dropped: Counter,
    /// Commands that the server refused although it is well.
    pub(super) refused: Counter,
    /// Times that the tier went off.
    pub(super) failures: Counter,
    /// Questions that were not answered in time, or not at all.
    pub(super) unanswered: Counter,
    /// Flights that ended with an answer that another instance was given.
    pub(super) landed_elsewhere: Counter,
    latency: Mutex<Latency>,
}

#[derive(Default, Clone, Copy)]
struct Latency {
    average: f64,
    longest: f64,
}

/// The tier as operators read it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether the tier is in use: `connecting` at the start, then `ok` or `off`.
    pub state: &'static str,
    /// Why it is off, or was last, in a few words that hold nothing of the server's.
    pub last_error: Option<&'static str>,
    /// Round trips, in milliseconds: a moving average, and the longest so far.
    pub latency_ms: LatencyMs,
    /// Look-ups that found an answer.
    pub hits: u64,
    /// Look-ups that found none.
    pub misses: u64,
    /// Values found that were no entries.
    pub invalid: u64,
    /// Answers written.
    pub written: u64,
    /// Writes that wait or are under way, ends of leases included.
    pub queued: u64,
    /// Answers not written: no room in the queue, Redis away or full, too large, or cleared meanwhile.
    pub dropped: u64,
    /// Commands that the server refused, for its memory being full above all.
    pub refused: u64,
    /// Questions that it did not answer in time, or not at all.
    pub unanswered: u64,
    /// Times that the tier went off.
    pub failures: u64,
    /// Flights of this instance that another one's call answered, whatever the number of their callers.
    pub flights_elsewhere: u64,
}

/// Round trips in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct LatencyMs {
    /// A moving average.
    pub average: f64,
    /// The longest since the start.
    pub longest: f64,
}

impl Stats {
    /// Notes a round trip that was answered.
    pub(super) fn took(&self, round_trip: Duration) {
        let ms = round_trip.as_secs_f64() * 1_000.0;
        let mut latency = self.latency.lock();
        latency.average = if latency.longest == 0.0 {
            ms
        } else {
            latency.average + NEWEST * (ms - latency.average)
        };
        latency.longest = latency.longest.max(ms);
    }

    /// Round trips in milliseconds, to the microsecond.
    pub(super) fn latency(&self) -> LatencyMs {
        let Latency { average, longest } = *self.latency.lock();
        let round = |ms: f64| (ms * 1_000.0).round() / 1_000.0;
        LatencyMs {
            average: round(average),
            longest: round(longest),
        }
    }
}
