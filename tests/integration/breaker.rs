//! An upstream that keeps failing is left alone for a while, then tried with a single call.

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::support::{
    Act, End, Gate, Proxy, Upstream, ask, ask_stream, delta, event, finish, within,
};

mod verdicts;

/// Opens after three failures and stays so for longer than any test.
const STRICT: &str = "breaker.failure_threshold = 3\nretry.max_attempts = 1\n";

async fn start(settings: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(&format!("{STRICT}{settings}"), &upstream).await;
    (upstream, proxy)
}

/// Fails three times, each time with another question.
async fn trip(upstream: &Upstream, proxy: &Proxy, failure: Act) {
    upstream.set(failure);
    for number in 0..3 {
        let answer = proxy.chat(&ask(&format!("trip {number}"))).await;
        assert!(answer.status >= 500, "{answer:?}");
        assert_ne!(answer.header("retry-after"), "60");
    }
}

#[tokio::test]
async fn an_open_circuit_answers_by_itself() {
    let failures = [
        Act::error(500, &[]),
        Act::only(End::Close),
        Act::only(End::Reset),
        Act::response(200, &[("content-type", "text/html")], "<html>"),
    ];
    for failure in failures {
        let (upstream, proxy) = start("").await;
        trip(&upstream, &proxy, failure).await;
        let calls = upstream.calls();
        for request in [ask("new"), ask_stream("new")] {
            let answer = proxy.chat(&request).await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.json()["error"]["code"], "circuit_open");
            let wait: u32 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
        }
        assert_eq!(upstream.calls(), calls);
    }
}

#[tokio::test]
async fn stored_answers_are_given_while_the_circuit_is_open() {
    let (upstream, proxy) = start("").await;
    proxy.chat(&ask("known")).await;
    trip(&upstream, &proxy, Act::error(500, &[])).await;
    let hit = proxy.chat(&ask("known")).await;
    assert_eq!((hit.status, hit.header("x-cache")), (200, "HIT"));
}

#[tokio::test]
async fn timeouts_and_broken_streams_count() {
    let timeouts = "upstream.total_timeout = \"50ms\"\nupstream.read_timeout = \"50ms\"";
    let (upstream, proxy) = start(timeouts).await;
    trip(&upstream, &proxy, Act::only(End::Silence)).await;
    assert_eq!(state(&proxy).await, "OPEN");

    let (upstream, proxy) = start("").await;
    upstream.set(Act::stream().chunk(event(&delta("Once"))).then(End::Close));
    for number in 0..3 {
        let request = ask_stream(&number.to_string());
        proxy.stream(&request).await.all().await;
    }
    assert_eq!(state(&proxy).await, "OPEN");
    assert_eq!(proxy.chat(&ask("new")).await.status, 503);
}

#[tokio::test]
async fn only_failures_in_a_row_count() {
    let (upstream, proxy) = start("").await;
    for number in 0..6 {
        let fails = number % 3 != 2;
        upstream.once(if fails {
            Act::error(500, &[])
        } else {
            Act::says("fine")
        });
        let status = proxy.chat(&ask(&number.to_string())).await.status;
        assert_eq!(status, if fails { 500 } else { 200 });
    }
    assert_eq!(proxy.chat(&ask("last")).await.status, 200);
}

#[tokio::test]
async fn a_call_that_a_retry_saved_is_healthy() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("breaker.failure_threshold = 1", &upstream).await;
    for number in 0..5 {
        upstream.once(Act::error(500, &[]));
        assert_eq!(proxy.chat(&ask(&number.to_string())).await.status, 200);
    }
}

#[tokio::test]
async fn refusals_and_limits_never_trip_it() {
    for status in [400, 401, 403, 404, 409, 413, 422, 429] {
        let (upstream, proxy) = start("").await;
        upstream.set(Act::error(status, &[]));
        for number in 0..6 {
            let answer = proxy.chat(&ask(&number.to_string())).await;
            assert_eq!(answer.status, status);
        }
        assert_eq!(upstream.calls(), 6);
    }
}

#[tokio::test]
async fn clients_that_leave_never_trip_it() {
    let (upstream, proxy) = start("").await;
    let proxy = Arc::new(proxy);
    upstream.set(Act::only(End::Silence));
    for number in 0..6 {
        let caller = Arc::clone(&proxy);
        let call = tokio::spawn(async move { caller.chat(&ask(&number.to_string())).await });
        upstream
            .wait_for("the call", |counts| counts.calls == number + 1)
            .await;
        call.abort();
        upstream
            .wait_for("the hang-up", |counts| counts.hang_ups == number + 1)
            .await;
    }
    upstream.set(Act::says("fine"));
    assert_eq!(proxy.chat(&ask("q")).await.status, 200);
}

#[tokio::test]
async fn each_model_has_a_circuit_of_its_own() {
    let (upstream, proxy) = start("").await;
    trip(&upstream, &proxy, Act::error(500, &[])).await;
    upstream.set(Act::says("fine"));
    assert_eq!(proxy.chat(&ask("q")).await.status, 503);
    let mut other = ask("q");
    other["model"] = "another".into();
    assert_eq!(proxy.chat(&other).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_lets_exactly_one_probe_pass_and_its_success_closes() {
    let (upstream, proxy) = start("breaker.open_for = \"1ms\"").await;
    trip(&upstream, &proxy, Act::error(500, &[])).await;
    let gate = Gate::new();
    upstream.set(Act::says("fine").after(&gate));
    let before = upstream.calls();
    let proxy = Arc::new(proxy);
    // Whoever comes first may find the circuit still open; then the next one is the probe.
    let mut callers = JoinSet::new();
    for number in 0..50 {
        let proxy = Arc::clone(&proxy);
        callers.spawn(async move { proxy.chat(&ask(&format!("probe {number}"))).await.status });
    }
    let mut rejected = 0;
    while rejected < 49 {
        let status = within("a rejection", callers.join_next()).await.unwrap();
        assert_eq!(status.unwrap(), 503);
        rejected += 1;
    }
    assert_eq!(upstream.calls(), before + 1);
    assert_eq!(state(&proxy).await, "HALF_OPEN");
    gate.open();
    let status = within("the probe", callers.join_next()).await.unwrap();
    assert_eq!(status.unwrap(), 200);
    assert_eq!(state(&proxy).await, "CLOSED");
    assert_eq!(proxy.chat(&ask("after")).await.status, 200);
}

#[tokio::test]
async fn a_probe_that_fails_opens_again_and_one_that_leaves_gives_its_place_back() {
    let (upstream, proxy) = start("breaker.open_for = \"1ms\"").await;
    trip(&upstream, &proxy, Act::error(500, &[])).await;
    // The circuit is half-open for whoever comes after its millisecond; it may take a few calls.
    let proxy = Arc::new(proxy);
    let before = upstream.calls();
    upstream.once(Act::error(500, &[]));
    while upstream.calls() == before {
        assert!(proxy.chat(&ask("probe")).await.status >= 500);
    }
    assert_eq!(state(&proxy).await, "OPEN");

    upstream.set(Act::only(End::Silence));
    let caller = Arc::clone(&proxy);
    let leaver =
        tokio::spawn(async move { while caller.chat(&ask("leaver")).await.status == 503 {} });
    upstream
        .wait_for("the second probe", |counts| counts.busy == 1)
        .await;
    leaver.abort();
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
    upstream.set(Act::says("fine"));
    within("the recovery", async {
        while proxy.chat(&ask("q")).await.status != 200 {}
    })
    .await;
    assert_eq!(state(&proxy).await, "CLOSED");
}

#[tokio::test]
async fn a_stream_that_ends_well_closes_a_half_open_circuit() {
    let (upstream, proxy) = start("breaker.open_for = \"1ms\"").await;
    trip(&upstream, &proxy, Act::error(500, &[])).await;
    let act = Act::stream()
        .chunk(event(&delta("Hi.")))
        .chunk(event(&finish("stop")) + &event("[DONE]"))
        .last_chunk();
    upstream.set(act);
    within("the probe", async {
        while proxy.chat(&ask_stream("q")).await.status != 200 {}
    })
    .await;
    assert_eq!(state(&proxy).await, "CLOSED");
}

/// The state of model `m`'s circuit.
async fn state(proxy: &Proxy) -> String {
    let health = proxy.get("/health/circuit-breakers").await.json();
    let text = health.to_string();
    let all = health["circuitBreakers"].as_array();
    let circuit = all.and_then(|all| all.iter().find(|one| one["name"].to_string().contains('m')));
    let state = circuit.and_then(|circuit| circuit["state"].as_str());
    state.unwrap_or(&text).to_owned()
}
