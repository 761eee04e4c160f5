//! Past its life an answer still stands in for an upstream that fails.

use super::{Act, End, Proxy, SHAPES, ask, start, text_and_source};

/// Every answer is soon past its life.
const SHORT: &str = "cache.ttl = \"1ms\"\nretry.max_attempts = 1\n";

/// Asks until the stored answer is past its life: then there is none for those who take no other.
async fn expire(proxy: &Proxy) {
    let control = [("cache-control", "only-if-cached")];
    while proxy.chat_with(&ask("q"), &control).await.status != 504 {}
}

#[tokio::test]
async fn a_stale_answer_stands_in_for_every_kind_of_failure() {
    let failures = [
        Act::error(500, &[]),
        Act::error(503, &[]),
        Act::response(502, &[("content-type", "text/html")], "<html>"),
        Act::only(End::Close),
        Act::only(End::Reset),
        Act::bytes("nonsense\r\n\r\n"),
        Act::response(200, &[("content-type", "application/json")], "{}"),
    ];
    let (upstream, proxy) = start(&format!("{SHORT}breaker.enabled = false")).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    for (at, failure) in failures.into_iter().enumerate() {
        upstream.set(failure);
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(
            (answer.status, answer.header("x-cache")),
            (200, "STALE"),
            "failure {at}"
        );
        assert_eq!(answer.text(), "Hello.");
        let status = answer.header("cache-status");
        assert!(status.starts_with("pegasus-nest; "), "{status}");
        assert!(status.contains("fwd=stale"), "{status}");
        assert!(answer.header("age").parse::<u32>().is_ok());
    }
    upstream.set(Act::says("new"));
    let fresh = proxy.chat(&ask("q")).await;
    assert_eq!(
        (fresh.text().as_str(), fresh.header("x-cache")),
        ("new", "MISS")
    );
}

#[tokio::test]
async fn a_stale_answer_comes_in_either_shape() {
    for (first, second) in SHAPES {
        let (upstream, proxy) = start(SHORT).await;
        text_and_source(&proxy, "q", first).await;
        expire(&proxy).await;
        upstream.set(Act::error(500, &[]));
        let stale = text_and_source(&proxy, "q", second).await;
        assert_eq!(stale, ("Hello.".to_owned(), "STALE".to_owned()));
    }
}

#[tokio::test]
async fn an_open_circuit_answers_from_stale_entries_without_a_call() {
    let settings = format!("{SHORT}breaker.failure_threshold = 2");
    let (upstream, proxy) = start(&settings).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    upstream.set(Act::error(500, &[]));
    for prompt in ["a", "b"] {
        assert_eq!(proxy.chat(&ask(prompt)).await.status, 500);
    }
    let calls = upstream.calls();
    let stale = proxy.chat(&ask("q")).await;
    assert_eq!((stale.status, stale.header("x-cache")), (200, "STALE"));
    assert_eq!(proxy.chat(&ask("c")).await.status, 503);
    assert_eq!(upstream.calls(), calls);
}

#[tokio::test]
async fn the_clients_own_mistakes_are_not_hidden() {
    let (upstream, proxy) = start(SHORT).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    for status in [400, 404, 429] {
        upstream.set(Act::error(status, &[]));
        assert_eq!(proxy.chat(&ask("q")).await.status, status);
    }
}

#[tokio::test]
async fn no_stale_answer_where_it_is_not_wanted() {
    let settings = format!("{SHORT}cache.stale_if_error = \"0s\"");
    let (upstream, proxy) = start(&settings).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    upstream.set(Act::error(500, &[]));
    assert_eq!(proxy.chat(&ask("q")).await.status, 500);

    let (upstream, proxy) = start(SHORT).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    upstream.set(Act::error(500, &[]));
    let fresh_only = [("cache-control", "no-cache")];
    assert_eq!(proxy.chat_with(&ask("q"), &fresh_only).await.status, 500);
}

#[tokio::test]
async fn who_takes_stale_answers_gets_them_without_a_call() {
    let (upstream, proxy) = start(SHORT).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    for directives in [
        "max-stale",
        "max-stale=3600, max-age=60",
        "max-stale, only-if-cached",
    ] {
        let control = [("cache-control", directives)];
        let stale = proxy.chat_with(&ask("q"), &control).await;
        assert_eq!(
            (stale.status, stale.header("x-cache")),
            (200, "STALE"),
            "{directives}"
        );
        assert!(stale.header("age").parse::<u32>().is_ok());
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn who_sets_a_bound_gets_no_stale_answer_even_from_a_failing_upstream() {
    let (upstream, proxy) = start(SHORT).await;
    proxy.chat(&ask("q")).await;
    expire(&proxy).await;
    upstream.set(Act::error(500, &[]));
    for directives in ["max-age=3600", "min-fresh=0", "max-stale, min-fresh=1"] {
        let control = [("cache-control", directives)];
        let failed = proxy.chat_with(&ask("q"), &control).await;
        assert_eq!(failed.status, 500, "{directives}");
    }
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "STALE");
}
