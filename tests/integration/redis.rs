//! Instances share answers, flights and clears through a real Redis, which may be as ill as it likes.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Act, Proxy, RedisServer, Upstream, ask};

mod clears;
mod embeddings;
mod faults;
mod flights;
mod instances;
mod transports;
mod values;

/// An upstream, a Redis, and two instances that share through it.
struct Pair {
    upstream: Upstream,
    redis: RedisServer,
    one: Proxy,
    other: Proxy,
}

impl Pair {
    async fn start(settings: &str) -> Self {
        let (upstream, redis) = (Upstream::start().await, RedisServer::start().await);
        let settings = redis.setting() + &patient(settings);
        let one = Proxy::start(&settings, &upstream).await;
        let other = Proxy::start(&settings, &upstream).await;
        one.connected().await;
        other.connected().await;
        Self {
            upstream,
            redis,
            one,
            other,
        }
    }

    /// Another instance, with an empty first tier.
    async fn third(&self, settings: &str) -> Proxy {
        let settings = self.redis.setting() + &patient(settings);
        let proxy = Proxy::start(&settings, &self.upstream).await;
        proxy.connected().await;
        proxy
    }
}

/// Settings with a deadline that a machine under load keeps, unless they have their own.
fn patient(settings: &str) -> String {
    if settings.contains("redis_timeout") {
        settings.to_owned()
    } else {
        format!("cache.redis_timeout = \"5s\"\n{settings}")
    }
}

/// Where the answer to this prompt comes from.
async fn source(proxy: &Proxy, prompt: &str) -> String {
    let answer = proxy.chat(&ask(prompt)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.header("x-cache").to_owned()
}

#[tokio::test]
async fn an_answer_of_one_instance_is_a_hit_on_the_other() {
    let pair = Pair::start("").await;
    assert_eq!(source(&pair.one, "q").await, "MISS");
    pair.one.wrote(1).await;
    let hit = pair.other.chat(&ask("q")).await;
    assert_eq!(
        (hit.text().as_str(), hit.header("x-cache")),
        ("Hello.", "HIT")
    );
    assert!(hit.header("cache-status").ends_with("; detail=redis"));
    let again = pair.other.chat(&ask("q")).await;
    assert_eq!(again.header("x-cache"), "HIT");
    assert!(!again.header("cache-status").contains("detail"));
    assert_eq!(pair.upstream.calls(), 1);
    let cache = pair.other.cache().await;
    assert_eq!(cache["hitsByTier"], json!({"memory": 1, "redis": 1}));
    assert_eq!(cache["redis"]["hits"], 1);
    assert!(cache["redis"]["latencyMs"]["average"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn a_stream_of_one_instance_is_a_hit_on_the_other_in_either_shape() {
    let pair = Pair::start("").await;
    let events = pair.one.stream(&crate::support::ask_stream("q")).await;
    events.all().await;
    pair.one.wrote(1).await;
    let whole = pair.other.chat(&ask("q")).await;
    assert_eq!(
        (whole.text().as_str(), whole.header("x-cache")),
        ("Hello.", "HIT")
    );
    let third = pair.third("").await;
    let events = third.stream(&crate::support::ask_stream("q")).await;
    assert_eq!(events.header("x-cache"), "HIT");
    assert_eq!(crate::support::text_of(&events.all().await), "Hello.");
    assert_eq!(pair.upstream.calls(), 1);
}

#[tokio::test]
async fn scopes_and_namespaces_share_nothing() {
    let pair = Pair::start("").await;
    let me = [("authorization", "Bearer me")];
    pair.one.chat_with(&ask("q"), &me).await;
    pair.one.wrote(1).await;
    let you = [("authorization", "Bearer you")];
    let theirs = pair.other.chat_with(&ask("q"), &you).await;
    assert_eq!(theirs.header("x-cache"), "MISS");
    let mine = pair.other.chat_with(&ask("q"), &me).await;
    assert_eq!(mine.header("x-cache"), "HIT");
    let elsewhere = pair.third("cache.redis_namespace = \"elsewhere\"").await;
    let answer = elsewhere.chat_with(&ask("q"), &me).await;
    assert_eq!(answer.header("x-cache"), "MISS");
}

#[tokio::test]
async fn only_if_cached_looks_in_redis_too_and_asks_nobody() {
    let pair = Pair::start("").await;
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(pair.other.chat_with(&ask("q"), &only).await.status, 504);
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let hit = pair.other.chat_with(&ask("q"), &only).await;
    assert_eq!((hit.status, hit.header("x-cache")), (200, "HIT"));
    assert_eq!(pair.upstream.calls(), 1);
}

#[tokio::test]
async fn identical_look_ups_share_one() {
    let pair = Pair::start("").await;
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    let request = ask("q");
    let asks = (0..50).map(|_| pair.other.chat(&request));
    for answer in join_all(asks).await {
        assert_eq!((answer.status, answer.header("x-cache")), (200, "HIT"));
    }
    assert_eq!(pair.upstream.calls(), 1);
    let hits = pair.other.cache().await["redis"]["hits"].as_u64().unwrap();
    assert!((1..50).contains(&hits), "{hits}");
}

#[tokio::test]
async fn a_stale_answer_of_another_instance_stands_in_for_a_failure() {
    let pair = Pair::start("retry.max_attempts = 1\ncache.ttl = \"1ms\"\n").await;
    pair.one.chat(&ask("q")).await;
    pair.one.wrote(1).await;
    pair.upstream.set(Act::error(500, &[]));
    let stale = pair.other.chat(&ask("q")).await;
    assert_eq!((stale.status, stale.header("x-cache")), (200, "STALE"));
    let status = stale.header("cache-status");
    assert!(status.contains("fwd=stale; fwd-status=500"), "{status}");
    assert!(status.contains("detail=stale-if-error"), "{status}");
}
