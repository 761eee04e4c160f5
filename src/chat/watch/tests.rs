use serde_json::json;

use super::*;

fn watch(chunks: &[Value]) -> Result<Watch, Invalid> {
    let mut watch = Watch::new();
    for chunk in chunks {
        watch.chunk(chunk.to_string().as_bytes())?;
    }
    Ok(watch)
}

fn delta(index: u64, delta: &Value, finish_reason: Option<&str>) -> Value {
    json!({"choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]})
}

fn reason(chunk: &str) -> String {
    Watch::new()
        .chunk(chunk.as_bytes())
        .unwrap_err()
        .reason()
        .to_owned()
}

#[test]
fn complete_when_every_choice_seen_is_finished() {
    let hi = json!({"content": "hi"});
    assert!(!watch(&[]).unwrap().is_complete());
    assert!(!watch(&[json!({"choices": []})]).unwrap().is_complete());
    assert!(!watch(&[delta(0, &hi, None)]).unwrap().is_complete());
    assert!(!watch(&[delta(0, &hi, Some(""))]).unwrap().is_complete());
    let one = [delta(1, &hi, None), delta(0, &hi, Some("stop"))];
    assert!(!watch(&one).unwrap().is_complete());
    let both = [
        delta(1, &hi, None),
        delta(0, &hi, Some("length")),
        delta(1, &hi, Some("stop")),
    ];
    let both = watch(&both).unwrap();
    assert!(both.is_complete());
}

#[test]
fn usage_is_the_last_that_counts_something() {
    let usage = |prompt: u64| json!({"usage": {"prompt_tokens": prompt, "completion_tokens": 0}});
    let watch = watch(&[
        usage(3),
        usage(7),
        usage(0),
        json!({"choices": [], "usage": null}),
    ]);
    assert_eq!(watch.unwrap().usage().unwrap().prompt_tokens, 7);
}

#[test]
fn text_is_measured_in_all_its_places() {
    let watch = watch(&[
        delta(
            0,
            &json!({"role": "assistant", "content": null, "tool_calls": null}),
            None,
        ),
        delta(
            0,
            &json!({"content": "12345", "reasoning": "12", "refusal": null}),
            None,
        ),
        delta(0, &json!({"reasoning_content": "é", "refusal": "1"}), None),
        delta(
            0,
            &json!({"tool_calls": [{"function": {"name": "f", "arguments": "123"}}]}),
            None,
        ),
        delta(
            0,
            &json!({"content": [{"type": "text", "text": "1"}]}),
            None,
        ),
        delta(0, &json!({"function_call": {"arguments": "12"}}), None),
    ])
    .unwrap();
    assert_eq!(watch.text(), 5 + 2 + 2 + 1 + 3 + 1 + 2);
}

#[test]
fn errors_in_a_stream_are_told_apart() {
    let mut watch = Watch::new();
    let chunk = json!({"id": "gen-1", "error": {"code": 502, "message": "Provider disconnected"},
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]});
    let error = watch.chunk(chunk.to_string().as_bytes()).unwrap_err();
    assert_eq!(error.reported().unwrap().status(), Some(502));
    assert!(reason(r#"{"error": "overloaded"}"#).ends_with("overloaded"));
    assert!(reason(r#"{"choices": [{"error": {"message": "no"}}]}"#).ends_with("no"));
    assert!(reason(r#"{"choices": [{"finish_reason": "error"}]}"#).contains("with an error"));
    assert!(!watch.is_complete());
    assert!(watch.chunk(br#"{"error": null, "choices": []}"#).is_ok());
}

#[test]
fn wrong_shapes_are_refused_with_a_reason() {
    assert!(reason("hello").contains("not JSON"));
    assert!(reason("").contains("empty"));
    assert!(reason("[]").contains("an array"));
    assert!(reason(r#"{"choices": {}}"#).contains("choices are an object"));
    assert!(reason(r#"{"choices": [1]}"#).contains("a number"));
    assert!(reason(r#"{"choices": [{"delta": "x"}]}"#).contains("delta is a string"));
    assert!(reason(r#"{"choices": [{"delta": {"content": 5}}]}"#).contains("a number"));
    assert!(reason(r#"{"choices": [{"index": "one"}]}"#).contains("wrong type"));
}

#[test]
fn choices_without_end_are_refused() {
    let mut watch = Watch::new();
    let mut chunk =
        |index: usize| watch.chunk(delta(index as u64, &json!({}), None).to_string().as_bytes());
    assert!((0..MAX_CHOICES).all(|index| chunk(index).is_ok()));
    assert!(chunk(5).is_ok());
    assert!(chunk(MAX_CHOICES).is_err());
}

#[test]
fn halves_of_a_surrogate_pair_in_two_chunks_pass() {
    let mut watch = Watch::new();
    for half in [r"\ud83d", r"\ude00"] {
        let chunk = format!(r#"{{"choices": [{{"delta": {{"content": "{half}"}}}}]}}"#);
        watch.chunk(chunk.as_bytes()).unwrap();
    }
    assert!(watch.text() > 0);
}

#[test]
fn arrays_of_the_right_values_are_no_chunks() {
    for chunk in [
        r#"[[[0,{"content":"hi"},null,"stop",null]],null,null]"#,
        r#"{"choices":[[0,{"content":"hi"},null,"stop",null]]}"#,
        r#"{"choices":[{"index":0,"delta":["hi",null,null,null,null,null],"finish_reason":"stop"}]}"#,
    ] {
        let mut watch = Watch::new();
        assert!(watch.chunk(chunk.as_bytes()).is_err(), "{chunk}");
        assert!(!watch.is_complete());
    }
}
