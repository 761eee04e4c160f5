use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::json::Json;

fn check(body: &Value) -> Result<(), Fault> {
    validate(Json::parse(Bytes::from(body.to_string())).unwrap().root())
}

fn with(key: &str, value: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    body[key] = value;
    body
}

fn without(key: &str) -> Value {
    let mut body = with("x", json!(1));
    body.as_object_mut().unwrap().remove(key);
    body
}

fn fault(body: &Value) -> Fault {
    check(body).unwrap_err()
}

fn message(message: &Value) -> Value {
    with(
        "messages",
        json!([{"role": "system", "content": "s"}, message]),
    )
}

#[test]
fn the_body_is_an_object() {
    for body in [json!([]), json!("x"), json!(null)] {
        let fault = fault(&body);
        assert_eq!(fault.param, "");
        assert!(fault.message.contains("it must be an object"));
    }
}

#[test]
fn the_model_is_named() {
    assert_eq!(
        fault(&without("model")).to_string(),
        "model is missing; it must be a string"
    );
    for model in [
        json!(null),
        json!(5),
        json!(""),
        json!(" "),
        json!("a\nb"),
        json!("é".repeat(257)),
    ] {
        assert_eq!(
            fault(&with("model", model.clone())).param,
            "model",
            "{model}"
        );
    }
    assert_eq!(check(&with("model", json!("é".repeat(256)))), Ok(()));
}

#[test]
fn there_are_messages() {
    let missing = fault(&without("messages")).to_string();
    assert_eq!(
        missing,
        "messages is missing; it must be an array of messages"
    );
    for messages in [json!(null), json!("x"), json!({}), json!([])] {
        assert_eq!(fault(&with("messages", messages)).param, "messages");
    }
}

#[test]
fn faults_of_messages_name_their_place() {
    for (wrong, param) in [
        (json!("x"), "messages[1]"),
        (json!({"content": "x"}), "messages[1].role"),
        (json!({"role": 1, "content": "x"}), "messages[1].role"),
        (json!({"role": "", "content": "x"}), "messages[1].role"),
        (json!({"role": "robot", "content": "x"}), "messages[1].role"),
        (json!({"role": "user"}), "messages[1].content"),
        (
            json!({"role": "user", "content": null}),
            "messages[1].content",
        ),
        (json!({"role": "user", "content": 5}), "messages[1].content"),
        (json!({"role": "assistant"}), "messages[1].content"),
        (
            json!({"role": "assistant", "content": null, "tool_calls": []}),
            "messages[1].content",
        ),
        (
            json!({"role": "assistant", "tool_calls": "x"}),
            "messages[1].tool_calls",
        ),
        (
            json!({"role": "assistant", "tool_calls": ["x"]}),
            "messages[1].tool_calls",
        ),
        (
            json!({"role": "tool", "content": "x"}),
            "messages[1].tool_call_id",
        ),
        (
            json!({"role": "tool", "content": "x", "tool_call_id": 1}),
            "messages[1].tool_call_id",
        ),
        (
            json!({"role": "user", "content": "x", "name": 1}),
            "messages[1].name",
        ),
        (
            json!({"role": "user", "content": ["x"]}),
            "messages[1].content[0]",
        ),
        (
            json!({"role": "user", "content": [{"text": "x"}]}),
            "messages[1].content[0].type",
        ),
        (
            json!({"role": "user", "content": [{"type": "text"}]}),
            "messages[1].content[0].text",
        ),
        (
            json!({"role": "user", "content": [{"type": "x"}, {"type": "image_url"}]}),
            "messages[1].content[1].image_url",
        ),
    ] {
        assert_eq!(fault(&message(&wrong)).param, param, "{wrong}");
    }
}

#[test]
fn every_role_and_every_kind_of_content_passes() {
    for right in [
        json!({"role": "developer", "content": ""}),
        json!({"role": "user", "content": [], "name": null}),
        json!({"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "x"},
            {"type": "image_url", "image_url": {"url": "u"}},
            {"type": "image_url", "image_url": "u"},
            {"type": "input_audio", "input_audio": {"data": "AAAA"}}]}),
        json!({"role": "assistant", "content": null, "tool_calls": [{"id": "1"}]}),
        json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}),
        json!({"role": "assistant", "content": null, "refusal": "no"}),
        json!({"role": "assistant", "audio": {"id": "a"}}),
        json!({"role": "tool", "tool_call_id": "1", "content": "x"}),
        json!({"role": "function", "name": "f", "content": "x"}),
    ] {
        assert_eq!(check(&message(&right)), Ok(()), "{right}");
    }
}

#[test]
fn known_fields_have_their_types() {
    for (key, right, wrong) in [
        (
            "temperature",
            json!([0, 0.7, 2]),
            json!(["x", -0.1, true, []]),
        ),
        ("top_p", json!([1]), json!(["1"])),
        ("n", json!([1, 3]), json!([0, -1, 1.5, "1"])),
        ("max_tokens", json!([1]), json!([0, 1.0, "1", {}])),
        ("max_completion_tokens", json!([1]), json!([0])),
        ("seed", json!([0, -5, u64::MAX]), json!([0.5, "1"])),
        ("top_logprobs", json!([0, 5]), json!([0.5])),
        ("stream", json!([true, false]), json!(["true", 1])),
        ("stop", json!(["x", ["x", "y"], []]), json!([5, [5], {}])),
        ("logit_bias", json!([{}]), json!([[], "x"])),
        (
            "response_format",
            json!([{"type": "json_object"}]),
            json!(["json"]),
        ),
        (
            "tools",
            json!([[{"type": "function"}], []]),
            json!([{}, ["x"]]),
        ),
        ("models", json!([["a"]]), json!(["a"])),
        (
            "tool_choice",
            json!(["auto", {"type": "function"}]),
            json!([5, []]),
        ),
        ("user", json!(["u"]), json!([5])),
    ] {
        for value in right.as_array().unwrap() {
            assert_eq!(check(&with(key, value.clone())), Ok(()), "{key} {value}");
        }
        for value in wrong.as_array().unwrap() {
            assert_eq!(fault(&with(key, value.clone())).param, key, "{value}");
        }
    }
    for (key, _) in OPTIONAL {
        assert_eq!(check(&with(key, Value::Null)), Ok(()), "{key}");
    }
    assert_eq!(
        check(&with("no_such_field", json!({"any": ["thing"]}))),
        Ok(())
    );
}

#[test]
fn tools_have_a_type() {
    let tools = json!([{"type": "function"}, {"name": "f"}]);
    assert_eq!(fault(&with("tools", tools)).param, "tools[1].type");
}

#[test]
fn numbers_are_finite() {
    let body = r#"{"model": "m", "messages": [{"role": "user", "content": "x"}], "top_p": 1e999}"#;
    let parsed = Json::parse(Bytes::from_static(body.as_bytes()));
    // Either the parser or the rule has to refuse it.
    assert!(parsed.is_err() || validate(parsed.unwrap().root()).is_err());
}

#[test]
fn messages_say_what_would_be_right() {
    let max_tokens = fault(&with("max_tokens", json!(0))).to_string();
    let expected = "an integer of at least 1, written without fraction and exponent";
    assert_eq!(
        max_tokens,
        format!("max_tokens is out of range; it must be {expected}")
    );
    let stream = fault(&with("stream", json!("yes"))).to_string();
    assert_eq!(stream, "stream is a string; it must be true or false");
}

#[test]
fn faults_quote_no_content() {
    for body in [
        message(&json!({"role": "s3cret", "content": "s3cret"})),
        message(&json!({"role": "user", "content": {"s3cret": "s3cret"}})),
        with("stop", json!({"s3cret": 1})),
    ] {
        assert!(!fault(&body).to_string().contains("s3cret"));
    }
}
