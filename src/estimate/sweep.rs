//! What other settings would have saved, all of them in the same pass.
//!
//! What costs time is the same for all: reading a request, compressing it at each level, naming it. That is done once, and
//! remembered for bodies that come again. What differs is kept in one [`Lane`] for each combination of settings: the
//! service's own store with other bounds, the calls that are under way there, and sums. So a lane comes to what a replay
//! with its settings comes to, to the nano-dollar.

use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::call::Call;
use self::lane::Lane;
use super::asked::{Asked, Outcome};
use super::upstream::{Upstream, elapsed, ends_at};
use crate::compressor::{Level, Memo};
use crate::config::{Compression, Config};
use crate::error::ProxyError;
use crate::fingerprint::{self, Fingerprint};
use crate::json::Node;
use crate::layers::compress::compress_messages;
use crate::metering::Metrics;
use crate::metering::tokens::count::count_prompt;
use crate::reply::Reply;
use crate::request::{Chat, ProxyRequest};
use crate::stack::Service;

pub(super) use lane::Figures;

mod call;
mod lane;

/// The settings that are tried.
const ENTRIES: [u64; 4] = [250, 1_000, 4_000, 16_000];
const TTLS: [Duration; 4] = [
    Duration::from_mins(5),
    Duration::from_hours(1),
    Duration::from_hours(6),
    Duration::from_hours(24),
];
const LEVELS: [Level; 4] = [Level::Off, Level::Safe, Level::Balanced, Level::Aggressive];

/// So many bodies are remembered with what becomes of them at each level.
const KNOWN: u64 = 64 * 1024;

/// One combination of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) max_entries: u64,
    pub(super) ttl: Duration,
    pub(super) level: Level,
}

/// All lanes.
pub(super) struct Sweep {
    /// The compression of each level, that of the settings as they are first.
    levels: Vec<Compression>,
    /// The first one has the settings as they are.
    lanes: Vec<Lane>,
    known: Cache<Fingerprint, Arc<Known>>,
    memo: Memo,
    metrics: Metrics,
    begun: Instant,
    /// How often what is past its life is removed, and when that is due next, in milliseconds of the replay.
    tidies_every: Duration,
    next_tidying: u64,
    /// What all calls would have cost without the proxy, in nano-dollars.
    baseline: u64,
}

/// What becomes of a body at each level.
struct Known {
    spelled: Vec<Spelled>,
    /// The tokens of its prompt, where somebody had to count them.
    prompt: OnceLock<u64>,
}

/// What becomes of a body at one level.
#[derive(Debug, Clone, Copy)]
struct Spelled {
    question: Fingerprint,
    /// The tokens that compression takes out.
    saved: u64,
}

/// The sweep on top of a stack's layers.
#[derive(Clone)]
pub(super) struct Tap {
    inner: Service,
    sweep: Arc<Mutex<Sweep>>,
    upstream: Upstream,
}

// === impl Sweep ===

impl Sweep {
    /// The settings beside those of this configuration.
    pub(super) fn new(config: &Config, metrics: Metrics, begun: Instant) -> Self {
        let current = Setting {
            max_entries: config.cache.max_entries,
            ttl: config.cache.ttl,
            level: config.compression.level,
        };
        let at = |level| Compression {
            level,
            ..config.compression.clone()
        };
        let levels = std::iter::once(current.level)
            .chain(LEVELS)
            .map(at)
            .collect();
        let mut lanes = vec![Lane::new(config, current, 0)];
        for (number, level) in (1..).zip(LEVELS) {
            for max_entries in ENTRIES {
                for ttl in TTLS {
                    let setting = Setting {
                        max_entries,
                        ttl,
                        level,
                    };
                    lanes.push(Lane::new(config, setting, number));
                }
            }
        }
        Self {
            levels,
            lanes,
            known: Cache::builder()
                .eviction_policy(EvictionPolicy::lru())
                .max_capacity(KNOWN)
                .build(),
            memo: Memo::new(),
            metrics,
            begun,
            tidies_every: config.cache.sweep_interval,
            next_tidying: millis(config.cache.sweep_interval),
            baseline: 0,
        }
    }

    /// A request has come to the layers.
    fn note(&mut self, request: &ProxyRequest, asked: &Asked) {
        let Some(chat) = request.chat() else { return };
        let now = elapsed(self.begun);
        self.pass_until(now);
        let known = self.known(request, chat);
        let root = chat.original().root();
        let count = || {
            *known
                .prompt
                .get_or_init(|| count_prompt(chat.model(), root).tokens)
        };
        let outcome = asked.outcome(root, count);
        if let Outcome::Answer(_, worth) = &outcome {
            let served = worth.served.as_deref();
            let price = self.metrics.price(chat.model(), served, worth.usage);
            self.baseline = self.baseline.saturating_add(price.unwrap_or(0));
        }
        let end = ends_at(now, asked.latency);
        let calls: Vec<_> = known
            .spelled
            .iter()
            .map(|spelled| Call::new(&self.metrics, request, *spelled, &outcome, end))
            .collect();
        for lane in &mut self.lanes {
            lane.ask(request, &calls[lane.level], &self.metrics);
        }
    }

    /// Ends what ends until then, in all lanes.
    fn pass_until(&mut self, now: u64) {
        let is_due = now >= self.next_tidying;
        for lane in &mut self.lanes {
            lane.pass_until(now, self.begun, &self.metrics);
            if is_due {
                lane.tidy();
            }
        }
        if is_due {
            let interval = millis(self.tidies_every).max(1);
            self.next_tidying += ((now - self.next_tidying) / interval + 1) * interval;
        }
    }

    /// What becomes of the request's body at each level.
    fn known(&self, request: &ProxyRequest, chat: &Chat) -> Arc<Known> {
        let parts = request.parts();
        let original = chat.original();
        // No level is in it: each has its own place in what is known.
        let alias = fingerprint::alias(
            None,
            parts.scope,
            &parts.path,
            parts.headers.iter(),
            parts.route.as_str().as_bytes(),
            chat.injected(),
            original.text(),
        );
        if let Some(known) = self.known.get(&alias) {
            return known;
        }
        let name = |root: &Node| {
            let (scope, path) = (parts.scope, &*parts.path);
            fingerprint::fingerprint(None, scope, path, &parts.headers, root, chat.injected())
        };
        let unchanged = Spelled {
            question: name(original.root()),
            saved: 0,
        };
        let spelled = self.levels.iter().map(|settings| {
            let plan = settings.plan(parts.route, parts.level);
            let recall = self.memo.of(*request.owner().as_bytes());
            let edited = compress_messages(original, &plan, Some(recall));
            edited.map_or(unchanged, |edited| Spelled {
                question: name(edited.json.root()),
                saved: edited.saved.tokens,
            })
        });
        let known = Arc::new(Known {
            spelled: spelled.collect(),
            prompt: OnceLock::new(),
        });
        self.known.insert(alias, Arc::clone(&known));
        known
    }

    /// What each combination came to, that of the settings as they are first; and what all calls would have cost without
    /// the proxy.
    pub(super) fn finish(&mut self) -> (Vec<(Setting, Figures)>, u64) {
        for lane in &mut self.lanes {
            lane.pass_until(u64::MAX, self.begun, &self.metrics);
        }
        let lanes = self.lanes.iter();
        let figures = lanes.map(|lane| (lane.setting, lane.figures)).collect();
        (figures, self.baseline)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4)
}

// === impl Tap ===

impl Tap {
    /// On top of these layers; `upstream` knows what the log has of a request.
    pub(super) fn new(inner: Service, sweep: Arc<Mutex<Sweep>>, upstream: Upstream) -> Self {
        Self {
            inner,
            sweep,
            upstream,
        }
    }
}

impl tower::Service<ProxyRequest> for Tap {
    type Response = Reply;
    type Error = ProxyError;
    type Future = <Service as tower::Service<ProxyRequest>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: ProxyRequest) -> Self::Future {
        if let Some(asked) = self.upstream.asked(&request) {
            self.sweep.lock().note(&request, &asked);
        }
        self.inner.call(request)
    }
}
