//! `/api`: what was saved, and clearing the cache.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde::Serialize;
use serde_json::{Value, json};

use crate::compressor::Saving;

use super::Edge;
use super::dialect::failure;
use super::figures::{percent, timestamp, usd};
use super::health::circuits;

/// The address of the client's end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// `GET /api/optimization-stats`
pub(super) async fn stats(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    match edge.shared.guard.caller(&headers) {
        Ok(_) => Json(report(&edge)).into_response(),
        Err(error) => failure(&error),
    }
}

/// `GET, POST or DELETE /api/clear-cache`
pub(super) async fn clear(
    State(edge): State<Edge>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
) -> Response {
    let peer = peer.map(|Extension(Peer(address))| address);
    if let Err(error) = edge.shared.guard.operator(&headers, peer) {
        return failure(&error);
    }
    let cleared = edge.shared.stack.store.clear();
    tracing::info!(cleared, "cache cleared");
    Json(json!({
        "message": "🧹 Optimization cache cleared successfully",
        "timestamp": timestamp(SystemTime::now()),
        "cleared": cleared,
    }))
    .into_response()
}

/// The statistics: first what dashboards have always read, in the order in which people do.
#[derive(Serialize)]
struct Report {
    message: &'static str,
    timestamp: String,
    performance: Performance,
    savings: Savings,
    status: &'static str,
    #[serde(flatten)]
    more: More,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Performance {
    total_requests: u64,
    total_tokens: u64,
    average_tokens_per_request: u64,
    cache_hit_rate: String,
    cache_size: u64,
    compression_savings: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Savings {
    cache_hits: u64,
    cache_misses: u64,
    estimated_tokens_saved: u64,
    #[serde(rename = "estimatedCostSavings")]
    estimated_cost_saved: String,
}

/// The sections that stand beside them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct More {
    tokens: Value,
    cost: Value,
    unpriced_models: Vec<String>,
    compression: Value,
    cache: Value,
    dedup: Value,
    upstream: Value,
    circuit_breakers: Vec<Value>,
}

fn report(edge: &Edge) -> Report {
    let m = &edge.shared.stack.metrics;
    let requests = m.requests.get();
    let tokens = m.prompt_tokens.get() + m.completion_tokens.get();
    let hits = m.hits.get() + m.stale_hits.get();
    let misses = m.misses.get();
    let tokens_saved =
        m.cache_tokens_saved.get() + m.dedup_tokens_saved.get() + m.compression_tokens_saved.get();
    Report {
        message: "🚀 Pegasus Nest API Optimization Statistics",
        timestamp: timestamp(SystemTime::now()),
        performance: Performance {
            total_requests: requests,
            total_tokens: tokens,
            average_tokens_per_request: (tokens + requests / 2).checked_div(requests).unwrap_or(0),
            cache_hit_rate: percent(hits, hits + misses),
            cache_size: edge.shared.stack.store.len(),
            compression_savings: format!("{} characters saved", m.compression_chars_saved.get()),
        },
        savings: Savings {
            cache_hits: hits,
            cache_misses: misses,
            estimated_tokens_saved: tokens_saved,
            estimated_cost_saved: format!("${:.4}", usd(m.saved_nano_usd.get())),
        },
        status: if requests == 0 {
            "Waiting for requests"
        } else {
            "Optimization Active"
        },
        more: more(edge),
    }
}

/// Savings by rule or kind: in how many places, characters and tokens.
fn by(savings: &[Saving], name: fn(&Saving) -> &'static str) -> Value {
    let mut sums: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for saving in savings {
        let [edits, chars, tokens] = sums.entry(name(saving)).or_default();
        *edits += saving.edits;
        *chars += saving.chars;
        *tokens += saving.tokens;
    }
    let sums = sums.into_iter().map(|(name, [edits, chars, tokens])| {
        let sum = json!({"edits": edits, "characters": chars, "tokens": tokens});
        (name.to_owned(), sum)
    });
    Value::Object(sums.collect())
}

fn more(edge: &Edge) -> More {
    let (config, stack) = (&edge.shared.config, &edge.shared.stack);
    let m = &stack.metrics;
    More {
        tokens: json!({
            "prompt": m.prompt_tokens.get(),
            "completion": m.completion_tokens.get(),
            "answers": m.answers.get(),
            "answersWithEstimatedTokens": m.estimated_answers.get(),
            "savedByCache": m.cache_tokens_saved.get(),
            "savedByDedup": m.dedup_tokens_saved.get(),
        }),
        cost: json!({
            "spentUsd": usd(m.cost_nano_usd.get()),
            "savedUsd": usd(m.saved_nano_usd.get()),
        }),
        unpriced_models: m.unpriced_models(),
        compression: json!({
            "level": config.compression.level.to_string(),
            "charactersSaved": m.compression_chars_saved.get(),
            "tokensSaved": m.compression_tokens_saved.get(),
            "vocabulary": "o200k_base",
            "byRule": by(&m.compression(), |saving| saving.rule.as_str()),
            "byKind": by(&m.compression(), |saving| saving.kind.as_str()),
        }),
        cache: json!({
            "enabled": config.cache.enabled,
            "entries": stack.store.len(),
            "bytes": stack.store.bytes(),
            "hits": m.hits.get(),
            "staleHits": m.stale_hits.get(),
            "misses": m.misses.get(),
            "bypasses": m.bypasses.get(),
            "stored": m.stored.get(),
            "refused": m.refused.get(),
            "expired": m.expired.get(),
        }),
        dedup: json!({ "joined": m.joined.get(), "inFlight": stack.flights.len() }),
        upstream: json!({
            "attempts": m.attempts.get(),
            "retries": m.retries.get(),
            "reconnects": m.reconnects.get(),
            "failures": m.failures.get(),
            "clientsGone": m.departed.get(),
        }),
        circuit_breakers: circuits(edge),
    }
}
