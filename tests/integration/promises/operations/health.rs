//! P91: health is told however busy it is, and liveness is about the process alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Act, End, Gate, Upstream, refusing, within};

const PATHS: [&str; 5] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/health/detailed",
    "/health/circuit-breakers",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p91_health_is_told_with_250_calls_in_flight() {
    let upstream = Upstream::start().await;
    let settings = "[upstream]\nmax_connections_per_host = 250\n";
    let nest = Nest::with(&upstream, settings).await;
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| request.answer("Hello.").after(&behind));
    // Clients of their own, so that health has no connection ready that others opened.
    let mut held = JoinSet::new();
    let crowd = Arc::new(crate::support::Client::new(nest.address));
    for number in 0..250 {
        let crowd = Arc::clone(&crowd);
        let (path, body) = asking(&format!("held {number}"), number % 2 == 0)
            .into_iter()
            .nth(number % 3)
            .unwrap();
        held.spawn(async move { (path, crowd.post(path, &body, &[]).await) });
    }
    upstream
        .wait_for("250 calls", |counts| counts.busy == 250)
        .await;

    let mut nest = nest;
    let before = nest.process().cpu_time();
    for _ in 0..40 {
        for path in PATHS {
            let answer = nest.get(path).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
        }
    }
    let cost = nest.process().cpu_time().saturating_sub(before) / 200;
    assert!(cost < Duration::from_millis(10), "{cost:?} for an answer");
    assert_eq!(upstream.counts().busy, 250, "all of them are still held");
    gate.open();
    for (path, answer) in within("the held ones", held.join_all()).await {
        said(path, &answer);
    }
}

#[tokio::test]
async fn p91_liveness_and_readiness_do_not_depend_on_the_upstream() {
    let (_nobody, address) = refusing();
    let refusing = format!("http://{address}/v1");
    let silent = Upstream::start().await;
    silent.set(Act::only(End::Silence));
    let frozen = format!("http://{}/v1", silent.address);
    let settings = "[retry]\nmax_attempts = 1\n[breaker]\nfailure_threshold = 1\n[upstream]\nread_timeout = \"100ms\"\n";
    for url in [refusing.as_str(), "http://nowhere.invalid/v1", &frozen] {
        let nest = Nest::before(url, settings, &[]).await;
        for path in PATHS {
            assert_eq!(
                nest.get(path).await.status,
                200,
                "{url}, {path}: before anybody asked"
            );
        }
        for (path, body) in asking("Anybody there?", false) {
            let answer = nest.post(path, &body, &[]).await;
            assert!(answer.status >= 500, "{url}, {path}: {answer:?}");
        }
        for path in PATHS {
            assert_eq!(
                nest.get(path).await.status,
                200,
                "{url}, {path}: circuits open"
            );
        }
        assert_eq!(
            nest.get("/health").await.json()["status"],
            "degraded",
            "{url}: and it is said"
        );
        assert_eq!(
            nest.get("/health/live").await.json()["status"],
            "ok",
            "{url}"
        );
    }
}
