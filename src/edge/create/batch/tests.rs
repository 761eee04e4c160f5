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

/// An edge whose leaf panics at some prompts, and takes twenty seconds to say this to all others.
fn edge(settings: &str, said: &str) -> Edge {
    let said: Arc<str> = said.into();
    let leaf = service_fn(move |request: ProxyRequest| {
        let said = Arc::clone(&said);
        async move {
            let body = request.body();
            let text = String::from_utf8_lossy(&body).into_owned();
            assert!(!text.contains("seeded"), "seeded");
            sleep(Duration::from_secs(20)).await;
            let body =
                json!({"choices": [{"message": {"content": *said}, "finish_reason": "stop"}]});
            Ok(Reply::Whole(Whole {
                head: Head {
                    status: StatusCode::OK,
                    headers: HeaderMap::new(),
                    provenance: Provenance::Miss { stored: false },
                },
                body: body.to_string().into(),
                answer: Some(Worth::from(Usage::estimated(1, 4))),
            }))
        }
    });
    let config = Config::from_toml(settings).unwrap();
    let metrics = Metrics::new(config.metering.prices.clone());
    let stack = stack::over(&config, Arc::new(metrics), leaf);
    Edge::new(config, stack)
}

/// Sends prompts, and gives what comes back piece by piece.
async fn pieces(edge: &Edge, prompts: &[&str], streams: bool) -> Vec<Bytes> {
    let requests: Vec<_> = prompts
        .iter()
        .map(|prompt| json!({"prompt": prompt}))
        .collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/create/batch")
        .header(header::HOST, "a")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(
            json!({"requests": requests, "stream": streams}).to_string(),
        ));
    let response = edge.front().answer(request.unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let mut pieces = Vec::new();
    while let Some(frame) = body.frame().await {
        pieces.extend(frame.unwrap().into_data().ok());
    }
    pieces
}

async fn ask(edge: &Edge, prompts: &[&str]) -> Value {
    serde_json::from_slice(&pieces(edge, prompts, false).await.concat()).unwrap()
}

async fn send(prompts: &[&str], settings: &str) -> Value {
    ask(&edge(settings, "said"), prompts).await
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

/// A process that ends in the midst of a batch gives what there is, and within the time that it has: nobody can ask for the
/// rest there any more.
#[tokio::test(start_paused = true)]
async fn a_process_that_is_about_to_end_begins_nothing_more() {
    let edge = edge("batch.concurrency = 1", "said");
    let begun = Instant::now();
    let end = async {
        sleep(Duration::from_secs(10)).await;
        edge.start_draining();
    };
    let (told, ()) = tokio::join!(ask(&edge, &["a", "b", "a", "c", ""]), end);
    assert_eq!(statuses(&told), [200, 503, 200, 503, 400], "{told}");
    assert_eq!(begun.elapsed(), Duration::from_secs(20));
    let refused = &told["responses"][3];
    assert_eq!(
        (&refused["code"], &refused["retry_after"]),
        (&json!("shutting_down"), &json!("1"))
    );
}

/// An answer is there once, however many get it: it is written for one of them after another, as each is sent away.
#[tokio::test(start_paused = true)]
async fn an_answer_is_written_for_one_at_a_time() {
    let long = "long ".repeat(20_000);
    let pieces = pieces(&edge("", &long), &["a"; 50], true).await;
    let longest = pieces.iter().map(Bytes::len).max().unwrap();
    assert!(longest < long.len() + 4_096, "{longest}");
    let all: usize = pieces.iter().map(Bytes::len).sum();
    assert!(all > 50 * long.len(), "{all}");
}

#[tokio::test(start_paused = true)]
async fn what_there_is_no_room_for_is_not_written_and_yet_paid_for() {
    let edge = edge(
        "upstream.max_response_bytes = \"5KiB\"",
        &"word ".repeat(300),
    );
    // One after another, so that it is the last ones for whom nothing is left.
    let told = ask(&edge, &["a", "a", "b", "c"]).await;
    assert_eq!(statuses(&told), [200, 200, 502, 502], "{told}");
    assert_eq!(told["responses"][3]["code"], "upstream_answer_too_large");
    let cost = |stats: &Value| stats["costUsd"].as_f64().unwrap() * 1e9;
    let one = cost(&told["responses"][0]["optimizationStats"]);
    assert!(one > 0.0, "{told}");
    let all = cost(&told["optimizationStats"]);
    assert!((all - 3.0 * one).abs() < 0.5, "{told}");
    assert_eq!(
        (&told["succeeded"], &told["failed"]),
        (&json!(2), &json!(2))
    );
    // The copies for many are not even made.
    let told = ask(&edge, &["a"; 256]).await;
    assert_eq!(told["failed"], 254);
}
