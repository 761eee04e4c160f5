//! `/health`: for load balancers, orchestrators and people. Asks nobody, so that it always answers.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Edge;
use super::figures::timestamp;

/// `GET /health`
pub(super) async fn summary(State(edge): State<Edge>) -> Json<Value> {
    let (status, message) = edge.condition();
    Json(json!({"status": status, "message": message, "timestamp": timestamp(SystemTime::now())}))
}

/// `GET /health/live`: the process answers, whatever becomes of the upstream.
pub(super) async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /health/ready`: whether new requests should come here.
pub(super) async fn ready(State(edge): State<Edge>) -> Response {
    if edge.is_draining() {
        let body =
            json!({"status": "draining", "message": "shutting down; send requests elsewhere"});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    Json(json!({"status": "ready"})).into_response()
}

/// `GET /health/circuit-breakers`
pub(super) async fn circuit_breakers(State(edge): State<Edge>) -> Json<Value> {
    let (status, message) = edge.condition();
    Json(json!({
        "status": status,
        "message": message,
        "timestamp": timestamp(SystemTime::now()),
        "circuitBreakers": circuits(&edge),
    }))
}

/// `GET /health/detailed`
pub(super) async fn detailed(State(edge): State<Edge>) -> Json<Value> {
    let (status, message) = edge.condition();
    let resources = edge.resources();
    let shared = &edge.shared;
    let (config, stack) = (&shared.config, &shared.stack);
    Json(json!({
        "status": status,
        "message": message,
        "timestamp": timestamp(SystemTime::now()),
        "uptime": shared.started.elapsed().as_secs(),
        "version": env!("CARGO_PKG_VERSION"),
        "environment": if cfg!(debug_assertions) { "development" } else { "production" },
        "system": {
            "platform": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "pid": std::process::id(),
        },
        "memory": {"rss": resources.resident_bytes, "heapUsed": resources.heap_bytes},
        "resources": resources.to_json(&edge),
        "circuitBreakers": circuits(&edge),
        "upstream": {
            "baseUrl": config.upstream.base_url,
            "ownKey": config.upstream.api_key.is_some(),
            "attempts": stack.metrics.attempts.get(),
        },
        "cache": {
            "enabled": config.cache.enabled,
            "entries": stack.store.memory.len(),
            "maxEntries": config.cache.max_entries,
            "bytes": stack.store.memory.bytes(),
            "maxBytes": config.cache.max_bytes,
        },
        "redis": redis(&edge),
    }))
}

impl Edge {
    fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    fn condition(&self) -> (&'static str, String) {
        if self.is_draining() {
            return ("down", "shutting down".into());
        }
        let circuits = self.shared.stack.circuits.snapshot();
        let broken = circuits
            .iter()
            .filter(|circuit| circuit.state != "CLOSED")
            .count();
        let redis = self.shared.stack.store.redis();
        match broken {
            0 if redis.is_some_and(|redis| redis.state == "off") => (
                "degraded",
                "redis does not answer: this instance caches for itself".into(),
            ),
            0 => ("ok", "everything works".into()),
            n => (
                "degraded",
                format!(
                    "{n} of {} circuits not closed: the upstream fails",
                    circuits.len()
                ),
            ),
        }
    }
}

/// The second tier as operators read it.
fn redis(edge: &Edge) -> Value {
    let health = edge.shared.stack.store.redis();
    let mut described = health.map_or_else(|| json!({}), |health| json!(health));
    described["configured"] = edge.shared.config.cache.redis.is_some().into();
    described
}

/// All circuit breakers as operators read them.
pub(super) fn circuits(edge: &Edge) -> Vec<Value> {
    let now = SystemTime::now();
    let describe = |circuit: &crate::layers::breaker::Snapshot| {
        json!({
            "name": circuit.name,
            "state": circuit.state,
            "failureCount": circuit.failure_count,
            "lastFailureTime": circuit.last_failure.map(timestamp),
            "nextAttemptTime": circuit.next_attempt_in.map(|wait| timestamp(now + wait)),
        })
    };
    edge.shared
        .stack
        .circuits
        .snapshot()
        .iter()
        .map(describe)
        .collect()
}
