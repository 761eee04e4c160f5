//! The stack: compressed, answered from the cache, deduplicated, admitted by the breaker, sent with retries.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tower::ServiceBuilder;
use tower::util::{BoxCloneSyncService, option_layer};

use crate::config::{self, Config, TuningMode};
use crate::error::ProxyError;
use crate::layers::answer_limit::AnswerLimitLayer;
use crate::layers::breaker::{BreakerLayer, Circuits};
use crate::layers::budget::BudgetLayer;
use crate::layers::cache::{CacheLayer, RecordLayer, Repeats};
use crate::layers::compress::CompressLayer;
use crate::layers::concurrency::ConcurrencyLayer;
use crate::layers::dedup::{DedupLayer, Flights};
use crate::layers::embed::EmbedLayer;
use crate::layers::merge::MergeLayer;
use crate::layers::retry::RetryLayer;
use crate::metering::Metrics;
use crate::metering::books::Books;
use crate::metering::budget::Budgets;
use crate::metering::hand::DAY;
use crate::metering::ledger::{Learners, Ledger};
use crate::metering::overview::Overview;
use crate::reply::Reply;
use crate::request::ProxyRequest;
use crate::store::{Limits, Memory, Snapshot, Store, redis};
use crate::telemetry::Telemetry;
use crate::tuning::journal::Journal;
use crate::tuning::learn::Learning;
use crate::tuning::prefetch::{Prefetch, Surroundings};
use crate::tuning::{Optimizer, Times};
use crate::upstream::{SetupError, Upstream};

/// The way of a request, outermost layer first.
pub type Service = BoxCloneSyncService<ProxyRequest, Reply, ProxyError>;

/// The stack and the parts of it that operators look at.
#[derive(Clone)]
pub struct Stack {
    /// Takes requests.
    pub service: Service,
    /// What answers repeats without it; `None` where no answers are kept.
    pub repeats: Option<Repeats>,
    /// The answers that are kept.
    pub store: Store,
    /// The circuits.
    pub circuits: Circuits,
    /// The calls that are shared.
    pub flights: Flights,
    /// The leaf; `None` where another one stands for it.
    pub upstream: Option<Upstream>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// What clients may spend.
    pub budgets: Budgets,
    /// Where requests that are over are entered; nowhere where nobody reads it.
    pub books: Option<Books>,
    /// What outlasts the process of them.
    pub ledger: Option<Ledger>,
    /// What is known of those of this process.
    pub overview: Option<Overview>,
    /// What begins traces; nothing where there is no collector for them.
    pub telemetry: Option<Telemetry>,
    /// How long answers are fresh.
    pub times: Times,
    /// What adjusted itself, and why.
    pub journal: Journal,
    /// What adjusts settings, unless it is switched off.
    pub optimizer: Option<Optimizer>,
    /// What compression learns; nothing where it is not to.
    pub learning: Option<Learning>,
    /// What fetches ahead, where that is wanted.
    pub prefetch: Option<Prefetch>,
    /// Its work, until somebody does it.
    ahead: Option<Work>,
}

/// What goes on beside requests for as long as it is polled.
type Work = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// Builds the stack, inside a runtime. Fails if the TLS library cannot be set up.
pub fn build(config: &Config) -> Result<Stack, SetupError> {
    let metrics = Arc::new(Metrics::new(config.metering.prices.clone()));
    let journal = Journal::default();
    let upstream = Upstream::new(&config.upstream, Arc::clone(&metrics), journal.clone())?;
    let mut stack = assemble(config, metrics, journal, upstream.clone());
    if let Some(prefetch) = &stack.prefetch {
        prefetch.watch_sockets(upstream.clone());
    }
    stack.upstream = Some(upstream);
    Ok(stack)
}

/// Builds the layers over a leaf, which makes one attempt at the upstream or stands for it.
pub fn over<S>(config: &Config, metrics: Arc<Metrics>, leaf: S) -> Stack
where
    S: tower::Service<ProxyRequest, Response = Reply, Error = ProxyError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    assemble(config, metrics, Journal::default(), leaf)
}

/// The same with the journal that the leaf writes into.
fn assemble<S>(config: &Config, metrics: Arc<Metrics>, journal: Journal, leaf: S) -> Stack
where
    S: tower::Service<ProxyRequest, Response = Reply, Error = ProxyError>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let store = store(config);
    let times = Times::new(&config.cache);
    let circuits = Circuits::new(&config.breaker, host(&config.upstream.base_url));
    let flights = Flights::default();
    let (cache, dedup, breaker) = (
        config.cache.enabled,
        config.dedup.enabled,
        config.breaker.enabled,
    );

    let merges = !config.batch.window.is_zero();

    let mut budgets = Budgets::new(&config.auth.clients);
    if let Some(redis) = store.second().filter(|_| !budgets.is_empty()) {
        budgets.share(redis.clone());
    }
    let watched = cache.then(|| store.memory.clone());
    let optimizer = Optimizer::new(config, watched, &times, &journal);
    let learning = Learning::start(&config.compression.learning, journal.clone());
    let prefetch = Prefetch::new(config, journal.clone());
    let lookup = CacheLayer::observed(
        config,
        cache.then(|| store.clone()),
        Arc::clone(&metrics),
        optimizer.as_ref().and_then(Optimizer::accesses),
        prefetch.as_ref().map(Prefetch::feed),
    );
    let repeats = lookup.repeats(config, &times, learning.clone());
    let retry = RetryLayer::new(&config.retry, Arc::clone(&metrics));
    let reserve = retry.reserve();
    let below = ServiceBuilder::new()
        // Below the cache: a budget stops spending, not answering. Above dedup: a refusal is one client's alone.
        .layer(option_layer(
            (!budgets.is_empty()).then(|| BudgetLayer::new(budgets.clone())),
        ))
        // Below the budget, for the same reason. Above the breaker: what goes together is one call, hence one verdict.
        .layer(option_layer(
            merges.then(|| MergeLayer::new(&config.batch, Arc::clone(&metrics))),
        ))
        // Above the breaker: fifty identical requests are one call, hence one verdict.
        .layer(option_layer(
            dedup.then(|| DedupLayer::new(flights.clone())),
        ))
        // Inside the flight: an answer is kept once, and before its flight is over.
        .layer(option_layer(cache.then(|| {
            RecordLayer::new(
                store.clone(),
                config.cache.admit,
                dedup && config.dedup.across_instances,
                Arc::clone(&metrics),
            )
        })))
        // Inside the record: what is kept is the answer that was given in the end. Above the breaker: two calls, two verdicts.
        .layer(option_layer(optimizer.as_ref().map(|optimizer| {
            AnswerLimitLayer::new(optimizer.limits().clone())
        })))
        // Above the retries: an open circuit costs nothing, and a call that a retry saved is healthy.
        .layer(option_layer(
            breaker.then(|| BreakerLayer::new(circuits.clone())),
        ))
        // Near the upstream: an attempt is what is repeated.
        .layer(retry)
        // Below the retries: who waits before one takes no place.
        .layer(option_layer(optimizer.as_ref().map(|optimizer| {
            ConcurrencyLayer::new(optimizer.gates().clone())
        })))
        .service(leaf);
    let ahead = prefetch.as_ref().and_then(|prefetch| {
        let (prefetch, bring) = (prefetch.clone(), lookup.ahead(below.clone())?);
        let around = Surroundings {
            memory: store.memory.clone(),
            circuits: breaker.then(|| circuits.clone()),
            reserve,
            metrics: Arc::clone(&metrics),
        };
        let work = async move { prefetch.run(bring, around).await };
        Some(Arc::new(Mutex::new(Some(work.boxed()))))
    });
    let service = ServiceBuilder::new()
        // Above the cache: prompts that differ only in what it takes out share an entry.
        .layer(CompressLayer::new(
            config.compression.clone(),
            cache.then(|| store.memory.memo()),
            learning.clone(),
        ))
        // As high as the cache of completions, for the same reasons: it is one for embeddings.
        .layer(option_layer((cache && merges).then(|| {
            EmbedLayer::new(config, &store, Arc::clone(&metrics))
        })))
        // Above dedup: a hit takes no lock and joins no flight.
        .layer(lookup)
        .service(below);

    Stack {
        service: Service::new(service),
        repeats,
        store,
        circuits,
        flights,
        upstream: None,
        metrics,
        budgets,
        books: None,
        ledger: None,
        overview: None,
        telemetry: None,
        times,
        journal,
        optimizer,
        learning,
        prefetch,
        ahead,
    }
}

impl Stack {
    /// Fetches ahead, where that is wanted, for ever. In a task of its own, which ends with this.
    pub fn fetch_ahead(&self) -> impl Future<Output = Infallible> + use<> {
        let work = self.ahead.as_ref().and_then(|work| work.lock().take());
        async move {
            let mut task = JoinSet::new();
            if let Some(work) = work {
                task.spawn(work);
            }
            while let Some(ended) = task.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "nothing is fetched ahead any more");
                }
            }
            std::future::pending().await
        }
    }

    /// Keeps books from now on, and the ledger where one is configured and can be opened.
    pub async fn keep_books(&mut self, config: &config::Ledger) {
        let day = Timestamp::now().as_millisecond().div_euclid(DAY);
        let overview = Overview::new(day);
        let ledger = config.place.as_ref().and_then(|place| {
            let learners = Learners {
                budgets: self.budgets.clone(),
                overview: overview.clone(),
            };
            let opened = Ledger::open(place, config.retention, learners);
            let failed = |error: &_| tracing::warn!(%error, %place, "the ledger cannot be opened; requests are not kept");
            opened.inspect_err(failed).ok()
        });
        self.budgets.remember(ledger.as_ref());
        if let Some(ledger) = &ledger {
            let sums_since = |from| {
                let sums = ledger.sums_since(from);
                let failed = |error: &_| tracing::warn!(%error, "the ledger cannot be read");
                sums.inspect_err(failed).unwrap_or_default()
            };
            overview.remember(day, sums_since(day * DAY), sums_since(0));
            ledger.begun().await;
        }
        let mut readers = vec![overview.reader()];
        readers.extend(ledger.as_ref().map(Ledger::keeper));
        readers.extend(self.optimizer.as_ref().and_then(Optimizer::reader));
        let books = Books::new(readers);
        if let Some(prefetch) = &self.prefetch {
            prefetch.enter_into(books.clone());
        }
        self.books = Some(books);
        self.ledger = ledger;
        self.overview = Some(overview);
    }
}

/// The tiers that are configured. Redis is connected to in the background.
fn store(config: &Config) -> Store {
    let tuning = &config.tuning;
    let acts = tuning.mode == TuningMode::Act;
    let config = &config.cache;
    let mut limits = Limits::from(config);
    let memory = if acts {
        // Whatever time comes to be set, its answers must be there for so long.
        let longer = tuning.max_ttl.saturating_sub(config.longest_ttl());
        limits.life = limits.life.saturating_add(longer);
        Memory::that_moves(limits, tuning.max_entries)
    } else {
        Memory::new(limits)
    };
    let life = limits.life;
    let snapshot = config.snapshot.clone().filter(|_| config.enabled);
    let snapshot = snapshot.map(|path| Snapshot::new(path, memory.clone(), life));
    let redis = config.redis.clone().filter(|_| config.enabled);
    let redis = redis.map(|redis| redis::Settings {
        address: redis.address,
        namespace: redis.namespace,
        timeout: redis.timeout,
        life,
    });
    Store::new(memory, redis, snapshot)
}

/// The host of a URL, with its port, for names that operators read.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}
