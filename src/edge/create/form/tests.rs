use http::{HeaderMap, HeaderValue};

use super::*;
use crate::config::TuningMode;
use crate::edge::Edge;
use crate::edge::headers::IDEMPOTENCY_KEY;
use crate::stack;

fn read(endpoint: Endpoint, body: &Value) -> Result<(Value, Form), ProxyError> {
    let bytes = Bytes::from(body.to_string());
    let form = Form::read(&bytes, endpoint, &Config::default(), None)?;
    Ok((serde_json::from_slice(&form.completion.body).unwrap(), form))
}

#[test]
fn a_prompt_becomes_a_completion_with_the_defaults() {
    let (body, form) = read(
        Endpoint::Prompt,
        &json!({"prompt": "hi", "name": "x", "odd": 1}),
    )
    .unwrap();
    assert_eq!(
        body,
        json!({
            "model": "anthropic/claude-sonnet-4", "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.7, "presence_penalty": 0.1, "frequency_penalty": 0.1, "max_tokens": 2000,
        })
    );
    let limit = Given {
        size: Size::Simple,
        tokens: 2_000,
    };
    assert_eq!(form.completion.limit, Some(limit));
    assert_eq!(form.ignored, ["odd"]);
}

#[test]
fn max_tokens_follow_the_length_of_the_prompt() {
    let tokens = |chars: usize| {
        read(Endpoint::Prompt, &json!({"prompt": "é".repeat(chars)}))
            .unwrap()
            .0["max_tokens"]
            .clone()
    };
    assert_eq!([499, 500, 1499, 1500].map(tokens), [2000, 3000, 3000, 4000]);
    let (body, form) = read(Endpoint::Prompt, &json!({"prompt": "hi", "max_tokens": 7})).unwrap();
    assert_eq!(
        (body["max_tokens"].clone(), form.completion.limit),
        (json!(7), None)
    );
}

#[test]
fn older_clients_are_understood() {
    let old =
        json!({"type": "page", "name": "n", "description": "A page", "features": ["one", "two"]});
    let (body, form) = read(Endpoint::Prompt, &old).unwrap();
    assert_eq!(body["messages"][0]["content"], "A page\none\ntwo");
    assert!(form.ignored.is_empty());
}

#[test]
fn a_turn_has_its_history_and_its_system() {
    let turn = json!({"message": "and?", "system": "be kind", "stream": true,
        "history": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]});
    let (body, _) = read(Endpoint::Turn, &turn).unwrap();
    let roles: Vec<_> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["role"].clone())
        .collect();
    assert_eq!(roles, ["system", "user", "assistant", "user"]);
    assert_eq!(body["model"], "google/gemini-flash-1.5");
    assert_eq!(body["stream_options"]["include_usage"], true);
}

#[test]
fn a_schema_keeps_the_order_of_its_keys_and_numbers_their_spelling() {
    let body = Bytes::from_static(
        br#"{"prompt":"x","response_format":{"z":1.50,"a":{"y":1,"b":2}},"temperature":1.0}"#,
    );
    let form = Form::read(&body, Endpoint::Prompt, &Config::default(), None).unwrap();
    let text = String::from_utf8(form.completion.body.to_vec()).unwrap();
    assert!(
        text.contains(r#""response_format":{"z":1.50,"a":{"y":1,"b":2}}"#),
        "{text}"
    );
    assert!(text.contains(r#""temperature":1.0"#), "{text}");
}

#[test]
fn mistakes_say_what_would_be_right() {
    let status = |endpoint, body: Value| {
        read(endpoint, &body)
            .err()
            .map(|error| error.status().as_u16())
    };
    for (expected, body) in [
        (400, json!([])),
        (400, json!({})),
        (400, json!({"prompt": 5})),
        (400, json!({"prompt": "  "})),
        (400, json!({"prompt": "x", "stream": "yes"})),
        (400, json!({"prompt": "x", "temperature": "hot"})),
        (422, json!({"prompt": "x", "temperature": 3})),
        (422, json!({"prompt": "x", "max_tokens": 0})),
        (400, json!({"prompt": "x", "max_tokens": 1.5})),
        (400, json!({"prompt": "x", "stop": [1]})),
        (422, json!({"prompt": "x".repeat(100_001)})),
        (400, json!({"description": "x", "features": "y"})),
    ] {
        assert_eq!(
            status(Endpoint::Prompt, body.clone()),
            Some(expected),
            "{body:.80}"
        );
    }
    for (expected, body) in [
        (400, json!({"prompt": "x"})),
        (400, json!({"message": "x", "history": "y"})),
        (400, json!({"message": "x", "history": [1]})),
        (
            422,
            json!({"message": "x", "history": [{"role": "king", "content": "y"}]}),
        ),
    ] {
        assert_eq!(
            status(Endpoint::Turn, body.clone()),
            Some(expected),
            "{body}"
        );
    }
}

/// With the same key the upstream would say the same again: an answer that is cut off could not be asked for once more.
#[tokio::test]
async fn whoever_sends_a_key_of_idempotency_has_the_limit_that_is_set() {
    let mut config = Config::default();
    config.tuning.mode = TuningMode::Act;
    let stack = stack::build(&config).unwrap();
    let edge = Edge::new(config, stack);
    let mut headers = HeaderMap::new();
    assert!(edge.limits(&headers).is_some());
    headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("k"));
    assert!(edge.limits(&headers).is_none());
}
