//! `/create` and `/create/chat`: what they accept, what they send up, what they answer.

use serde_json::{Value, json};

use crate::support::{Answer, Proxy, Upstream};

mod errors;
mod requests;
mod streams;

/// A model with a price: 3 and 15 dollars per million tokens.
const PRICED: &str = "anthropic/claude-sonnet-4";

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// Checks that an answer, or a stream's last event, has every key and type that clients rely on.
fn assert_shape(body: &Value, with_response: bool) {
    let mut expected = vec![
        "finish_reason",
        "ignored",
        "message",
        "model",
        "optimizationStats",
        "success",
        "usage",
    ];
    if with_response {
        expected.insert(5, "response");
        assert!(body["response"].is_string(), "{body}");
    }
    assert_eq!(keys(body), expected);
    assert_eq!(body["success"], true);
    assert!(body["ignored"].is_array(), "{body}");
    for text in ["message", "model", "finish_reason"] {
        assert!(body[text].is_string(), "{text}: {body}");
    }
    let usage = &body["usage"];
    for count in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert!(usage[count].is_u64(), "{count}: {body}");
    }
    let stats = &body["optimizationStats"];
    let mut stat_keys = vec![
        "cacheHit",
        "cacheStatus",
        "compressionSavings",
        "costSavedUsd",
        "costUsd",
        "processingTime",
        "tokensSaved",
        "tokensUsed",
    ];
    stat_keys.sort_unstable();
    assert_eq!(keys(stats), stat_keys);
    assert!(
        stats["tokensUsed"].is_u64() && stats["tokensSaved"].is_u64(),
        "{body}"
    );
    assert!(
        stats["cacheHit"].is_boolean() && stats["cacheStatus"].is_string(),
        "{body}"
    );
    assert!(
        stats["costUsd"].is_f64() && stats["costSavedUsd"].is_f64(),
        "{body}"
    );
    let is_number_with = |value: &Value, unit: char| {
        let text = value.as_str().unwrap();
        text.strip_suffix(unit)
            .is_some_and(|number| number.parse::<f64>().is_ok())
    };
    assert!(is_number_with(&stats["compressionSavings"], '%'), "{body}");
    assert!(is_number_with(&stats["processingTime"], 's'), "{body}");
}

async fn create(proxy: &Proxy, body: &Value) -> Answer {
    proxy.post("/create", body, &[]).await
}

#[tokio::test]
async fn an_answer_has_the_shape_that_clients_rely_on_and_its_exact_cost() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (path, body) in [
        ("/create", json!({"prompt": "hi", "model": PRICED})),
        ("/create/chat", json!({"message": "ho", "model": PRICED})),
    ] {
        let answer = proxy.post(path, &body, &[]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, "application/json")
        );
        let miss = answer.json();
        assert_shape(&miss, true);
        assert_eq!(miss["response"], "Hello.");
        assert_eq!(miss["finish_reason"], "stop");
        assert_eq!(miss["model"], "m", "the model that answered");
        let usage = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
        assert_eq!(miss["usage"], usage);
        let stats = &miss["optimizationStats"];
        assert_eq!(
            (&stats["tokensUsed"], &stats["tokensSaved"]),
            (&json!(18), &json!(0))
        );
        assert_eq!(
            (&stats["cacheHit"], &stats["cacheStatus"]),
            (&json!(false), &json!("miss"))
        );
        // 11 × 3 + 7 × 15 = 138 millionths.
        assert_eq!(
            (&stats["costUsd"], &stats["costSavedUsd"]),
            (&json!(0.000_138), &json!(0.0))
        );
        assert_eq!(stats["compressionSavings"], "0.0%");

        let answer = proxy.post(path, &body, &[]).await;
        assert_eq!(answer.header("x-cache"), "HIT");
        assert_eq!(answer.header("x-pegasus-tokens-saved"), "18");
        let hit = answer.json();
        assert_shape(&hit, true);
        assert_eq!(hit["message"], "Answered from cache, 18 tokens saved");
        assert_eq!(
            (&hit["response"], &hit["usage"]),
            (&miss["response"], &miss["usage"])
        );
        let stats = &hit["optimizationStats"];
        assert_eq!(
            (&stats["tokensUsed"], &stats["tokensSaved"]),
            (&json!(0), &json!(18))
        );
        assert_eq!(
            (&stats["cacheHit"], &stats["cacheStatus"]),
            (&json!(true), &json!("hit"))
        );
        assert_eq!(
            (&stats["costUsd"], &stats["costSavedUsd"]),
            (&json!(0.0), &json!(0.000_138))
        );
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn the_text_alone_for_those_who_prefer_it() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = json!({"prompt": "hi"});
    for accept in [
        "text/plain",
        "text/plain; charset=utf-8, application/json;q=0.5",
        "application/json;q=0.2, text/plain;q=0.8",
        "application/json;q=0, text/plain;q=0.1",
    ] {
        let answer = proxy.post("/create", &body, &[("accept", accept)]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with("text/plain"));
        assert_eq!(&answer.body[..], b"Hello.");
        assert!(!upstream.last().header("accept").contains("text/plain"));
    }
    for accept in [
        "*/*",
        "application/json",
        "application/json, text/plain",
        "text/plain;q=0.1, application/json",
        "text/plain; q=0.4, application/json; q=0.5",
        "text/plain;q=0",
    ] {
        let answer = proxy.post("/create", &body, &[("accept", accept)]).await;
        assert_eq!(
            answer.header("content-type"),
            "application/json",
            "{accept}"
        );
    }
    // Errors are JSON for everybody.
    let answer = proxy
        .post("/create", &json!({}), &[("accept", "text/plain")])
        .await;
    assert_eq!(answer.json()["success"], false);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_422() {
    let upstream = Upstream::start().await;
    let settings = "[create]\nmax_prompt_chars = 10\n[chat]\nmax_prompt_chars = 10";
    let proxy = Proxy::start(settings, &upstream).await;
    let fits = json!({"prompt": "é".repeat(10)});
    assert_eq!(create(&proxy, &fits).await.status, 200);
    let history = json!([{"role": "user", "content": "123456"}]);
    let calls = upstream.calls();
    for (path, body) in [
        ("/create", json!({"prompt": "é".repeat(11)})),
        (
            "/create/chat",
            json!({"message": "12345", "history": history}),
        ),
    ] {
        let answer = proxy.post(path, &body, &[]).await;
        assert_eq!(answer.status, 422, "{path}");
        assert!(
            answer.json()["error"].as_str().unwrap().contains("10"),
            "{answer:?}"
        );
    }
    assert_eq!(upstream.calls(), calls);
}
