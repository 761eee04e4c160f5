//! How long the stages of a request took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long each stage took, in microseconds; shared by all clones of a request.
#[derive(Debug, Default)]
pub struct Timings {
    compress: AtomicU64,
    cache: AtomicU64,
    redis: AtomicU64,
    upstream: AtomicU64,
}

/// A stage that [`Timings`] measures.
#[derive(Debug, Clone, Copy)]
pub enum Stage {
    /// The compressor.
    Compress,
    /// Looking in the cache, Redis included.
    Cache,
    /// Waiting for Redis alone.
    Redis,
    /// Waiting for the upstream's head, all attempts and joined flights included.
    Upstream,
}

impl Timings {
    /// Adds to a stage.
    pub fn add(&self, stage: Stage, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.cell(stage).fetch_add(micros, Ordering::Relaxed);
    }

    /// What a stage took so far.
    pub fn of(&self, stage: Stage) -> Duration {
        Duration::from_micros(self.cell(stage).load(Ordering::Relaxed))
    }

    fn cell(&self, stage: Stage) -> &AtomicU64 {
        match stage {
            Stage::Compress => &self.compress,
            Stage::Cache => &self.cache,
            Stage::Redis => &self.redis,
            Stage::Upstream => &self.upstream,
        }
    }
}
