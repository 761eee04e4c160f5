//! Fetching ahead: what is asked again and again is asked anew shortly before its answer expires, and what usually follows
//! is asked before its client does, where that pays.
//!
//! It is off unless `prefetch.enabled` says otherwise, and then hangs beside the way of requests: the cache tells a
//! bounded [`Feed`] what was asked, and drops what there is no room for; a worker reads it. What it makes of it is pure:
//! `markov.rs` knows what follows what, `forecast.rs` how likely something is and what such likelihoods were worth
//! before, `economics.rs` when a call pays and what may be spent, and `planner.rs` puts them together. Calls go the way
//! of a cache's miss, in the name of the client who asked the same before, and with that client's budget.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use crate::config;
use crate::layers::breaker::Circuits;
use crate::layers::retry::Reserve;
use crate::metering::Metrics;
use crate::metering::books::Books;
use crate::request::ProxyRequest;
use crate::store::Memory;
use crate::tuning::journal::Journal;
use crate::upstream::Upstream;

use economics::Value;
use feed::Event;
use plan::Rules;
use worker::Worker;

pub use feed::{Feed, Question};
pub use forecast::Kind;
pub use gates::Held;
pub use stats::{Figures, Stats};

mod economics;
mod feed;
mod forecast;
mod gates;
mod known;
mod markov;
mod plan;
mod planner;
mod report;
mod stats;
mod worker;

/// So many things that were asked may wait for the worker; about 2 MiB beside what they hold.
const WAITING: usize = 4_096;

/// What fetches ahead. Cheap to clone.
#[derive(Clone)]
pub struct Prefetch {
    shared: Arc<Shared>,
    feed: Feed,
}

struct Shared {
    settings: config::Prefetch,
    rules: Rules,
    /// How long a call may take.
    timeout: Duration,
    /// How long what was asked is remembered.
    life: Duration,
    events: Mutex<Option<mpsc::Receiver<Event>>>,
    stats: Stats,
    journal: Journal,
    books: OnceLock<Books>,
    upstream: OnceLock<Upstream>,
    places: OnceLock<(Arc<Semaphore>, usize)>,
    is_stopping: AtomicBool,
}

/// What the worker needs of the layers.
pub struct Surroundings {
    /// The answers that are kept.
    pub memory: Memory,
    /// The circuits, where there are any.
    pub circuits: Option<Circuits>,
    /// What is left for retries.
    pub reserve: Reserve,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

/// Brings answers into the cache.
pub trait Bring: Clone + Send + Sync + 'static {
    /// Brings the answer to a request for which nobody waits, unless a good one is there.
    fn bring(&self, request: ProxyRequest) -> impl Future<Output = Brought> + Send;
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// The upstream has answered, all of it.
    Came,
    /// A good answer was there, or another instance had one.
    WasThere,
    /// There is none; `is_refused`: nor will there be one if the same is asked again.
    Failed { is_refused: bool },
}

// === impl Prefetch ===

impl Prefetch {
    /// What fetches ahead, where that is wanted.
    pub fn new(config: &config::Config, journal: Journal) -> Option<Self> {
        let settings = config.prefetch.clone();
        if !settings.enabled || !config.cache.enabled {
            return None;
        }
        let (events, told) = mpsc::channel(WAITING);
        let shared = Shared {
            rules: Rules {
                value: Value(settings.value_per_second),
                per_day: settings.budget_usd_per_day,
                max_share: settings.max_share,
                variants: config.cache.variants,
            },
            settings,
            timeout: config.upstream.total_timeout,
            life: config.cache.life(),
            events: Mutex::new(Some(told)),
            stats: Stats::default(),
            journal,
            books: OnceLock::new(),
            upstream: OnceLock::new(),
            places: OnceLock::new(),
            is_stopping: AtomicBool::new(false),
        };
        Some(Self {
            shared: Arc::new(shared),
            feed: Feed::new(events),
        })
    }

    /// Where it is told what was asked.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Works, for ever; to be called once.
    pub async fn run<B: Bring>(&self, bring: B, around: Surroundings) {
        let events = self.shared.events.lock().take();
        if let Some(events) = events {
            let shared = Arc::clone(&self.shared);
            Worker::new(shared, bring, around).run(events).await;
        }
    }

    /// From now on its calls are entered into these books.
    pub fn enter_into(&self, books: Books) {
        let _ = self.shared.books.set(books);
    }

    /// Whose sockets its calls take, after those of clients.
    pub fn watch_sockets(&self, upstream: Upstream) {
        let _ = self.shared.upstream.set(upstream);
    }

    /// So many requests of clients may be worked on at once.
    pub fn watch_places(&self, places: Arc<Semaphore>, limit: usize) {
        let _ = self.shared.places.set((places, limit));
    }

    /// Begins no more calls.
    pub fn stop(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }

    /// What it did, and what that brought.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// What there was no room to tell it.
    pub fn overlooked(&self) -> u64 {
        self.feed.overlooked()
    }
}

#[cfg(test)]
mod tests;
