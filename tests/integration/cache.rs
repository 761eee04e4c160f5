//! Answers are kept and given again: in either shape, to whom they belong, and only good ones.

use serde_json::{Value, json};

use crate::support::{
    Act, Answer, End, Gate, Proxy, Upstream, ask, ask_stream, completion, delta, event, finish,
    text_of,
};

mod admission;
mod identity;
mod memory;
mod repeats;
mod snapshot;
mod stale;

/// Shapes of two callers in turn: whether each streams.
const SHAPES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

async fn start(settings: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(settings, &upstream).await;
    (upstream, proxy)
}

/// What a caller of either shape gets: the text and `X-Cache`.
async fn text_and_source(proxy: &Proxy, prompt: &str, streams: bool) -> (String, String) {
    if streams {
        let events = proxy.stream(&ask_stream(prompt)).await;
        assert_eq!(events.status, 200);
        assert_eq!(events.header("content-type"), "text/event-stream");
        let source = events.header("x-cache").to_owned();
        let all = events.all().await;
        assert_eq!(all.last().unwrap(), "[DONE]");
        (text_of(&all), source)
    } else {
        let answer = proxy.chat(&ask(prompt)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.json()["object"], "chat.completion");
        (answer.text(), answer.header("x-cache").to_owned())
    }
}

#[tokio::test]
async fn a_repeat_is_a_hit_in_the_shape_that_was_asked_for() {
    for (first, second) in SHAPES {
        let (upstream, proxy) = start("").await;
        let miss = text_and_source(&proxy, "q", first).await;
        let hit = text_and_source(&proxy, "q", second).await;
        assert_eq!(miss, ("Hello.".to_owned(), "MISS".to_owned()));
        assert_eq!(hit, ("Hello.".to_owned(), "HIT".to_owned()));
        assert_eq!(upstream.calls(), 1, "{first} {second}");
    }
}

#[tokio::test]
async fn headers_tell_where_an_answer_came_from() {
    let (_upstream, proxy) = start("").await;
    let miss = proxy.chat(&ask("q")).await;
    assert_eq!(miss.header("x-cache"), "MISS");
    assert_eq!(
        miss.header("cache-status"),
        "pegasus-nest; fwd=miss; stored"
    );
    assert_eq!(miss.header("age"), "");
    let hit = proxy.chat(&ask("q")).await;
    assert_eq!(hit.header("x-cache"), "HIT");
    let ttl = hit.header("cache-status");
    let ttl = ttl.strip_prefix("pegasus-nest; hit; ttl=").unwrap();
    assert!((3_500..=3_600).contains(&ttl.parse::<u32>().unwrap()));
    assert!(hit.header("age").parse::<u32>().unwrap() < 60);
    let timing = hit.header("server-timing");
    for stage in ["compress;dur=", "cache;dur=", "upstream;dur=", "total;dur="] {
        assert!(timing.contains(stage), "{timing}");
    }
}

#[tokio::test]
async fn a_whole_answer_comes_from_the_cache_byte_for_byte() {
    let (upstream, proxy) = start("").await;
    let mut odd = completion("x").to_string();
    odd.insert_str(1, "\n  \"big\": 12345678901234567890123, \"one\": 1.0, ");
    upstream.set(Act::response(
        200,
        &[("content-type", "application/json")],
        &odd,
    ));
    for _ in 0..2 {
        assert_eq!(proxy.chat(&ask("q")).await.body, odd);
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_hit_includes_usage_where_it_is_asked_for() {
    for first_streams in [false, true] {
        let (upstream, proxy) = start("").await;
        upstream.script(|request| {
            if request.json()["stream"] != true {
                return Act::says("Hi.");
            }
            let usage = json!({"id": "c", "object": "chat.completion.chunk", "choices": [],
                "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}});
            Act::stream()
                .chunk(event(&delta("Hi.")) + &event(&finish("stop")) + &event(&usage.to_string()))
                .chunk(event("[DONE]"))
                .last_chunk()
        });
        let mut with_usage = ask_stream("q");
        with_usage["stream_options"] = json!({"include_usage": true});
        if first_streams {
            proxy.stream(&with_usage).await.all().await;
        } else {
            proxy.chat(&ask("q")).await;
        }

        let events = proxy.stream(&with_usage).await.all().await;
        let last: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 18);
        let without = proxy.stream(&ask_stream("q")).await.all().await;
        assert!(!without.concat().contains("total_tokens"), "{without:?}");
        let whole = proxy.chat(&ask("q")).await;
        assert_eq!(whole.json()["usage"]["prompt_tokens"], 11);
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn no_cache_asks_again_and_refreshes_the_entry() {
    let (upstream, proxy) = start("").await;
    upstream.once(Act::says("old"));
    upstream.once(Act::says("new"));
    proxy.chat(&ask("q")).await;
    let fresh = proxy
        .chat_with(&ask("q"), &[("cache-control", "no-cache")])
        .await;
    assert_eq!(
        (fresh.text().as_str(), fresh.header("x-cache")),
        ("new", "BYPASS")
    );
    assert_eq!(
        fresh.header("cache-status"),
        "pegasus-nest; fwd=bypass; stored"
    );
    let hit = proxy.chat(&ask("q")).await;
    assert_eq!((hit.text().as_str(), hit.header("x-cache")), ("new", "HIT"));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn no_store_neither_reads_nor_keeps() {
    let (upstream, proxy) = start("").await;
    let control = [("cache-control", "no-store")];
    for _ in 0..2 {
        let answer = proxy.chat_with(&ask("q"), &control).await;
        assert_eq!(answer.header("x-cache"), "BYPASS");
        assert_eq!(answer.header("cache-status"), "pegasus-nest; fwd=bypass");
    }
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "MISS");
    let again = proxy.chat_with(&ask("q"), &control).await;
    assert_eq!(again.header("x-cache"), "BYPASS");
    assert_eq!(upstream.calls(), 4);
}

#[tokio::test]
async fn max_age_takes_no_older_answer() {
    let (upstream, proxy) = start("").await;
    proxy.chat(&ask("q")).await;
    let young = proxy
        .chat_with(&ask("q"), &[("cache-control", "max-age=60")])
        .await;
    assert_eq!(young.header("x-cache"), "HIT");
    // Every stored answer is older than nothing at all.
    let now = proxy
        .chat_with(&ask("q"), &[("cache-control", "max-age=0")])
        .await;
    assert_eq!(now.header("x-cache"), "MISS");
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn only_if_cached_never_asks_the_upstream() {
    let (upstream, proxy) = start("").await;
    let control = [("cache-control", "only-if-cached")];
    let none = proxy.chat_with(&ask("q"), &control).await;
    assert_eq!(none.status, 504);
    assert_eq!(none.json()["error"]["code"], "only_if_cached");
    assert_eq!(upstream.calls(), 0);
    proxy.chat(&ask("q")).await;
    let hit = proxy.chat_with(&ask("q"), &control).await;
    assert_eq!((hit.status, hit.header("x-cache")), (200, "HIT"));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn what_is_in_flight_during_a_clear_is_not_kept() {
    let (upstream, proxy) = start("").await;
    let gate = Gate::new();
    upstream.once(Act::says("old").after(&gate));
    let flying = async {
        let request = ask("q");
        proxy.chat(&request).await
    };
    let clearing = async {
        upstream
            .wait_for("the call", |counts| counts.calls == 1)
            .await;
        let cleared = proxy.get("/api/clear-cache").await;
        assert_eq!(
            (cleared.status, &cleared.json()["cleared"]),
            (200, &json!(0))
        );
        gate.open();
    };
    let (answer, ()) = tokio::join!(flying, clearing);
    assert_eq!(answer.text(), "old");
    assert_eq!(answer.header("cache-status"), "pegasus-nest; fwd=miss");
    let next = proxy.chat(&ask("q")).await;
    assert_eq!(
        (next.text().as_str(), next.header("x-cache")),
        ("Hello.", "MISS")
    );
    assert_eq!(proxy.get("/api/clear-cache").await.json()["cleared"], 1);
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "MISS");
}

#[tokio::test]
async fn hits_replay_no_cookies_dates_limits_or_ids() {
    let (upstream, proxy) = start("").await;
    let headers = [
        ("content-type", "application/json"),
        ("set-cookie", "session=1"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("x-request-id", "theirs"),
        ("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("openai-processing-ms", "12"),
    ];
    upstream.set(Act::response(200, &headers, completion("x").to_string()));
    let miss = proxy.chat(&ask("q")).await;
    assert_eq!(miss.header("x-ratelimit-remaining-tokens"), "7");
    assert_eq!(miss.header("x-upstream-request-id"), "theirs");
    assert_eq!(miss.header("set-cookie"), "");
    let hit = proxy.chat(&ask("q")).await;
    assert_eq!(hit.header("x-cache"), "HIT");
    for name in [
        "set-cookie",
        "x-ratelimit-remaining-tokens",
        "x-upstream-request-id",
        "openai-processing-ms",
    ] {
        assert_eq!(hit.header(name), "", "{name}");
    }
    assert!(!hit.header("date").contains("2015"));
    assert_ne!(hit.header("x-request-id"), "theirs");
}

#[tokio::test]
async fn a_cache_that_is_switched_off_answers_nothing() {
    let (upstream, proxy) = start("cache.enabled = false").await;
    for _ in 0..2 {
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!((answer.status, answer.header("x-cache")), (200, "BYPASS"));
    }
    let only = [("cache-control", "only-if-cached")];
    assert_eq!(proxy.chat_with(&ask("q"), &only).await.status, 504);
    assert_eq!(upstream.calls(), 2);
}
