//! Batches before a leaf that does as it is told, on a clock that the tests move.

use std::sync::Arc;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::util::service_fn;

use super::*;
use crate::chat::Usage;
use crate::config::Config;
use crate::metering::Metrics;
use crate::reply::{Head, Provenance, Reply, Whole, Worth};
use crate::request::ProxyRequest;
use crate::stack;

/// Sends prompts through a stack whose leaf panics at some, and takes twenty seconds for all others.
async fn send(prompts: &[&str], settings: &str) -> Value {
    let leaf = service_fn(async |request: ProxyRequest| {
        let body = request.body();
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(!text.contains("seeded"), "seeded");
        sleep(Duration::from_secs(20)).await;
        let body = json!({"choices": [{"message": {"content": "said"}, "finish_reason": "stop"}]});
        Ok(Reply::Whole(Whole {
            head: Head {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                provenance: Provenance::Miss { stored: false },
            },
            body: body.to_string().into(),
            answer: Some(Worth::from(Usage::estimated(1, 4))),
        }))
    });
    let config = Config::from_toml(settings).unwrap();
    let stack = stack::over(&config, Arc::new(Metrics::default()), leaf);
    let requests: Vec<_> = prompts
        .iter()
        .map(|prompt| json!({"prompt": prompt}))
        .collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/create/batch")
        .header(header::HOST, "a")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(json!({"requests": requests}).to_string()));
    let front = Edge::new(config, stack).front();
    let response = front.answer(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

fn statuses(told: &Value) -> Vec<u64> {
    let responses = told["responses"].as_array().unwrap();
    let statuses = responses.iter().map(|one| one["status"].as_u64().unwrap());
    statuses.collect()
}

#[tokio::test(start_paused = true)]
async fn a_panic_takes_one_question_and_no_other() {
    for settings in ["", "dedup.enabled = false"] {
        let told = send(&["a", "seeded", "b", "seeded"], settings).await;
        assert_eq!(statuses(&told), [200, 500, 200, 500], "{told}");
        assert_eq!(told["responses"][1]["code"], "internal_error");
        assert!(!told.to_string().contains("seeded"));
    }
}

/// A batch takes as long as it takes: each request has all of its time from when it begins.
#[tokio::test(start_paused = true)]
async fn each_request_has_a_deadline_of_its_own() {
    let begun = Instant::now();
    let told = send(&["a", "b", "c", "d"], "batch.concurrency = 1").await;
    assert_eq!(statuses(&told), [200; 4], "{told}");
    assert!(begun.elapsed() >= Duration::from_secs(80));
    assert_eq!(
        told["responses"][3]["optimizationStats"]["processingTime"],
        "20.0s"
    );
    assert_eq!(told["optimizationStats"]["processingTime"], "80.0s");
}
