//! Embeddings are shared one input at a time.

use serde_json::{Value, json};

use super::Pair;
use crate::embeddings::{call, embed};
use crate::support::{Act, Answer, Proxy};

async fn send(proxy: &Proxy, input: &Value) -> Answer {
    proxy.post("/v1/embeddings", &call(input), &[]).await
}

/// Two instances, of which each asks as it is asked.
async fn pair(settings: &str) -> Pair {
    let pair = Pair::start(&format!("batch.window = \"1ms\"\n{settings}")).await;
    pair.upstream.script(embed);
    pair
}

#[tokio::test]
async fn an_input_of_one_instance_is_known_to_the_other_alone_and_among_others() {
    let pair = pair("").await;
    let own = send(&pair.one, &json!(["a", "b"])).await;
    assert_eq!((own.status, own.header("x-cache")), (200, "MISS"));
    pair.one.wrote(2).await;
    let alone = send(&pair.other, &json!("b")).await;
    assert_eq!((alone.status, alone.header("x-cache")), (200, "HIT"));
    assert!(alone.header("cache-status").ends_with("; detail=redis"));
    assert_eq!(
        alone.json()["data"][0]["embedding"],
        own.json()["data"][1]["embedding"]
    );
    // In its own memory by now, beside one that is in Redis and one that nobody has asked for.
    let three = send(&pair.other, &json!(["c", "a", "b"])).await;
    assert_eq!(three.header("x-cache"), "MISS");
    assert_eq!(pair.upstream.calls(), 2);
    assert_eq!(pair.upstream.requests()[1].json()["input"], json!(["c"]));
    let embedding = |answer: &Answer, at: usize| answer.json()["data"][at]["embedding"].clone();
    assert_eq!(embedding(&three, 1), embedding(&own, 0));
    assert_eq!(embedding(&three, 2), embedding(&own, 1));
    pair.other.wrote(1).await;
    let all = send(&pair.one, &json!(["a", "b", "c"])).await;
    assert_eq!(all.header("x-cache"), "HIT");
    assert_eq!(pair.upstream.calls(), 2);
}

#[tokio::test]
async fn a_clear_takes_them_from_every_instance() {
    let pair = pair("").await;
    send(&pair.one, &json!("a")).await;
    pair.one.wrote(1).await;
    let cleared = pair.other.get("/api/clear-cache").await.json();
    assert_eq!(cleared["cleared"], 1);
    assert_eq!(
        send(&pair.other, &json!("a")).await.header("x-cache"),
        "MISS"
    );
    assert_eq!(pair.upstream.calls(), 2);
}

#[tokio::test]
async fn without_redis_they_are_asked_for() {
    let mut pair = pair("").await;
    send(&pair.one, &json!("a")).await;
    pair.one.wrote(1).await;
    pair.redis.kill().await;
    let answer = send(&pair.other, &json!("a")).await;
    assert_eq!((answer.status, answer.header("x-cache")), (200, "MISS"));
    pair.upstream.script(|_| Act::error(503, &[]));
    let known = send(&pair.other, &json!("a")).await;
    assert_eq!((known.status, known.header("x-cache")), (200, "HIT"));
}
