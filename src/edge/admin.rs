//! `/api`: what was saved, and clearing the cache.

use std::net::SocketAddr;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use serde_json::{Value, json};

use super::Edge;
use super::dialect::Dialect;
use super::figures::{percent, timestamp, usd};
use super::health::circuits;

/// The address of the client's end of the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// `GET /api/optimization-stats`
pub(super) async fn stats(State(edge): State<Edge>, headers: HeaderMap) -> Response {
    match edge.shared.guard.caller(&headers) {
        Ok(_) => Json(report(&edge)).into_response(),
        Err(error) => Dialect::Native.error(&error),
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
        return Dialect::Native.error(&error);
    }
    let cleared = edge.shared.stack.store.clear();
    tracing::info!(cleared, "cache cleared");
    Json(json!({
        "message": "🧹 Optimization cache cleared successfully",
        "timestamp": timestamp(std::time::SystemTime::now()),
        "cleared": cleared,
    }))
    .into_response()
}

fn report(edge: &Edge) -> Value {
    let stack = &edge.shared.stack;
    let m = &stack.metrics;
    let requests = m.requests.get();
    let tokens = m.prompt_tokens.get() + m.completion_tokens.get();
    let hits = m.hits.get() + m.stale_hits.get();
    let misses = m.misses.get();
    let compressed = m.compression_tokens_saved.get();
    let tokens_saved = m.cache_tokens_saved.get() + m.dedup_tokens_saved.get() + compressed;
    let saved_usd = usd(m.saved_nano_usd.get());
    let store = &stack.store;
    json!({
        "message": "🚀 Pegasus Nest API Optimization Statistics",
        "timestamp": timestamp(std::time::SystemTime::now()),
        "performance": {
            "totalRequests": requests,
            "totalTokens": tokens,
            "averageTokensPerRequest": (tokens + requests / 2).checked_div(requests).unwrap_or(0),
            "cacheHitRate": percent(hits, hits + misses),
            "cacheSize": store.len(),
            "compressionSavings": format!("{} characters saved", m.compression_chars_saved.get()),
        },
        "savings": {
            "cacheHits": hits,
            "cacheMisses": misses,
            "estimatedTokensSaved": tokens_saved,
            "estimatedCostSavings": format!("${saved_usd:.4}"),
        },
        "status": if requests == 0 { "Waiting for requests" } else { "Optimization Active" },
        "tokens": {
            "prompt": m.prompt_tokens.get(),
            "completion": m.completion_tokens.get(),
            "answers": m.answers.get(),
            "answersWithEstimatedTokens": m.estimated_answers.get(),
            "savedByCache": m.cache_tokens_saved.get(),
            "savedByDedup": m.dedup_tokens_saved.get(),
            "savedByCompression": { "tokens": compressed, "estimated": true },
        },
        "cost": {
            "spentUsd": usd(m.cost_nano_usd.get()),
            "savedUsd": saved_usd,
            "unpricedModels": m.unpriced_models(),
        },
        "unpricedModels": m.unpriced_models(),
        "compression": {
            "level": edge.shared.config.compression.level.to_string(),
            "charactersSaved": m.compression_chars_saved.get(),
            "tokensSaved": compressed,
        },
        "cache": {
            "enabled": edge.shared.config.cache.enabled,
            "entries": store.len(),
            "bytes": store.bytes(),
            "hits": m.hits.get(),
            "staleHits": m.stale_hits.get(),
            "misses": misses,
            "bypasses": m.bypasses.get(),
            "stored": m.stored.get(),
            "refused": m.refused.get(),
            "expired": m.expired.get(),
        },
        "dedup": { "joined": m.joined.get(), "inFlight": stack.flights.len() },
        "upstream": {
            "attempts": m.attempts.get(),
            "retries": m.retries.get(),
            "reconnects": m.reconnects.get(),
            "failures": m.failures.get(),
            "clientsGone": m.departed.get(),
        },
        "circuitBreakers": circuits(edge),
    })
}
