//! What goes on beside the way of requests: batches, what is learned, tuned, fetched ahead and marked.

use std::{path::PathBuf, time::Duration};

use crate::tuning::learn::Mode;

/// Whether prompts are marked for the provider's own cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptCache {
    /// Never.
    Off,
    /// Where the upstream is known to pass marks on.
    Auto,
    /// Whatever the upstream is.
    On,
}

/// What compression learns on this service's own traffic.
#[derive(Clone, Debug)]
pub struct Learning {
    pub mode: Mode,
    /// The rule file, whether it is there yet or not.
    pub file: PathBuf,
    /// The share of conversations that stays uncompressed, from 0 to 1.
    pub holdout: f64,
    /// So many callers must have sent a text before it is kept.
    pub callers: usize,
}

/// What is worked on together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Requests of one batch at once.
    pub concurrency: usize,
    /// How long calls for embeddings wait for each other; zero: they do not.
    pub window: Duration,
    /// Inputs of calls for embeddings that go together.
    pub max_inputs: usize,
}

/// What may adjust itself, and within which bounds; those that are set by hand lie within them.
#[derive(Clone, Debug)]
pub struct Tuning {
    pub mode: TuningMode,
    /// How often what was seen is looked at.
    pub interval: Duration,
    pub min_entries: u64,
    pub max_entries: u64,
    pub max_bytes: u64,
    /// What memory costs; an entry is to save more than that.
    pub memory_usd_per_gib_month: f64,
    pub min_ttl: Duration,
    pub max_ttl: Duration,
    /// Answer limits where the client gave none.
    pub min_tokens: u32,
    pub max_tokens: u32,
    /// Calls to one model at once; the upper bound is `upstream.max_connections_per_host`.
    pub min_concurrency: usize,
}

/// Whether anything adjusts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TuningMode {
    /// Nothing is even looked at.
    Off,
    /// It is said what would be done.
    Observe,
    /// It is done.
    Act,
}

impl TuningMode {
    /// Its name in settings and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::Act => "act",
        }
    }
}

/// What is fetched before it is asked.
#[derive(Clone, Debug)]
pub struct Prefetch {
    pub enabled: bool,
    /// What it may cost within any 24 hours, in dollars.
    pub budget_usd_per_day: f64,
    /// Calls ahead as a share of all calls, from 0 to 0.9.
    pub max_share: f64,
    /// What a second is worth that a client need not wait, in dollars.
    pub value_per_second: f64,
    /// What is kept of requests to make them again.
    pub max_bytes: u64,
}
