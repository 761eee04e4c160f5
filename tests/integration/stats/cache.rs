//! What the cache tells of itself, and that it adds up.

use serde_json::Map;

use super::{Act, Gate, Proxy, Upstream, Value, ask, completion, json, stats};
use crate::support::within;

/// The cache's section, checked for its keys, their types and their sums.
async fn section(proxy: &Proxy) -> Value {
    let body = stats(proxy).await;
    let cache = body["cache"].clone();
    assert!(cache["enabled"].is_boolean(), "{cache}");
    for count in [
        "entries",
        "bytes",
        "hits",
        "staleHits",
        "refreshes",
        "misses",
        "bypasses",
        "joined",
        "stored",
        "refused",
        "expired",
        "evicted",
        "replaced",
    ] {
        assert!(cache[count].is_u64(), "{count}: {cache}");
    }
    for (total, parts, names) in [
        ("hits", "hitsByTier", Some(["memory", "redis"].as_slice())),
        (
            "evicted",
            "evictedByReason",
            Some(&["cleared", "expired", "size"]),
        ),
        ("refused", "refusedByReason", None),
    ] {
        let parts = cache[parts].as_object().unwrap();
        assert_eq!(cache[total], sum(parts), "{total}: {cache}");
        if let Some(expected) = names {
            let names: Vec<_> = parts.keys().collect();
            assert_eq!(names, expected);
        }
    }
    let number = |key: &str| cache[key].as_u64().unwrap();
    // Without a second tier or a snapshot, all that was stored is there or has gone in one of these ways.
    let gone = number("evicted") + number("replaced");
    assert_eq!(number("stored"), number("entries") + gone, "{cache}");
    assert_eq!(number("bytes") == 0, number("entries") == 0);
    assert_eq!(body["performance"]["cacheSize"], cache["entries"]);
    let answered = number("hits") + number("staleHits");
    assert_eq!(body["savings"]["cacheHits"], answered);
    assert_eq!(body["savings"]["cacheMisses"], cache["misses"]);
    let all = answered + number("misses") + number("bypasses");
    assert_eq!(body["performance"]["totalRequests"], all, "{body}");
    assert_eq!(body["dedup"]["joined"], cache["joined"]);
    assert_eq!(cache["redis"], Value::Null);
    cache
}

fn sum(counts: &Map<String, Value>) -> u64 {
    counts.values().map(|count| count.as_u64().unwrap()).sum()
}

/// Compares these keys alone.
fn assert_counts(cache: &Value, expected: &Value) {
    for (key, expected) in expected.as_object().unwrap() {
        assert_eq!(&cache[key], expected, "{key}: {cache}");
    }
}

#[tokio::test]
async fn a_new_cache_has_counted_nothing() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let cache = section(&proxy).await;
    let expected = json!({"enabled": true, "entries": 0, "bytes": 0, "hits": 0, "staleHits": 0, "refreshes": 0,
        "misses": 0, "bypasses": 0, "joined": 0, "stored": 0, "refused": 0, "refusedByReason": {}, "expired": 0,
        "evicted": 0, "replaced": 0});
    assert_counts(&cache, &expected);
    let off = Proxy::start("cache.enabled = false", &upstream).await;
    off.chat(&ask("q")).await;
    let cache = section(&off).await;
    assert_counts(
        &cache,
        &json!({"enabled": false, "bypasses": 1, "stored": 0}),
    );
}

#[tokio::test]
async fn what_is_kept_given_and_cleared_is_counted() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("cache.max_entries = 3", &upstream).await;
    for prompt in ["a", "b", "b", "c", "c", "c", "d"] {
        proxy.chat(&ask(prompt)).await;
    }
    let cache = section(&proxy).await;
    let expected = json!({"entries": 3, "hits": 3, "misses": 4, "stored": 4, "evicted": 1});
    assert_counts(&cache, &expected);
    assert_eq!(cache["hitsByTier"], json!({"memory": 3, "redis": 0}));
    assert_eq!(cache["evictedByReason"]["size"], 1);
    assert!(cache["bytes"].as_u64().unwrap() > 3 * 200, "{cache}");

    proxy
        .chat_with(&ask("d"), &[("cache-control", "no-cache")])
        .await;
    proxy
        .chat_with(&ask("e"), &[("cache-control", "no-store")])
        .await;
    let cache = section(&proxy).await;
    let expected = json!({"entries": 3, "bypasses": 2, "stored": 5, "replaced": 1, "evicted": 1});
    assert_counts(&cache, &expected);

    assert_eq!(proxy.get("/api/clear-cache").await.json()["cleared"], 3);
    let cache = section(&proxy).await;
    assert_counts(&cache, &json!({"entries": 0, "bytes": 0, "evicted": 4}));
    assert_eq!(cache["evictedByReason"]["cleared"], 3);
}

#[tokio::test]
async fn what_is_not_kept_is_counted_by_reason() {
    let upstream = Upstream::start().await;
    let settings = "retry.max_attempts = 1\ncache.max_bytes = \"1MiB\"";
    let proxy = Proxy::start(settings, &upstream).await;
    let mut cut = completion("Once upon");
    cut["choices"][0]["finish_reason"] = "length".into();
    upstream.once(Act::json(200, &cut));
    upstream.once(Act::says(""));
    upstream.once(Act::error(400, &[]));
    upstream.once(Act::error(429, &[]));
    upstream.once(Act::says(&"long ".repeat(300_000)));
    for prompt in ["a", "b", "c", "d", "e"] {
        proxy.chat(&ask(prompt)).await;
    }
    let gate = Gate::new();
    upstream.once(Act::says("old").after(&gate));
    let request = ask("f");
    let clearing = async {
        upstream
            .wait_for("the call", |counts| counts.calls == 6)
            .await;
        proxy.get("/api/clear-cache").await;
        gate.open();
    };
    tokio::join!(proxy.chat(&request), clearing);
    let cache = section(&proxy).await;
    let reasons = json!({"length": 1, "empty": 1, "error": 2, "too_large": 1, "cleared": 1});
    assert_eq!(cache["refusedByReason"], reasons, "{cache}");
    assert_counts(&cache, &json!({"misses": 6, "stored": 0, "entries": 0}));
}

#[tokio::test]
async fn joined_calls_are_misses() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let gate = Gate::new();
    upstream.once(Act::says("Hello.").after(&gate));
    let question = ask("q");
    let opening = async {
        while stats(&proxy).await["performance"]["totalRequests"] != 3 {
            tokio::task::yield_now().await;
        }
        gate.open();
    };
    tokio::join!(
        proxy.chat(&question),
        proxy.chat(&question),
        proxy.chat(&question),
        opening
    );
    let cache = section(&proxy).await;
    // A caller that came late was given what had landed.
    let late = cache["hits"].as_u64().unwrap();
    assert_counts(
        &cache,
        &json!({"misses": 3 - late, "joined": 2 - late, "stored": 1}),
    );
}

/// Waits until the cache says this; what goes on meanwhile need not add up.
async fn until(proxy: &Proxy, key: &str, count: u64) {
    within("the cache", async {
        while stats(proxy).await["cache"][key] != count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn stale_answers_and_refreshes_are_counted() {
    let upstream = Upstream::start().await;
    let settings = "cache.ttl = \"1ms\"\ncache.stale_while_revalidate = \"1h\"";
    let proxy = Proxy::start(settings, &upstream).await;
    proxy.chat(&ask("q")).await;
    let fresh = [("cache-control", "max-age=3600, only-if-cached")];
    while proxy.chat_with(&ask("q"), &fresh).await.status == 200 {}
    proxy.chat(&ask("q")).await;
    // The last that is counted of an answer.
    until(&proxy, "stored", 2).await;
    let cache = section(&proxy).await;
    let expected = json!({"staleHits": 1, "refreshes": 1, "replaced": 1, "evicted": 0});
    assert_counts(&cache, &expected);
}

#[tokio::test]
async fn what_was_swept_is_counted() {
    let upstream = Upstream::start().await;
    let settings =
        "cache.ttl = \"1ms\"\ncache.stale_if_error = \"0s\"\ncache.sweep_interval = \"1ms\"";
    let proxy = Proxy::start(settings, &upstream).await;
    proxy.chat(&ask("q")).await;
    until(&proxy, "expired", 1).await;
    let cache = section(&proxy).await;
    assert_counts(&cache, &json!({"entries": 0, "bytes": 0, "stored": 1}));
    assert_eq!(cache["evictedByReason"]["expired"], 1);
}
