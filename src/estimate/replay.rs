//! Sends the requests of a log through the real edge and the real layers, on a clock that it moves itself.
//!
//! The runtime's clock stands still while there is anything to do, and jumps to the next event when there is not: to the
//! arrival of the next request, or to the end of a call. So times to live, stale windows and calls that overlap are what
//! they were, and a day passes as fast as it can be worked off.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use parking_lot::Mutex;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until};

use super::asked::Asked;
use super::sums::Sums;
use super::upstream::Upstream;
use crate::config::{Config, PromptCache, TuningMode};
use crate::edge::{Edge, Front};
use crate::fingerprint::digest;
use crate::metering::Metrics;
use crate::metering::books::Books;
use crate::stack::{self, Service, Stack};
use crate::store::Memory;
use crate::tuning::learn::Mode;

/// Requests under way at once; a log with more of them at one time is worked off in turns.
const AT_ONCE: usize = 8_192;
/// What their bodies take together at most (bytes).
const ROOM: usize = 256 * 1024 * 1024;
/// Rows that may wait to be summed up; the books would sum up more of them by themselves.
const ROWS: usize = 512;
/// After so many requests without a wait those whose work is in the background get their turn.
const TURN: usize = 256;
/// Longer waits are cut into pieces: the runtime's timers reach two years.
const LONGEST_WAIT: Duration = Duration::from_hours(24 * 365);

/// A replay under way.
pub(super) struct Replay {
    shared: Arc<Shared>,
    /// Requests that wait for their calls, and the bytes of their bodies.
    under_way: JoinSet<usize>,
    bytes: usize,
    /// When the first request came.
    origin: Option<i64>,
    sweep_interval: Duration,
    next_sweep: Instant,
    /// Requests that are over, and may still have work in the background.
    over: Vec<u64>,
    /// How often requests had to wait because too many were under way.
    pub(super) held_back: u64,
}

struct Shared {
    front: Front,
    upstream: Upstream,
    books: Books,
    memory: Memory,
    sums: Mutex<Sums>,
}

/// The service would have turned a request away, with this status and these words.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// What a replay does not do, although the settings say so: whatever leaves the process, and whatever depends on more than
/// the log tells.
pub(super) fn offline(config: &Config) -> Config {
    let mut config = config.clone();
    config.cache.snapshot = None;
    config.cache.redis = None;
    config.ledger.place = None;
    config.telemetry.endpoint = None;
    config.metering.fetch_prices = false;
    config.upstream.api_key = None;
    config.auth.client_tokens.clear();
    config.auth.clients.clear();
    config.auth.admin_token = None;
    config.server.cors_origins.clear();
    config.server.max_in_flight = usize::MAX;
    // What the log calls a failure is the end of all attempts, and another one's outcome is in no log.
    config.breaker.enabled = false;
    config.retry.max_attempts = 1;
    // An answer to several inputs is in the log as one, and is nobody's answer to some of them.
    config.batch.window = Duration::ZERO;
    // Calls beside those of the log, and calls that are not as the log has them: their outcomes are in no log, either.
    config.tuning.mode = TuningMode::Off;
    config.prefetch.enabled = false;
    config.compression.learning.mode = Mode::Off;
    config.upstream.prompt_cache = PromptCache::Off;
    config
}

impl Replay {
    /// A replay of requests through these settings, which [`offline`] has seen. `tap` may put something on top of the
    /// layers; inside of a runtime whose clock stands.
    pub(super) fn new(
        config: Config,
        metrics: &Arc<Metrics>,
        upstream: Upstream,
        tap: impl FnOnce(&mut Stack),
    ) -> Self {
        let mut stack = stack::over(&config, Arc::clone(metrics), upstream.clone());
        let books = Books::unread();
        stack.books = Some(books.clone());
        tap(&mut stack);
        let memory = stack.store.memory.clone();
        let sweep_interval = config.cache.sweep_interval;
        let next_sweep = upstream.begun() + sweep_interval;
        let shared = Shared {
            front: Edge::new(config, stack).front(),
            upstream,
            books,
            memory,
            sums: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            under_way: JoinSet::new(),
            bytes: 0,
            origin: None,
            sweep_interval,
            next_sweep,
            over: Vec::new(),
            held_back: 0,
        }
    }

    /// Lets the time come that a request came at, and what ends before.
    async fn wait_until(&mut self, at: i64) {
        let shared = Arc::clone(&self.shared);
        let begun = shared.upstream.begun();
        let origin = *self.origin.get_or_insert(at);
        // Even, see `ends_at`.
        let offset = u64::try_from(at.saturating_sub(origin)).unwrap_or(0) & !1;
        let arrival = begun + Duration::from_millis(offset.min(FARTHEST));
        while Instant::now() < arrival {
            sleep_until(arrival.min(Instant::now() + LONGEST_WAIT)).await;
            self.reap();
        }
        if self.over.len() >= TURN {
            yield_now().await;
            self.reap();
        }
        let is_full = |this: &Self| this.under_way.len() >= AT_ONCE || this.bytes > ROOM;
        self.held_back += u64::from(is_full(self));
        while is_full(self) {
            let Some(ended) = self.under_way.join_next().await else {
                break;
            };
            self.bytes -= ended.unwrap_or(0);
        }
        if Instant::now() >= self.next_sweep {
            shared.memory.sweep();
            let late = Instant::now() - self.next_sweep;
            let periods = late.as_millis() / self.sweep_interval.as_millis().max(1) + 1;
            let periods = u32::try_from(periods).unwrap_or(u32::MAX);
            self.next_sweep += self.sweep_interval.saturating_mul(periods);
        }
    }

    /// Forgets what is over.
    fn reap(&mut self) {
        while let Some(ended) = self.under_way.try_join_next() {
            self.bytes -= ended.unwrap_or(0);
        }
        for line in self.over.drain(..) {
            self.shared.upstream.forget(line);
        }
    }

    /// Sends a request when its time has come. Says so if the service would not have taken it.
    pub(super) async fn send(&mut self, asked: Asked) -> Option<Refused> {
        self.wait_until(asked.at).await;
        let Ok(request) = request_of(&asked) else {
            return Some(Refused {
                status: StatusCode::BAD_REQUEST,
                body: Bytes::from_static(b"its path cannot be sent"),
            });
        };
        let (line, bytes) = (asked.line, asked.body.len());
        let shared = Arc::clone(&self.shared);
        shared.upstream.expect(Arc::new(asked));
        let mut answer = Box::pin({
            let shared = Arc::clone(&shared);
            async move { shared.front.answer_whole(request).await }
        });
        // Most are answered at once, and a hit needs no task.
        let at_once = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        match at_once {
            Poll::Ready(response) => {
                self.over.push(line);
                shared.sum_up(false);
                refusal(response)
            }
            Poll::Pending => {
                self.bytes += bytes;
                self.under_way.spawn(async move {
                    drop(answer.await);
                    shared.upstream.forget(line);
                    shared.sum_up(false);
                    bytes
                });
                None
            }
        }
    }

    /// Waits for what is under way.
    pub(super) async fn finish(&mut self) {
        while self.under_way.join_next().await.is_some() {}
        self.reap();
        self.shared.sum_up(true);
    }

    /// What became of the requests.
    pub(super) fn sums(&self) -> parking_lot::MutexGuard<'_, Sums> {
        self.shared.sums.lock()
    }

    /// The answers that are kept now, and the bytes that they take.
    pub(super) fn kept(&self) -> (u64, u64) {
        (self.shared.memory.len(), self.shared.memory.bytes())
    }
}

/// A thousand years in milliseconds: what lies further apart in a log is one mistake or another.
const FARTHEST: u64 = 1_000 * 365 * 24 * 3_600_000;

impl Shared {
    fn sum_up(&self, all: bool) {
        if all || self.books.waiting() >= ROWS {
            let mut sums = self.sums.lock();
            self.books.hand_out(|row| sums.read(row));
        }
    }
}

/// The request as its client would send it.
fn request_of(asked: &Asked) -> Result<Request<Bytes>, http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&*asked.path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", asked.id());
    if let Some(caller) = &asked.caller {
        // Whoever it is: a header holds no more than a token's characters.
        let credential = format!("Bearer {}", digest(caller.as_bytes()));
        request = request.header(header::AUTHORIZATION, credential);
    }
    request.body(asked.body.clone())
}

/// An answer at once that is an error is the service's own: no call takes no time.
fn refusal(response: Response<Bytes>) -> Option<Refused> {
    let (head, body) = response.into_parts();
    let status = head.status;
    (status.is_client_error() || status.is_server_error()).then_some(Refused { status, body })
}

/// Something on top of a stack's layers.
pub(super) fn on_top(stack: &mut Stack, wrap: impl FnOnce(Service) -> Service) {
    stack.service = wrap(stack.service.clone());
    // What finds repeats goes past them.
    stack.repeats = None;
}
