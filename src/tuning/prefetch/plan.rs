//! What the planner is told, and what it says.

use std::sync::Arc;
use std::time::Duration;

use super::economics::{Stake, Value, Verdict};
use super::forecast::Kind;
use crate::fingerprint::Fingerprint;

/// What it goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// What a second of waiting is worth, in dollars.
    pub(super) value: Value,
    /// Dollars within a day.
    pub(super) per_day: f64,
    /// Calls ahead as a share of all.
    pub(super) max_share: f64,
    /// Answers to one question.
    pub(super) variants: u32,
}

/// A question that is asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// Who shares its answer.
    pub(super) owner: Fingerprint,
    /// Of them the one that their client names.
    pub(super) user: Option<Arc<str>>,
    pub(super) question: Fingerprint,
    /// Which of several answers it gets.
    pub(super) variant: u32,
    /// How long its answer lives when it is new.
    pub(super) ttl: Duration,
    /// How long the answer that it got will be fresh; `None`: there was none.
    pub(super) fresh_for: Option<Duration>,
    /// What that answer cost, in dollars, where it is known.
    pub(super) cost: Option<f64>,
}

/// An answer that is worth fetching.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Order {
    pub(super) question: Fingerprint,
    pub(super) variant: u32,
    pub(super) kind: Kind,
    /// How likely it is to be asked for while it is fresh, by what came of such forecasts.
    pub(super) likelihood: f64,
    pub(super) stake: Stake,
    /// Longer than the answer that is there is fresh.
    pub(super) min_fresh: Duration,
}

/// What has become of a call that was made ahead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Settled {
    pub(super) kind: Kind,
    pub(super) stake: Stake,
    pub(super) was_used: bool,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) orders: Vec<Order>,
    pub(super) settled: Vec<Settled>,
    pub(super) verdict: Option<Verdict>,
    /// A stop is over.
    pub(super) has_resumed: bool,
}
