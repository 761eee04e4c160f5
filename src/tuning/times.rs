//! How long the answers of each endpoint are fresh: as set, until something moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config;
use crate::request::Route;

/// Each in its place.
const ROUTES: [Route; 5] = [
    Route::Create,
    Route::CreateChat,
    Route::CreateBatch,
    Route::ChatCompletions,
    Route::Forwarded,
];

/// The times in force, in milliseconds. Cheap to clone.
#[derive(Clone)]
pub struct Times {
    of: Arc<[AtomicU64; ROUTES.len()]>,
}

impl Times {
    /// As they are set.
    pub fn new(config: &config::Cache) -> Self {
        let of = ROUTES.map(|route| AtomicU64::new(millis(config.ttl_of(route))));
        Self { of: Arc::new(of) }
    }

    /// How long answers of this endpoint are fresh. Zero: they are neither kept nor given.
    pub fn of(&self, route: Route) -> Duration {
        let time = self.of.get(route as usize);
        time.map_or(Duration::ZERO, |time| {
            Duration::from_millis(time.load(Ordering::Relaxed))
        })
    }

    pub(super) fn set(&self, route: Route, ttl: Duration) {
        if let Some(time) = self.of.get(route as usize) {
            time.store(millis(ttl), Ordering::Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
