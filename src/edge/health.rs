//! `/health`: for load balancers, orchestrators and people. Asks nobody, so that it always answers.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Edge;
use super::document::Open;
use super::figures::timestamp;

/// How the proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Condition {
    Ok,
    Degraded,
    Down,
}

/// How the proxy is, in short.
#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    status: Condition,
    message: String,
    #[schema(format = DateTime)]
    timestamp: String,
}

/// The process answers.
#[derive(Serialize, ToSchema)]
pub(super) struct Liveness {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Whether new requests should come here.
#[derive(Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `draining`
    #[schema(example = "ready")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// All circuit breakers.
#[derive(Serialize, ToSchema)]
pub(super) struct CircuitBreakers {
    status: Condition,
    message: String,
    #[schema(format = DateTime)]
    timestamp: String,
    #[serde(rename = "circuitBreakers")]
    circuits: Vec<CircuitBreaker>,
}

/// The circuit breaker of one upstream and model.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CircuitBreaker {
    name: String,
    /// `CLOSED`, `OPEN` or `HALF_OPEN`
    #[schema(example = "CLOSED")]
    state: &'static str,
    failure_count: u32,
    #[schema(required, format = DateTime)]
    last_failure_time: Option<String>,
    #[schema(required, format = DateTime)]
    next_attempt_time: Option<String>,
}

/// How the proxy is, at length.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Details {
    status: Condition,
    message: String,
    #[schema(format = DateTime)]
    timestamp: String,
    /// Seconds since the start.
    uptime: u64,
    version: &'static str,
    environment: &'static str,
    system: System,
    memory: Memory,
    /// What the process holds at present.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    resources: Value,
    circuit_breakers: Vec<CircuitBreaker>,
    upstream: Upstream,
    cache: Cache,
    /// The second tier: `configured`, and how it does where it is.
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    redis: Value,
}

/// What the proxy runs on.
#[derive(Serialize, ToSchema)]
struct System {
    platform: &'static str,
    arch: &'static str,
    pid: u32,
}

/// Bytes in memory.
#[derive(Serialize, ToSchema)]
struct Memory {
    rss: u64,
    #[serde(rename = "heapUsed")]
    heap_used: u64,
}

/// Who is asked.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Upstream {
    base_url: String,
    own_key: bool,
    attempts: u64,
}

/// What the cache holds, and may hold.
#[derive(Serialize, ToSchema)]
#[schema(as = CacheUse)]
#[serde(rename_all = "camelCase")]
struct Cache {
    enabled: bool,
    entries: u64,
    max_entries: u64,
    bytes: u64,
    max_bytes: u64,
}

/// Health, in short
///
/// Asks nobody. `degraded` where circuits are not closed or Redis does not answer, `down` while draining.
#[utoipa::path(get, path = "/health", tag = "operations", operation_id = "health",
    responses((status = 200, description = "How the proxy is.", body = Health), Open))]
pub(super) async fn summary(State(edge): State<Edge>) -> Json<Health> {
    let (status, message) = edge.condition();
    Json(Health {
        status,
        message,
        timestamp: timestamp(SystemTime::now()),
    })
}

/// Liveness
///
/// The process answers, whatever becomes of the upstream.
#[utoipa::path(get, path = "/health/live", tag = "operations", operation_id = "health_live",
    responses((status = 200, description = "The process answers.", body = Liveness), Open))]
pub(super) async fn live() -> Json<Liveness> {
    Json(Liveness { status: "ok" })
}

/// Readiness
///
/// Whether new requests should come here.
#[utoipa::path(get, path = "/health/ready", tag = "operations", operation_id = "health_ready",
    responses(
        (status = 200, description = "They should.", body = Readiness),
        (status = 503, description = "The proxy is shutting down: send requests elsewhere.", body = Readiness),
        Open,
    ))]
pub(super) async fn ready(State(edge): State<Edge>) -> Response {
    if edge.is_draining() {
        let body = Readiness {
            status: "draining",
            message: Some("shutting down; send requests elsewhere"),
        };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    let body = Readiness {
        status: "ready",
        message: None,
    };
    Json(body).into_response()
}

/// Circuit breakers
#[utoipa::path(get, path = "/health/circuit-breakers", tag = "operations", operation_id = "health_circuit_breakers",
    responses((status = 200, description = "All of them.", body = CircuitBreakers), Open))]
pub(super) async fn circuit_breakers(State(edge): State<Edge>) -> Json<CircuitBreakers> {
    let (status, message) = edge.condition();
    Json(CircuitBreakers {
        status,
        message,
        timestamp: timestamp(SystemTime::now()),
        circuits: circuits(&edge),
    })
}

/// Health, at length
#[utoipa::path(get, path = "/health/detailed", tag = "operations", operation_id = "health_detailed",
    responses((status = 200, description = "How the proxy and its parts are.", body = Details), Open))]
pub(super) async fn detailed(State(edge): State<Edge>) -> Json<Details> {
    let (status, message) = edge.condition();
    let resources = edge.resources();
    let shared = &edge.shared;
    let (config, stack) = (&shared.config, &shared.stack);
    Json(Details {
        status,
        message,
        timestamp: timestamp(SystemTime::now()),
        uptime: shared.started.elapsed().as_secs(),
        version: env!("CARGO_PKG_VERSION"),
        environment: if cfg!(debug_assertions) {
            "development"
        } else {
            "production"
        },
        system: System {
            platform: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            pid: std::process::id(),
        },
        resources: resources.to_json(&edge),
        memory: Memory {
            rss: resources.resident_bytes,
            heap_used: resources.heap_bytes,
        },
        circuit_breakers: circuits(&edge),
        upstream: Upstream {
            base_url: config.upstream.base_url.clone(),
            own_key: config.upstream.api_key.is_some(),
            attempts: stack.metrics.attempts.get(),
        },
        cache: Cache {
            enabled: config.cache.enabled,
            entries: stack.store.memory.len(),
            max_entries: config.cache.max_entries,
            bytes: stack.store.memory.bytes(),
            max_bytes: config.cache.max_bytes,
        },
        redis: redis(&edge),
    })
}

impl Edge {
    pub(super) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    fn condition(&self) -> (Condition, String) {
        if self.is_draining() {
            return (Condition::Down, "shutting down".into());
        }
        let circuits = self.shared.stack.circuits.snapshot();
        let broken = circuits
            .iter()
            .filter(|circuit| circuit.state != "CLOSED")
            .count();
        let redis = self.shared.stack.store.redis();
        match broken {
            0 if redis.is_some_and(|redis| redis.state == "off") => (
                Condition::Degraded,
                "redis does not answer: this instance caches for itself".into(),
            ),
            0 => (Condition::Ok, "everything works".into()),
            n => (
                Condition::Degraded,
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
pub(super) fn circuits(edge: &Edge) -> Vec<CircuitBreaker> {
    let now = SystemTime::now();
    let describe = |circuit: &crate::layers::breaker::Snapshot| CircuitBreaker {
        name: circuit.name.clone(),
        state: circuit.state,
        failure_count: circuit.failure_count,
        last_failure_time: circuit.last_failure.map(timestamp),
        next_attempt_time: circuit.next_attempt_in.map(|wait| timestamp(now + wait)),
    };
    edge.shared
        .stack
        .circuits
        .snapshot()
        .iter()
        .map(describe)
        .collect()
}
