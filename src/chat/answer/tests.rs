use serde_json::{Value, json};

use super::*;
use crate::chat::Admit;

fn read(body: &Value) -> Result<Answer, Invalid> {
    read_answer(body.to_string().as_bytes())
}

fn reason(body: &Value) -> String {
    read(body).unwrap_err().reason().to_owned()
}

fn answer(message: &Value, finish_reason: &str) -> Value {
    json!({"id": "1", "object": "chat.completion", "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]})
}

fn quality(message: &Value, finish_reason: &str) -> Quality {
    read(&answer(message, finish_reason)).unwrap().quality
}

/// Whether it is kept where the operator has not said otherwise.
fn storable(message: &Value, finish_reason: &str) -> bool {
    Admit::default().has(quality(message, finish_reason))
}

fn call(arguments: &Value) -> Value {
    let function = json!({"name": "f", "arguments": arguments});
    json!({"content": null, "tool_calls": [{"id": "1", "type": "function", "function": function}]})
}

#[test]
fn an_ordinary_answer_is_usable_and_storable() {
    let mut body = answer(&json!({"role": "assistant", "content": "Grüße"}), "stop");
    body["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 8}});
    let usage = Usage {
        prompt_tokens: 9,
        completion_tokens: 4,
        total_tokens: 13,
        cached_tokens: 8,
        ..Usage::default()
    };
    let expected = Answer {
        usage: Some(usage),
        model: Some("m".into()),
        quality: Quality::Stop,
        text: "Grüße".len(),
    };
    assert_eq!(read(&body).unwrap(), expected);
}

#[test]
fn wrong_shapes_are_refused_with_a_reason() {
    assert!(
        read_answer(b"\xff{}")
            .unwrap_err()
            .reason()
            .contains("UTF-8")
    );
    assert!(read_answer(b"").unwrap_err().reason().contains("empty"));
    assert!(
        read_answer(b"<html>")
            .unwrap_err()
            .reason()
            .contains("HTML")
    );
    assert!(
        read_answer(b"{\"choices\": [")
            .unwrap_err()
            .reason()
            .contains("ends too early")
    );
    assert!(reason(&json!("text")).contains("a string"));
    assert!(reason(&json!({})).contains("no choices"));
    assert!(reason(&json!({"choices": null})).contains("null"));
    assert!(reason(&json!({"choices": {}})).contains("an object"));
    assert!(reason(&json!({"choices": []})).contains("empty"));
    assert!(reason(&json!({"choices": ["x"]})).contains("choices[0] is a string"));
    assert!(reason(&json!({"choices": [{"text": "x"}]})).contains("no message"));
    assert!(reason(&json!({"choices": [{"message": "x"}]})).contains("message is a string"));
    let good = json!({"message": {"content": "x"}, "finish_reason": "stop"});
    assert!(reason(&json!({"choices": [good, {}]})).contains("choices[1]"));
}

#[test]
fn a_message_without_anything_is_refused_unless_it_was_cut_off() {
    let empties = [
        json!({}),
        json!({"content": null}),
        json!({"content": 5}),
        json!({"content": {"text": "x"}}),
        json!({"content": null, "tool_calls": [], "refusal": "", "audio": null, "images": []}),
    ];
    for message in empties {
        assert!(
            reason(&answer(&message, "stop")).contains("neither content"),
            "{message}"
        );
        for cut_off in ["length", "content_filter"] {
            assert!(!storable(&message, cut_off), "{message}");
        }
    }
}

#[test]
fn what_stands_in_for_content_makes_an_answer_usable() {
    for (key, value) in [
        ("refusal", json!("no")),
        ("reasoning", json!("hm")),
        ("reasoning_content", json!("hm")),
        ("audio", json!({"data": "AAAA"})),
        ("images", json!([{"type": "image_url"}])),
        ("function_call", json!({"name": "f", "arguments": "{}"})),
        ("tool_calls", call(&json!("{}"))["tool_calls"].clone()),
    ] {
        let mut message = json!({"content": null});
        message[key] = value;
        let expected = match key {
            "refusal" => Quality::Refusal,
            "reasoning" | "reasoning_content" => Quality::Empty,
            "function_call" | "tool_calls" => Quality::ToolCalls,
            _ => Quality::Stop,
        };
        assert_eq!(quality(&message, "stop"), expected, "{key}");
    }
}

#[test]
fn a_providers_error_in_a_200_is_told_apart() {
    let body = json!({"error": {"message": "Rate limit exceeded", "code": 429}, "user_id": "u"});
    let error = read(&body).unwrap_err();
    assert_eq!(error.reported().unwrap().status(), Some(429));
    assert_eq!(
        error.reason(),
        "the provider reported an error (429): Rate limit exceeded"
    );

    let error = read(&json!({"error": "x".repeat(900)})).unwrap_err();
    assert_eq!(error.reported().unwrap().message.len(), 300);

    let error = read(&json!({"object": "error", "message": "too long", "code": 40303}));
    assert_eq!(
        error.unwrap_err().reported().unwrap().code.as_deref(),
        Some("40303")
    );

    let mut body = answer(&json!({"content": "half"}), "error");
    body["choices"][0]["error"] = json!({"message": "Upstream died", "code": 502});
    assert!(read(&body).unwrap_err().reported().is_some());

    let mut body = answer(&json!({"content": "x"}), "stop");
    for placeholder in [json!(null), json!({}), json!(""), json!(false)] {
        body["error"] = placeholder;
        assert!(read(&body).is_ok());
    }
}

#[test]
fn reasons_quote_no_content() {
    for body in [
        r#"{"choices": "s3cret"}"#,
        r#"{"choices": [{"message": "s3cret"}]}"#,
        r#"{"choices": [{"message": {"content": {"s3cret": "s3cret"}}}]}"#,
        r#"{"s3cret" s3cret"#,
        r#""s3cret""#,
    ] {
        assert!(
            !read_answer(body.as_bytes())
                .unwrap_err()
                .reason()
                .contains("s3cret"),
            "{body}"
        );
    }
}

#[test]
fn only_known_good_endings_are_stored() {
    let message = json!({"content": "x"});
    for good in [
        "stop",
        "STOP",
        "end_turn",
        "eos",
        "stop_sequence",
        "COMPLETE",
    ] {
        assert!(storable(&message, good), "{good}");
    }
    for bad in [
        "",
        "length",
        "content_filter",
        "error",
        "SAFETY",
        "max_tokens",
        "tool_calls",
    ] {
        assert!(!storable(&message, bad), "{bad}");
    }
    let mut body = answer(&message, "stop");
    body["choices"][0]["finish_reason"] = Value::Null;
    assert_eq!(read(&body).unwrap().quality, Quality::Unfinished);
}

#[test]
fn of_several_choices_the_worst_counts() {
    let choice = |end: &str| json!({"message": {"content": "x"}, "finish_reason": end});
    let quality = |endings: [&str; 2]| {
        let body = json!({"choices": endings.map(choice)});
        read(&body).unwrap().quality
    };
    assert_eq!(quality(["stop", "stop"]), Quality::Stop);
    assert_eq!(quality(["stop", "length"]), Quality::Length);
    assert_eq!(
        quality(["content_filter", "length"]),
        Quality::ContentFilter
    );
    assert_eq!(quality(["odd", "stop"]), Quality::Unknown);
    assert_eq!(quality(["", "odd"]), Quality::Unfinished);
}

#[test]
fn every_kind_of_answer_has_its_name() {
    let text = json!({"content": "x"});
    let refused = json!({"content": null, "refusal": "no"});
    let nothing = json!({"content": ""});
    let half_a_call = call(&json!("{\"a\": "));
    for (message, ending, expected) in [
        (&text, "stop", Quality::Stop),
        (&call(&json!("{}")), "tool_calls", Quality::ToolCalls),
        (&call(&json!("{}")), "stop", Quality::ToolCalls),
        (&text, "length", Quality::Length),
        (&text, "max_tokens", Quality::Length),
        (&text, "content_filter", Quality::ContentFilter),
        (&text, "SAFETY", Quality::ContentFilter),
        (&nothing, "content_filter", Quality::ContentFilter),
        (&refused, "stop", Quality::Refusal),
        (&refused, "length", Quality::Refusal),
        (&text, "refusal", Quality::Refusal),
        (&nothing, "stop", Quality::Empty),
        (&nothing, "length", Quality::Empty),
        (&half_a_call, "length", Quality::BrokenToolCalls),
        (&half_a_call, "tool_calls", Quality::BrokenToolCalls),
        (&text, "tool_calls", Quality::BrokenToolCalls),
        (&text, "pause", Quality::Unknown),
        (
            &json!({"content": 5, "audio": {"data": "A"}}),
            "stop",
            Quality::Unknown,
        ),
        (&text, "", Quality::Unfinished),
        (&nothing, "", Quality::Unfinished),
    ] {
        assert_eq!(quality(message, ending), expected, "{message} {ending}");
    }
}

#[test]
fn empty_content_is_usable_but_not_stored() {
    for content in [json!(""), json!(" \n"), json!([])] {
        assert!(!storable(&json!({ "content": content }), "stop"));
    }
}

#[test]
fn tool_calls_are_stored_only_if_they_can_be_carried_out() {
    for good in ["{}", "", " ", r#"{"city": "Zürich"}"#, "[1]"] {
        assert!(storable(&call(&json!(good)), "tool_calls"), "{good}");
    }
    for bad in [
        json!(r#"{"city": "Zür"#),
        json!("{} {}"),
        json!({"city": 1}),
        Value::Null,
    ] {
        assert!(!storable(&call(&bad), "tool_calls"), "{bad}");
    }
    let legacy = |arguments: &str| json!({"function_call": {"name": "f", "arguments": arguments}});
    assert!(storable(&legacy("{}"), "function_call"));
    assert!(!storable(&legacy("{"), "function_call"));
    let custom = json!({"tool_calls": [{"type": "custom", "custom": {"name": "c", "input": "{"}}]});
    assert!(storable(&custom, "tool_calls"));
}

#[test]
fn text_is_measured_in_all_its_places() {
    let mut message = call(&json!("12345"));
    message["content"] = json!([{"type": "text", "text": "123"}, {"type": "image", "data": "xx"}]);
    message["reasoning"] = json!("1234");
    assert_eq!(
        read(&answer(&message, "tool_calls")).unwrap().text,
        5 + 3 + 4
    );
}

#[test]
fn usage_is_read_leniently() {
    let read = |usage: Value| Usage::read(&usage);
    assert_eq!(read(json!(null)), None);
    assert_eq!(read(json!({})), None);
    assert_eq!(
        read(json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})),
        None
    );
    let anthropic = read(json!({"input_tokens": 7, "output_tokens": 2.0, "total_tokens": null}));
    assert_eq!(anthropic.unwrap().total_tokens, 9);
    let odd =
        read(json!({"prompt_tokens": 7, "completion_tokens": -2, "prompt_tokens_details": 1}));
    assert_eq!(odd.unwrap().completion_tokens, 0);
    let deepseek = read(json!({"prompt_tokens": 7, "prompt_cache_hit_tokens": 99}));
    assert_eq!(deepseek.unwrap().cached_tokens, 7);
    // One mistaken count must not spoil all sums.
    let huge = read(json!({"prompt_tokens": u64::MAX, "completion_tokens": 1e300}));
    assert_eq!(huge, None);
    let own = read(json!({"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 90}));
    assert_eq!(
        own.map(|own| (own.prompt_tokens, own.cached_tokens)),
        Some((97, 90))
    );
}

#[test]
fn half_characters_are_usable_but_not_stored() {
    let body = br#"{"choices": [{"message": {"content": "\ud83d"}, "finish_reason": "stop"}]}"#;
    assert_eq!(read_answer(body).unwrap().quality, Quality::Mended);
}
