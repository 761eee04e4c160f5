//! Load shedding: whoever is too much learns it at once, and it costs little.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::Nest;
use super::super::service::{asking, is_described, said};
use super::ask_many;
use crate::support::{Client, Gate, Upstream, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p62_beyond_max_in_flight_the_answer_is_503_at_once() {
    let upstream = Upstream::start().await;
    let mut nest = Nest::with(&upstream, "[server]\nmax_in_flight = 20\n").await;
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    let client = Arc::new(Client::new(nest.address));
    let mut held = JoinSet::new();
    for number in 0..20 {
        let client = Arc::clone(&client);
        let bodies = asking(&format!("held {number}"), number % 2 == 0);
        let (path, body) = bodies.into_iter().nth(number % 3).unwrap();
        held.spawn(async move { (path, client.post(path, &body, &[]).await) });
    }
    upstream
        .wait_for("the held ones", |counts| counts.busy == 20)
        .await;

    let (before, begun) = (nest.process().cpu_time(), Instant::now());
    for answer in ask_many(&nest, "too much", 300, 30).await {
        assert_eq!(answer.status, 503, "{answer:?}");
        let wait: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&wait), "{answer:?}");
        let path = if answer.json()["success"].is_null() {
            "/v1"
        } else {
            "/create"
        };
        assert!(is_described(path, &answer), "{answer:?}");
    }
    let cost = nest.process().cpu_time().saturating_sub(before) / 300;
    assert!(cost < Duration::from_millis(5), "{cost:?} for a refusal");
    // Nobody is kept waiting either: a tenth of a second each would be ten times this, thirty at a time or not.
    let each = begun.elapsed() / 300;
    assert!(each < Duration::from_millis(50), "{each:?} until a refusal");
    let counts = upstream.counts();
    assert_eq!(
        (counts.calls, counts.busy),
        (20, 20),
        "the held ones are still held"
    );
    for path in [
        "/health",
        "/health/live",
        "/health/ready",
        "/api/optimization-stats",
    ] {
        assert_eq!(nest.get(path).await.status, 200, "{path}");
    }

    gate.open();
    for (path, answer) in within("the held ones", held.join_all()).await {
        assert_eq!(said(path, &answer), "Hello.");
    }
    for answer in ask_many(&nest, "room again", 20, 20).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
