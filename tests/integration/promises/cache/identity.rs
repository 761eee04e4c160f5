//! P41: whatever can change the answer tells requests apart, boundaries between their parts included.

use serde_json::{Value, json};

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Upstream, ask};

fn with(key: &str, value: Value) -> Value {
    let mut request = ask("a");
    request[key] = value;
    request
}

fn messages(all: Value) -> Value {
    with("messages", all)
}

/// Chat completions of which no two may share an answer.
fn variants() -> Vec<Value> {
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}]);
    vec![
        ask("a"),
        with("model", json!("m2")),
        with("temperature", json!(0.1)),
        with("temperature", json!(0.2)),
        with("top_p", json!(0.5)),
        with("max_tokens", json!(5)),
        with("max_completion_tokens", json!(5)),
        with("n", json!(1)),
        with("seed", json!(1)),
        with("stop", json!("x")),
        with("stop", json!(["x"])),
        with("stop", json!(["x", "y"])),
        with("stop", json!(["xy"])),
        with("presence_penalty", json!(0.5)),
        with("frequency_penalty", json!(0.5)),
        with("logit_bias", json!({"50256": -100})),
        with("logprobs", json!(true)),
        with("response_format", json!({"type": "json_object"})),
        with("reasoning_effort", json!("low")),
        with("user", json!("alice")),
        with("tools", tool("one")),
        with("tools", tool("two")),
        with("tool_choice", json!("none")),
        with("provider", json!({"order": ["x", "y"]})),
        with("provider", json!({"order": ["y", "x"]})),
        messages(json!([{"role": "system", "content": "a"}])),
        messages(json!([{"role": "user", "content": "a", "name": "b"}])),
        messages(json!([{"role": "user", "content": [{"type": "text", "text": "a"}]}])),
        messages(
            json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]),
        ),
        messages(json!([{"role": "user", "content": [{"type": "text", "text": "ab"}]}])),
        messages(json!([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])),
        messages(json!([{"role": "user", "content": "b"}, {"role": "user", "content": "a"}])),
        messages(json!([{"role": "user", "content": "ab"}, {"role": "user", "content": ""}])),
        messages(json!([{"role": "user", "content": ""}, {"role": "user", "content": "ab"}])),
        messages(json!([{"role": "user", "content": "a\",\"role\":\"user\",\"content\":\"b"}])),
        messages(json!([{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}])),
        ask("a\0"),
        ask("\u{e9}"),
        ask("e\u{301}"),
    ]
}

#[tokio::test]
async fn p41_every_variant_is_a_call_of_its_own_and_keeps_its_own_answer() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    // Nothing is the same but what is byte for byte the same.
    upstream.script(|request| {
        let mut body = request.json();
        body.as_object_mut().unwrap().remove("stream");
        body.as_object_mut().unwrap().remove("stream_options");
        request.answer(&body.to_string())
    });
    let variants = variants();
    for (source, streams) in [("MISS", false), ("HIT", false), ("HIT", true)] {
        for variant in &variants {
            let mut request = variant.clone();
            if streams {
                request["stream"] = true.into();
            }
            let answer = nest.chat(&request).await;
            assert_eq!(answer.header("x-cache"), source, "{variant}: {answer:?}");
            let told: Value = serde_json::from_str(&said("/v1", &answer)).unwrap();
            assert_eq!(&told, variant, "the answer is its own");
        }
        assert_eq!(upstream.calls(), variants.len(), "{source}");
    }
}

#[tokio::test]
async fn p41_every_field_of_create_that_reaches_the_model_tells_apart() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, main) in [("/create", "prompt"), ("/create/chat", "message")] {
        let before = upstream.calls();
        // Both endpoints ask for the same with the same text.
        let text = path;
        let plain = json!({main: text});
        let mut variants = vec![plain.clone(), json!({main: "b"})];
        for (key, value) in [
            ("model", json!("m2")),
            ("system", json!("s")),
            ("temperature", json!(0.2)),
            ("top_p", json!(0.5)),
            ("max_tokens", json!(5)),
            ("stop", json!(["x"])),
            ("seed", json!(1)),
            ("presence_penalty", json!(0.5)),
            ("response_format", json!({"type": "json_object"})),
            ("frequency_penalty", json!(0.5)),
        ] {
            let mut variant = plain.clone();
            variant[key] = value;
            variants.push(variant);
        }
        if path == "/create/chat" {
            for role in ["user", "assistant"] {
                variants.push(json!({main: text, "history": [{"role": role, "content": "h"}]}));
            }
            variants.push(json!({main: text, "history": [{"role": "user", "content": "h"}, {"role": "user", "content": ""}]}));
        }
        for source in ["MISS", "HIT"] {
            for variant in &variants {
                let answer = nest.post(path, variant, &[]).await;
                assert_eq!(answer.header("x-cache"), source, "{path}: {variant}");
            }
        }
        assert_eq!(upstream.calls() - before, variants.len(), "{path}");
    }
}

#[tokio::test]
async fn p41_spelling_alone_makes_no_difference() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for streams in [false, true] {
        for (path, body) in asking("Spelt.", streams) {
            let pretty = serde_json::to_string_pretty(&body).unwrap();
            let escaped = body.to_string().replace("Spelt", "\\u0053pelt");
            for spelling in [body.to_string(), pretty, escaped] {
                let request = nest.request(http::Method::POST, path).body(spelling);
                let request = request.header("content-type", "application/json");
                said(path, &nest.send(request).await);
            }
        }
    }
    assert_eq!(upstream.calls(), 3);
}
