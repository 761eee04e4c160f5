//! `/api/events`: the state of everything, as the page draws it, sent whenever it has changed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::BytesMut;
use futures_util::stream::unfold;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::clear::Peer;
use super::dialect::failure;
use super::document::Guarded;
use super::figures::timestamp;
use super::health::circuits;
use super::{Edge, events};
use crate::metering::account::{Row, Source};
use crate::metering::histogram::Histogram;
use crate::metering::overview::{Known, Overview};
use crate::metering::tally::{Figure, Tally};
use crate::request::Route;

/// Not more often than that, however much happens.
const PACE: Duration = Duration::from_secs(1);
/// After so long without news a comment goes out, so that nobody takes the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The state of everything, live
///
/// Server-sent events: `event: state` with the whole state as JSON, at once, and then at most once a second, whenever
/// something has changed; the comment `: keep-alive` where nothing has. Takes the admin token where one is set, and answers
/// the proxy's own machine alone where none is.
#[utoipa::path(get, path = "/api/events", tag = "operations", operation_id = "events",
    responses(
        (status = 200, description = "Events without end.", body = String, content_type = "text/event-stream"),
        Guarded,
    ))]
pub(super) async fn live(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|Extension(Peer(address))| address);
    if let Err(error) = edge.shared.guard.operator(&headers, peer) {
        return failure(&error);
    }
    let states = unfold((edge, None), |(edge, seen)| async move {
        let (event, seen) = edge.next_event(seen).await?;
        Some((Ok::<_, Infallible>(event.freeze()), (edge, Some(seen))))
    });
    events::response(HeaderMap::new(), Body::from_stream(states))
}

/// What a listener has been told of.
struct Seen {
    changes: Option<watch::Receiver<u64>>,
    pulse: Pulse,
}

/// What changes without a request that ends: requests that begin, the cache, flights, circuits, decisions.
type Pulse = (u64, u64, u64, Vec<&'static str>, (u64, bool));

impl Edge {
    /// Waits for news, of which the first is the state as it is. Ends when the process is about to: an open page must not
    /// hold it up.
    async fn next_event(&self, seen: Option<Seen>) -> Option<(BytesMut, Seen)> {
        if let Some(seen) = seen {
            let mut quiet = Duration::ZERO;
            loop {
                sleep(PACE).await;
                if self.shared.draining.load(Ordering::Relaxed) {
                    return None;
                }
                if self.has_news(&seen) {
                    break;
                }
                quiet += PACE;
                if quiet >= KEEP_ALIVE {
                    return Some((BytesMut::from(": keep-alive\n\n"), seen));
                }
            }
        }
        if let Some(books) = &self.shared.stack.books {
            books.settled().await;
        }
        // Before the state is read: whatever changes from here on is news again.
        let seen = Seen {
            changes: self.shared.stack.overview.as_ref().map(Overview::changes),
            pulse: self.pulse(),
        };
        let mut out = BytesMut::from("event: state\n");
        crate::sse::encode(self.state().to_string().as_bytes(), &mut out);
        Some((out, seen))
    }

    fn has_news(&self, seen: &Seen) -> bool {
        let is_changed = |changes: &watch::Receiver<u64>| changes.has_changed().unwrap_or(false);
        seen.changes.as_ref().is_some_and(is_changed) || self.pulse() != seen.pulse
    }

    fn pulse(&self) -> Pulse {
        let stack = &self.shared.stack;
        let circuits = stack.circuits.snapshot();
        (
            stack.metrics.requests.get(),
            stack.store.memory.len(),
            stack.flights.len() as u64,
            circuits.iter().map(|circuit| circuit.state).collect(),
            self.tuning_pulse(),
        )
    }

    fn state(&self) -> Value {
        let shared = &self.shared;
        let known = shared.stack.overview.as_ref().map(Overview::known);
        let known = known.unwrap_or_default();
        let now = SystemTime::now();
        let day = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs() / 86_400);
        let today = known.of_day(i64::try_from(day).unwrap_or(0));
        json!({
            "timestamp": timestamp(now),
            "version": env!("CARGO_PKG_VERSION"),
            "uptimeSeconds": shared.started.elapsed().as_secs(),
            "demo": shared.config.is_demo,
            "today": today.to_json(),
            "overall": known.overall.to_json(),
            "stack": self.stack_state(&known),
            "latencyMs": latencies(&known),
            "tokens": tokens(&known),
            "breakers": circuits(self),
            "tuning": self.tuning_state(),
            "unpricedModels": shared.stack.metrics.unpriced_models(),
            "recent": known.recent.iter().map(row).collect::<Vec<_>>(),
            "resources": self.resources().to_json(self),
        })
    }

    /// Of the requests of this process, how many were answered where.
    fn stack_state(&self, known: &Known) -> Value {
        let mut sources = BTreeMap::<&str, u64>::new();
        let mut compressed = 0;
        for (series, sums) in &known.by {
            *sources.entry(series.source).or_default() += sums.get(Figure::Requests);
            compressed += sums.get(Figure::CompressionTokensSaved);
        }
        let of = |source: Source| sources.get(source.as_str()).copied().unwrap_or(0);
        let m = &self.shared.stack.metrics;
        json!({
            "requests": sources.values().sum::<u64>(),
            "compressedTokens": compressed,
            "cache": of(Source::Cache),
            "stale": of(Source::Stale),
            "dedup": of(Source::Dedup),
            "bypass": of(Source::Bypass),
            "upstream": of(Source::Upstream),
            "unanswered": of(Source::None),
            "prefetch": of(Source::Prefetch),
            "refusedByBreaker": known.refused_by_breaker,
            "retries": m.retries.get(),
            "failures": m.failures.get(),
            "inFlight": self.resources().in_flight,
        })
    }
}

/// Of which durations half, nineteen in twenty and 99 in a hundred are not exceeded.
fn latencies(known: &Known) -> Value {
    let of = |histogram: &Histogram| {
        let ms = |per_mille| {
            #[expect(clippy::cast_precision_loss, reason = "times for people")]
            let ms = histogram
                .quantile(per_mille)
                .map(|micros| micros as f64 / 1e3);
            ms
        };
        json!({"p50": ms(500), "p95": ms(950), "p99": ms(990)})
    };
    let total = |source| &known.times_of(source).total;
    let answered = total(Source::Upstream).plus(total(Source::Bypass));
    json!({
        "hit": of(total(Source::Cache)),
        "upstream": of(&answered),
        "upstreamHead": of(&known.all_times(|times| &times.upstream)),
        "firstToken": of(&known.all_times(|times| &times.first_token)),
        "addedByUs": of(&known.all_times(|times| &times.added)),
    })
}

/// Prompt tokens of what was paid for, before and after compression.
fn tokens(known: &Known) -> Value {
    let mut sums = Tally::default();
    for (series, more) in &known.by {
        if [Source::Upstream.as_str(), Source::Bypass.as_str()].contains(&series.source) {
            sums.add(more);
        }
    }
    let after = sums.get(Figure::PromptTokens);
    json!({"before": after + sums.get(Figure::CompressionTokensSaved), "after": after})
}

/// A request, without a word of what was asked.
fn row(row: &Row) -> Value {
    let usage = row.usage().unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(row.at.unsigned_abs());
    #[expect(clippy::cast_precision_loss, reason = "times for people")]
    let ms = row.took.total as f64 / 1e3;
    json!({
        "time": timestamp(time),
        "id": row.id,
        "endpoint": row.endpoint.map(Route::as_str),
        "model": row.model.as_deref(),
        "served": row.served.as_deref(),
        "caller": &*row.who.name(),
        "user": row.user.as_deref(),
        "status": row.status,
        "error": row.error,
        "aborted": row.is_aborted,
        "source": row.source.as_str(),
        "promptTokens": usage.prompt_tokens,
        "completionTokens": usage.completion_tokens,
        "certainty": row.usage().map(|usage| usage.certainty.as_str()),
        "priced": row.is_priced,
        "costNanoUsd": row.cost,
        "savedNanoUsd": row.saved.total(),
        "ms": ms,
        "attempts": row.attempts,
    })
}
