//! `/health`: what load balancers and monitors read.

use serde_json::{Value, json};

use super::{ask_model, is_timestamp, stats};
use crate::support::{Act, Proxy, Upstream, ask};

#[tokio::test]
async fn health_has_the_shapes_that_monitors_read() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    proxy.chat(&ask("hi")).await;
    let health = proxy.get("/health").await.json();
    assert_eq!(health["status"], "ok");
    assert!(
        is_timestamp(&health["timestamp"]) && health["message"].is_string(),
        "{health}"
    );
    assert_eq!(proxy.get("/health/live").await.json()["status"], "ok");
    assert_eq!(proxy.get("/health/ready").await.json()["status"], "ready");

    let body = proxy.get("/health/detailed").await.json();
    assert_eq!(body["status"], "ok");
    assert!(
        is_timestamp(&body["timestamp"]) && body["message"].is_string(),
        "{body}"
    );
    assert!(
        body["uptime"].is_number() && body["environment"].is_string(),
        "{body}"
    );
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    let system = &body["system"];
    assert!(
        system["platform"].is_string() && system["arch"].is_string(),
        "{body}"
    );
    assert_eq!(system["pid"], std::process::id());
    let memory = [&body["memory"]["rss"], &body["memory"]["heapUsed"]].map(|v| v.as_u64().unwrap());
    assert!(memory[0] >= memory[1] && memory[1] > 100_000, "{body}");
    for section in ["upstream", "cache", "redis"] {
        assert!(body[section].is_object(), "{section}: {body}");
    }
    let breakers = body["circuitBreakers"].as_array().unwrap();
    assert_eq!(breakers.len(), 1, "{body}");
    assert_eq!(breakers[0]["state"], "CLOSED");
}

#[tokio::test]
async fn circuit_breakers_tell_their_states() {
    let upstream = Upstream::start().await;
    let settings =
        "[retry]\nmax_attempts = 1\n[breaker]\nfailure_threshold = 2\nopen_for = \"10m\"";
    let proxy = Proxy::start(settings, &upstream).await;
    proxy.chat(&ask_model("good", "hi")).await;
    upstream.set(Act::error(500, &[]));
    for (failures, state) in [(1, "CLOSED"), (2, "OPEN")] {
        proxy.chat(&ask_model("bad", &format!("{failures}"))).await;
        let body = proxy.get("/health/circuit-breakers").await.json();
        let breakers = body["circuitBreakers"].as_array().unwrap();
        let named = |model: &str| {
            let is_it = |breaker: &&Value| breaker["name"].as_str().unwrap().contains(model);
            breakers
                .iter()
                .find(is_it)
                .unwrap_or_else(|| panic!("{model} in {body}"))
        };
        let (good, bad) = (named("good"), named("bad"));
        assert_eq!(
            (&good["state"], &good["failureCount"]),
            (&json!("CLOSED"), &json!(0))
        );
        assert!(good["lastFailureTime"].is_null() && good["nextAttemptTime"].is_null());
        assert_eq!(
            (&bad["state"], &bad["failureCount"]),
            (&json!(state), &json!(failures))
        );
        assert!(is_timestamp(&bad["lastFailureTime"]), "{bad}");
        assert_eq!(
            is_timestamp(&bad["nextAttemptTime"]),
            state == "OPEN",
            "{bad}"
        );
        let expected = if state == "OPEN" { "degraded" } else { "ok" };
        for path in ["/health", "/health/detailed", "/health/circuit-breakers"] {
            assert_eq!(proxy.get(path).await.json()["status"], expected, "{path}");
        }
    }
    // Alive and ready nevertheless: the cache and other models still answer.
    assert_eq!(proxy.get("/health/live").await.status, 200);
    assert_eq!(proxy.get("/health/ready").await.status, 200);
    let body = stats(&proxy).await;
    assert_eq!(body["circuitBreakers"].as_array().unwrap().len(), 2);
}
