//! What is known of an answer: how often it is asked for, what it costs, and until when it is fresh.

use std::time::Duration;

use tokio::time::Instant;

use super::economics::Stake;
use super::forecast::{Demand, Kind};
use crate::fingerprint::Fingerprint;

/// An answer is renewed so long before it expires, by its life; in any case long enough before to be there in time.
const EARLY: u32 = 20;
/// How much of what was measured last counts in what is expected next.
const NEWEST: f64 = 0.3;

/// What is known of an answer, there or not.
pub(super) struct Known {
    pub(super) question: Fingerprint,
    pub(super) variant: u32,
    pub(super) ttl: Duration,
    /// What its call costs, in dollars, and how long it takes, in seconds; as far as they are known.
    pub(super) cost: Option<f64>,
    pub(super) wait: Option<f64>,
    pub(super) demand: Demand,
    pub(super) fresh_until: Instant,
    pub(super) used: Instant,
    /// Whether it will be thought about before it expires.
    pub(super) has_appointment: bool,
    pub(super) forecasts: [Option<Forecast>; 2],
    pub(super) fetched: Option<Fetched>,
}

/// That something will be asked within a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forecast {
    pub(super) likelihood: f64,
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) came_true: bool,
}

/// A call that was made ahead, or is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    pub(super) kind: Kind,
    pub(super) stake: Stake,
    /// Whoever asks before gets the answer that was there.
    pub(super) from: Instant,
    pub(super) until: Instant,
    pub(super) is_under_way: bool,
}

// === impl Known ===

impl Known {
    /// What is at stake when it is fetched, if that is known.
    pub(super) fn stake(&self) -> Option<Stake> {
        Some(Stake {
            cost: self.cost?,
            wait: self.wait?,
            early: 0.0,
        })
    }

    /// When it was asked last, or is to be if it was forecast or fetched: what is waited for is not forgotten before what was
    /// asked at the same time.
    pub(super) fn touched(&self) -> Instant {
        let forecast = self.forecasts.iter().flatten().map(|it| it.from);
        let fetched = self.fetched.iter().map(|it| it.from);
        forecast.chain(fetched).fold(self.used, Instant::max)
    }

    /// How long before it expires it is renewed.
    pub(super) fn early(&self) -> Duration {
        let wait = 2.0 * self.wait.unwrap_or(0.0);
        let wait = Duration::try_from_secs_f64(wait).unwrap_or_default();
        wait.max(self.ttl / EARLY).min(self.ttl / 4)
    }
}

/// What is expected after something was measured anew.
pub(super) fn mix(before: f64, newest: f64) -> f64 {
    before.mul_add(1.0 - NEWEST, newest * NEWEST)
}
