use proptest::prelude::*;

use super::*;
use crate::chat::{Watch, fold, read_answer};

fn unfold_value(whole: &Value, include_usage: bool) -> Vec<Value> {
    let chunks = unfold(whole.to_string().as_bytes(), include_usage).unwrap();
    chunks
        .iter()
        .map(|chunk| serde_json::from_slice(chunk).unwrap())
        .collect()
}

fn example() -> Value {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m",
        "system_fingerprint": "fp", "citations": ["u"],
        "choices": [
            {"index": 0, "logprobs": null, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "hi", "refusal": null}},
            {"index": 1, "logprobs": null, "finish_reason": "tool_calls",
                "message": {"role": "assistant", "content": null, "tool_calls": [call]}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})
}

#[test]
fn a_whole_answer_becomes_the_chunks_that_clients_expect() {
    let chunks = unfold_value(&example(), true);
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "system_fingerprint": "fp", "choices": choices, "usage": usage})
    };
    let call = json!({"index": 0, "id": "a", "type": "function",
        "function": {"name": "f", "arguments": "{}"}});
    let mut first = chunk(
        json!([{"index": 0, "logprobs": null, "finish_reason": null,
            "delta": {"role": "assistant", "content": "hi", "refusal": null}}]),
        Value::Null,
    );
    first["citations"] = json!(["u"]);
    let second = json!([{"index": 1, "logprobs": null, "finish_reason": null,
        "delta": {"role": "assistant", "content": null, "tool_calls": [call]}}]);
    let finish =
        |index: u64, end: &str| json!([{"index": index, "delta": {}, "finish_reason": end}]);
    let expected = [
        first,
        chunk(second, Value::Null),
        chunk(finish(0, "stop"), Value::Null),
        chunk(finish(1, "tool_calls"), Value::Null),
        chunk(json!([]), example()["usage"].clone()),
    ];
    assert_eq!(chunks, expected);
}

#[test]
fn usage_comes_only_if_asked_for() {
    let chunks = unfold_value(&example(), false);
    assert_eq!(chunks.len(), 4);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    let mut whole = example();
    whole["usage"] = Value::Null;
    assert_eq!(unfold_value(&whole, true).len(), 4);
}

#[test]
fn missing_or_equal_indexes_are_replaced_by_positions() {
    for own in [json!(null), json!(0)] {
        let mut whole = example();
        whole["choices"][0]["index"] = own.clone();
        whole["choices"][1]["index"] = own;
        let chunks = unfold_value(&whole, false);
        let indexes: Vec<_> = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0]["index"])
            .collect();
        assert_eq!(indexes, [0, 1, 0, 1]);
    }
}

#[test]
fn an_unfinished_answer_makes_an_unfinished_stream() {
    let mut whole = example();
    whole["choices"][0]["finish_reason"] = Value::Null;
    let mut watch = Watch::new();
    for chunk in unfold(whole.to_string().as_bytes(), true).unwrap() {
        watch.chunk(&chunk).unwrap();
    }
    assert!(!watch.is_complete());
}

#[test]
fn numbers_stay_what_they_are_in_either_form() {
    // A reader in a hurry takes most of these for the double beside them.
    for number in [
        "184467440737096.38",
        "-0.9630246854846871",
        "-0.045944555880374244",
        "1e-7",
    ] {
        let whole = format!(
            r#"{{"choices":[{{"message":{{"content":"a"}},"finish_reason":"stop","logprobs":{{"content":[{{"logprob":{number}}}]}}}}]}}"#
        );
        let chunks = unfold(whole.as_bytes(), false).unwrap();
        let folded = fold(chunks.iter().map(AsRef::as_ref)).unwrap();
        for text in [&chunks[0][..], &folded] {
            let text = std::str::from_utf8(text).unwrap();
            assert!(text.contains(&format!(":{number}}}")), "{number}: {text}");
        }
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    for body in [
        "",
        "{}",
        r#"{"error": "x"}"#,
        r#"{"choices": []}"#,
        r#"{"choices": [{}]}"#,
    ] {
        assert!(unfold(body.as_bytes(), false).is_err(), "{body}");
    }
}

fn text() -> impl Strategy<Value = String> {
    "[ -~äß世界🙂\\n\"\\\\]{0,40}"
}

fn message() -> impl Strategy<Value = Value> {
    let call = (text(), "[a-z]{1,8}", text()).prop_map(|(id, name, arguments)| {
        json!({"id": format!("id{id}"), "type": "function",
            "function": {"name": name, "arguments": arguments}})
    });
    let detail = text().prop_map(|text| json!({"type": "reasoning.text", "text": text}));
    let content = prop_oneof![
        Just(Value::Null),
        text().prop_map(Value::String),
        prop::collection::vec(text(), 0..3).prop_map(|texts| {
            texts
                .iter()
                .map(|text| json!({"type": "text", "text": text}))
                .collect()
        }),
    ];
    let calls = prop::option::of(prop::collection::vec(call, 1..4));
    let details = prop::option::of(prop::collection::vec(detail, 1..3));
    let reasoning = prop::option::of(text());
    (content, calls, details, reasoning, text()).prop_map(
        |(content, calls, details, reasoning, custom)| {
            let mut message = json!({"role": "assistant", "content": content, "custom": custom});
            for (key, value) in [
                ("tool_calls", calls.map(Value::Array)),
                ("reasoning_details", details.map(Value::Array)),
                ("reasoning", reasoning.map(Value::String)),
            ] {
                if let Some(value) = value {
                    message[key] = value;
                }
            }
            message
        },
    )
}

/// Any value under any of the keys that the readers know, most of them in the wrong place.
fn chunk_like() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "choices",
        "index",
        "delta",
        "message",
        "finish_reason",
        "content",
        "tool_calls",
        "id",
        "function",
        "name",
        "arguments",
        "audio",
        "data",
        "usage",
        "logprobs",
        "type",
        "text",
        "reasoning_details",
        "function_call",
        "error",
        "custom",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0u8..3).prop_map(Value::from),
        "[a-c=]{0,3}".prop_map(Value::from),
    ];
    let odd = leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..4)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    });
    let call = (odd.clone(), 0u8..3, "[ab]?", "[f]?").prop_map(|(odd, index, id, name)| {
        json!({"index": index, "id": id, "function": {"name": name, "arguments": odd}})
    });
    (odd.clone(), odd.clone(), call, odd, 0u8..8).prop_map(|(odd, content, call, end, kind)| {
        match kind {
            0 => odd,
            1 => json!({ "choices": odd }),
            2 => json!({"choices": [odd]}),
            3 => json!({"choices": [{"delta": odd, "finish_reason": end}]}),
            4 => json!({"choices": [{"delta": {"content": content}, "logprobs": odd}]}),
            5 => json!({"choices": [{"delta": {"audio": odd, "reasoning_details": content}}]}),
            _ => json!({"choices": [{"delta": {"tool_calls": [call], "function_call": odd}}]}),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn folding_undoes_unfolding(
        messages in prop::collection::vec(message(), 1..4),
        include_usage: bool,
        tokens in 1u64..9999,
    ) {
        let choices: Vec<_> = messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| {
                json!({"index": index, "message": message, "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "x", "logprob": -0.5}]}})
            })
            .collect();
        let mut whole = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": choices, "x_unknown": {"deep": [1, null]},
            "usage": {"prompt_tokens": tokens, "completion_tokens": 1}});
        let chunks = unfold(whole.to_string().as_bytes(), include_usage).unwrap();
        let mut watch = Watch::new();
        for chunk in &chunks {
            watch.chunk(chunk).unwrap();
        }
        prop_assert!(watch.is_complete());
        let folded = fold(chunks.iter().map(AsRef::as_ref)).unwrap();
        if !include_usage {
            whole.as_object_mut().unwrap().remove("usage");
        }
        prop_assert_eq!(serde_json::from_slice::<Value>(&folded).unwrap(), whole.clone());
        if let Ok(answer) = read_answer(whole.to_string().as_bytes()) {
            prop_assert_eq!(watch.text(), answer.text);
        }
    }

    #[test]
    fn no_json_makes_the_readers_panic(values in prop::collection::vec(chunk_like(), 1..4)) {
        let texts: Vec<_> = values.iter().map(|value| value.to_string().into_bytes()).collect();
        let mut watch = Watch::new();
        let watched = texts.iter().try_for_each(|text| watch.chunk(text));
        let folded = fold(texts.iter().map(Vec::as_slice));
        // What a watch refuses must not come back as a whole answer.
        prop_assert!(watched.is_ok() || folded.is_err());
        if let Ok(folded) = folded {
            let whole = serde_json::from_slice::<Value>(&folded).unwrap();
            prop_assert!(unfold(whole.to_string().as_bytes(), true).is_ok());
            let _ = read_answer(&folded);
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(data: Vec<u8>) {
        let _ = read_answer(&data);
        let _ = Watch::new().chunk(&data);
        let _ = fold([data.as_slice()]);
        let _ = unfold(&data, true);
    }
}
