//! `/metrics`: what Prometheus reads. The labels of models are bounded; nothing here is a secret, and it asks for no token.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, header};

use super::Edge;
use super::document::Open;
use super::resources::Resources;
use crate::metering::account::Source;
use crate::metering::exposition::{Exposition, Kind, dollars};
use crate::metering::overview::{Histogram, Known};
use crate::metering::tally::{Figure, Tally};

/// Metrics for Prometheus
///
/// Asks for no token.
#[utoipa::path(get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses(
        (status = 200, description = "The text format of Prometheus.", body = String, content_type = "text/plain"),
        Open,
    ))]
pub(super) async fn metrics(State(edge): State<Edge>) -> Response {
    let stack = &edge.shared.stack;
    if let Some(books) = &stack.books {
        books.settled().await;
    }
    let known = stack.overview.as_ref().map(|overview| overview.known());
    let mut text = Exposition::default();
    requests(&mut text, &known.unwrap_or_default());
    layers(&mut text, &edge);
    resources(&mut text, &edge);
    let mut response = text.into_text().into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// What requests were, took, cost and saved: of those that are over.
fn requests(text: &mut Exposition, known: &Known) {
    for (name, figure, help) in [
        (
            "requests_total",
            Figure::Requests,
            "Requests that are over, by where their answers came from.",
        ),
        (
            "request_errors_total",
            Figure::Errors,
            "Of these, the ones that failed.",
        ),
        (
            "requests_aborted_total",
            Figure::Aborted,
            "Of these, the ones whose clients left before the end.",
        ),
    ] {
        let name = format!("pegasus_nest_{name}");
        text.metric(&name, Kind::Counter, help);
        for (series, sums) in &known.by {
            let labels = [
                ("model", &*series.model),
                ("endpoint", series.endpoint),
                ("source", series.source),
            ];
            text.sample(&name, &labels, sums.get(figure));
        }
    }
    let mut models = BTreeMap::<&str, Tally>::new();
    for (series, sums) in &known.by {
        models.entry(&series.model).or_default().add(sums);
    }
    let name = "pegasus_nest_tokens_total";
    text.metric(name, Kind::Counter, "Tokens of answers that were paid for; cached and reasoning tokens are parts of the others.");
    for (model, sums) in &models {
        for (kind, figure) in [
            ("prompt", Figure::PromptTokens),
            ("completion", Figure::CompletionTokens),
            ("cached", Figure::CachedTokens),
            ("cache_write", Figure::CacheWriteTokens),
            ("reasoning", Figure::ReasoningTokens),
        ] {
            text.sample(name, &[("model", model), ("kind", kind)], sums.get(figure));
        }
    }
    let name = "pegasus_nest_tokens_saved_total";
    text.metric(
        name,
        Kind::Counter,
        "Tokens that were not paid for, by the layer that saved them.",
    );
    for (model, sums) in &models {
        for (layer, figure) in [
            ("cache", Figure::CacheTokensSaved),
            ("dedup", Figure::DedupTokensSaved),
            ("compression", Figure::CompressionTokensSaved),
        ] {
            text.sample(
                name,
                &[("model", model), ("layer", layer)],
                sums.get(figure),
            );
        }
    }
    let name = "pegasus_nest_cost_usd_total";
    text.metric(name, Kind::Counter, "What the answers cost, in US dollars.");
    for (model, sums) in &models {
        text.sample(name, &[("model", model)], dollars(sums.get(Figure::Cost)));
    }
    let name = "pegasus_nest_saved_usd_total";
    text.metric(
        name,
        Kind::Counter,
        "What was saved, in US dollars, by the layer that saved it.",
    );
    for (model, sums) in &models {
        for (layer, saved) in sums.savings() {
            text.sample(name, &[("model", model), ("layer", layer)], dollars(saved));
        }
    }
    let name = "pegasus_nest_request_duration_seconds";
    text.metric(
        name,
        Kind::Histogram,
        "From a request's head to the last byte of its response.",
    );
    for source in Source::ALL
        .into_iter()
        .filter(|source| *source != Source::None)
    {
        text.histogram(
            name,
            &[("source", source.as_str())],
            &known.total[source as usize],
        );
    }
    let mut single = |name: &str, help: &str, histogram: &Histogram| {
        let name = format!("pegasus_nest_{name}");
        text.metric(&name, Kind::Histogram, help);
        text.histogram(&name, &[], histogram);
    };
    single(
        "upstream_duration_seconds",
        "Until the head of the upstream's answer was here.",
        &known.upstream,
    );
    single(
        "first_token_seconds",
        "Until the first event of a stream was on its way to its client.",
        &known.first_token,
    );
    single(
        "added_duration_seconds",
        "Until the head of the response was made, less the wait for the upstream.",
        &known.added,
    );
}

/// What each layer did since the process began.
fn layers(text: &mut Exposition, edge: &Edge) {
    let stack = &edge.shared.stack;
    let (m, memory) = (&stack.metrics, &stack.store.memory);
    for (name, help, count) in [
        (
            "cache_hits_total",
            "Requests answered from the cache.",
            m.hits.get(),
        ),
        (
            "cache_redis_hits_total",
            "Of these, the ones that Redis had.",
            m.redis_hits.get(),
        ),
        (
            "cache_stale_hits_total",
            "Requests answered from the cache past its life.",
            m.stale_hits.get(),
        ),
        (
            "cache_misses_total",
            "Requests for which the cache had no answer.",
            m.misses.get(),
        ),
        (
            "cache_bypasses_total",
            "Requests that did not ask the cache.",
            m.bypasses.get(),
        ),
        (
            "cache_refreshes_total",
            "Calls behind stale answers.",
            m.refreshes.get(),
        ),
        (
            "cache_stored_total",
            "Answers that were put into the cache.",
            m.stored.get(),
        ),
        (
            "dedup_joined_total",
            "Requests answered by a call that another one had begun.",
            m.joined.get(),
        ),
        (
            "dedup_joined_across_instances_total",
            "Of these, the ones whose call another instance made.",
            m.joined_across.get(),
        ),
        (
            "upstream_attempts_total",
            "Attempts upstream.",
            m.attempts.get(),
        ),
        (
            "upstream_retries_total",
            "Attempts after the first.",
            m.retries.get(),
        ),
        (
            "upstream_reconnects_total",
            "Attempts on a new socket because one of the pool was dead.",
            m.reconnects.get(),
        ),
        (
            "upstream_failures_total",
            "Requests that the upstream failed, after all retries.",
            m.failures.get(),
        ),
        (
            "clients_gone_total",
            "Requests whose clients left before their reply.",
            m.departed.get(),
        ),
        (
            "compression_characters_total",
            "Characters that compression was given.",
            m.compression_chars_before.get(),
        ),
        (
            "compression_characters_saved_total",
            "Characters that compression took out.",
            m.compression_chars_saved.get(),
        ),
    ] {
        text.single(&format!("pegasus_nest_{name}"), Kind::Counter, help, count);
    }
    let name = "pegasus_nest_cache_refused_total";
    text.metric(name, Kind::Counter, "Answers that were not kept, by why.");
    for (reason, count) in m.refused.by_reason() {
        text.sample(name, &[("reason", reason)], count);
    }
    let name = "pegasus_nest_cache_evicted_total";
    text.metric(
        name,
        Kind::Counter,
        "Answers that are no longer kept, by why.",
    );
    let evicted = memory.evictions();
    for (reason, count) in [
        ("size", evicted.size),
        ("expired", evicted.expired),
        ("cleared", evicted.cleared),
    ] {
        text.sample(name, &[("reason", reason)], count);
    }
    let name = "pegasus_nest_breaker_state";
    text.metric(
        name,
        Kind::Gauge,
        "1 for the state that a circuit is in, 0 for the others.",
    );
    for circuit in stack.circuits.snapshot() {
        for state in ["CLOSED", "OPEN", "HALF_OPEN"] {
            let labels = [("circuit", &*circuit.name), ("state", state)];
            text.sample(name, &labels, u8::from(circuit.state == state));
        }
    }
    if let Some(redis) = stack.store.redis() {
        let name = "pegasus_nest_redis_up";
        text.single(
            name,
            Kind::Gauge,
            "Whether Redis answers.",
            u8::from(redis.state == "on"),
        );
    }
}

/// What the process holds at present.
fn resources(text: &mut Exposition, edge: &Edge) {
    let Resources {
        resident_bytes,
        descriptors,
        in_flight,
        books_waiting,
        rows_dropped,
        rows_lost,
        ..
    } = edge.resources();
    let stack = &edge.shared.stack;
    for (name, help, value) in [
        (
            "pegasus_nest_in_flight",
            "Requests that are worked on.",
            in_flight,
        ),
        (
            "pegasus_nest_flights",
            "Calls that requests share or could share.",
            stack.flights.len() as u64,
        ),
        (
            "pegasus_nest_cache_entries",
            "Answers that are kept.",
            stack.store.memory.len(),
        ),
        (
            "pegasus_nest_cache_bytes",
            "Bytes of the answers that are kept.",
            stack.store.memory.bytes(),
        ),
        (
            "pegasus_nest_ledger_queue",
            "Rows on their way into the ledger.",
            books_waiting,
        ),
        (
            "process_resident_memory_bytes",
            "Resident memory in bytes.",
            resident_bytes,
        ),
        ("process_open_fds", "Open descriptors.", descriptors),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    let name = "pegasus_nest_ledger_dropped_total";
    text.single(
        name,
        Kind::Counter,
        "Rows that there was no room for, or that could not be written.",
        rows_dropped + rows_lost,
    );
    let name = "pegasus_nest_build_info";
    text.metric(name, Kind::Gauge, "Which version this is.");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let uptime = edge.shared.started.elapsed().as_secs();
    text.single(
        "pegasus_nest_uptime_seconds",
        Kind::Gauge,
        "Since when the process serves.",
        uptime,
    );
}
