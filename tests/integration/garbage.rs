//! Garbage bodies: each gets a 4xx that gives a reason, none a 5xx, a panic or a call upstream.

use futures_util::{StreamExt as _, stream};
use http::Method;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::support::{Answer, Proxy, Upstream};

use bodies::Kind::{self, Array, Bool, Number, Object, String as Text};
use bodies::{BODIES, Garbage, garbage};

mod bodies;

const AT_ONCE: usize = 16;

const CREATE: [(&str, &[Kind]); 15] = [
    ("prompt", &[Text]),
    ("model", &[Text]),
    ("system", &[Text]),
    ("temperature", &[Number]),
    ("top_p", &[Number]),
    ("max_tokens", &[Number]),
    ("stop", &[Text, Array]),
    ("seed", &[Number]),
    ("response_format", &[Object]),
    ("presence_penalty", &[Number]),
    ("frequency_penalty", &[Number]),
    ("stream", &[Bool]),
    ("name", &[Text]),
    ("pluginName", &[Text]),
    ("userId", &[Text]),
];

const CHAT: [(&str, &[Kind]); 6] = [
    ("message", &[Text]),
    ("history", &[Array]),
    ("model", &[Text]),
    ("system", &[Text]),
    ("max_tokens", &[Number]),
    ("stream", &[Bool]),
];

const COMPLETIONS: [(&str, &[Kind]); 20] = [
    ("model", &[Text]),
    ("messages", &[Array]),
    ("temperature", &[Number]),
    ("top_p", &[Number]),
    ("n", &[Number]),
    ("max_tokens", &[Number]),
    ("max_completion_tokens", &[Number]),
    ("seed", &[Number]),
    ("stop", &[Text, Array]),
    ("stream", &[Bool]),
    ("stream_options", &[Object]),
    ("logprobs", &[Bool]),
    ("top_logprobs", &[Number]),
    ("logit_bias", &[Object]),
    ("response_format", &[Object]),
    ("tools", &[Array]),
    ("tool_choice", &[Text, Object]),
    ("user", &[Text]),
    ("presence_penalty", &[Number]),
    ("frequency_penalty", &[Number]),
];

#[tokio::test]
async fn garbage_for_create_is_refused_with_a_reason() {
    let valid = json!({"prompt": "Say hello.", "model": "m", "system": "Be kind.",
        "temperature": 0.5, "max_tokens": 20, "stop": ["x"], "name": "é"});
    let messages = ["prompt"].map(|key| vec![key]);
    assault("/create", &valid, &CREATE, &messages).await;
}

#[tokio::test]
async fn garbage_for_chat_turns_is_refused_with_a_reason() {
    let valid = json!({"message": "And now?", "model": "m", "stream": false,
        "history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let required = ["message"].map(|key| vec![key]);
    assault("/create/chat", &valid, &CHAT, &required).await;
}

#[tokio::test]
async fn garbage_for_completions_is_refused_with_a_reason() {
    let valid = json!({"model": "m", "temperature": 1.0, "stop": ["x"], "max_tokens": 20,
        "messages": [{"role": "system", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]});
    let required = ["model", "messages"].map(|key| vec![key]);
    assault("/v1/chat/completions", &valid, &COMPLETIONS, &required).await;
}

/// Sends all the garbage to one endpoint.
async fn assault(path: &str, valid: &Value, fields: &[(&str, &[Kind])], required: &[Vec<&str>]) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let bodies = garbage(valid, fields, required);
    assert_eq!(bodies.len(), BODIES);
    let answers: Vec<(Garbage, Answer)> = stream::iter(bodies)
        .map(async |garbage| {
            let request = proxy
                .request(Method::POST, path)
                .header("content-type", "application/json")
                .body(garbage.body.clone());
            let answer = proxy.send(request).await;
            (garbage, answer)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut passed = 0;
    for (garbage, answer) in &answers {
        let shown = garbage.body[..garbage.body.len().min(200)].escape_ascii();
        let what = format!("{}: {shown} got {answer:?}", garbage.how);
        if answer.status == 200 {
            assert!(!garbage.is_hopeless, "{what}");
            let is_json = serde_json::from_slice::<IgnoredAny>(&garbage.body).is_ok();
            assert!(is_json && garbage.body.contains(&b'{'), "{what}");
            passed += usize::from(answer.header("x-cache") == "MISS");
        } else {
            assert!((400..500).contains(&answer.status), "{what}");
            assert!(gives_a_reason(path, answer), "{what}");
        }
    }
    assert_eq!(upstream.calls(), passed, "only what passed goes upstream");
    assert!(passed < BODIES / 2, "most of it must be garbage: {passed}");
    // The proxy is as well as before.
    let answer = proxy.post(path, valid, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Whether an error has the shape that clients of this path expect.
fn gives_a_reason(path: &str, answer: &Answer) -> bool {
    let body = answer.json();
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    if path.starts_with("/v1") {
        let error = &body["error"];
        is_text(&error["message"])
            && is_text(&error["type"])
            && is_text(&error["code"])
            && (error["param"].is_null() || error["param"].is_string())
    } else {
        body["success"] == false
            && is_text(&body["error"])
            && is_text(&body["code"])
            && is_text(&body["request_id"])
    }
}
