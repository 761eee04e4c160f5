use super::*;
use crate::chat::{Quality, read_answer};

mod shortcut;

fn fold_all(chunks: &[Value]) -> Result<Value, Invalid> {
    let chunks: Vec<_> = chunks
        .iter()
        .map(|chunk| chunk.to_string().into_bytes())
        .collect();
    let whole = fold(chunks.iter().map(Vec::as_slice))?;
    Ok(serde_json::from_slice(&whole).unwrap())
}

fn delta(delta: &Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn message(deltas: &[Value]) -> Value {
    let chunks: Vec<_> = deltas.iter().map(delta).collect();
    fold_all(&chunks).unwrap()["choices"][0]["message"].take()
}

#[test]
fn an_ordinary_stream_becomes_a_whole_answer() {
    let chunk = |choices: Value, usage: Value| {
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "service_tier": "default", "system_fingerprint": "fp", "obfuscation": "xyz",
            "choices": choices, "usage": usage})
    };
    let choice = |delta: Value, end: Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": end}]);
    let start = json!({"role": "assistant", "content": "", "refusal": null});
    let whole = fold_all(&[
        chunk(choice(start, json!(null)), json!(null)),
        chunk(
            choice(json!({"content": "Hello, "}), json!(null)),
            json!(null),
        ),
        chunk(
            choice(json!({"content": "wörld 🌍"}), json!(null)),
            json!(null),
        ),
        chunk(choice(json!({}), json!("stop")), json!(null)),
        chunk(
            json!([]),
            json!({"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}),
        ),
    ]);
    let expected = json!({"id": "c1", "object": "chat.completion", "created": 7, "model": "m",
        "service_tier": "default", "system_fingerprint": "fp",
        "choices": [{"index": 0, "logprobs": null, "finish_reason": "stop", "message":
            {"role": "assistant", "content": "Hello, wörld 🌍", "refusal": null}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}});
    assert_eq!(whole.unwrap(), expected);
}

#[test]
fn azures_first_chunk_without_choices_is_fine() {
    let first = json!({"id": "", "model": "", "created": 0, "choices": [],
        "prompt_filter_results": [{"prompt_index": 0}]});
    let mut second = delta(&json!({"content": "hi"}));
    second["id"] = json!("c1");
    second["choices"][0]["content_filter_results"] = json!({"hate": {"filtered": false}});
    let whole = fold_all(&[first.clone(), second, first]).unwrap();
    assert_eq!(whole["id"], "c1");
    assert_eq!(whole["prompt_filter_results"][0]["prompt_index"], 0);
    assert_eq!(
        whole["choices"][0]["content_filter_results"]["hate"]["filtered"],
        false
    );
    assert_eq!(whole.get("usage"), None);
}

#[test]
fn choices_are_told_apart_by_index() {
    let chunk = |index: u64, text: &str, end: Option<&str>| json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": end}]});
    let whole = fold_all(&[
        chunk(1, "b", None),
        chunk(0, "a", None),
        chunk(1, "B", Some("length")),
        chunk(0, "A", Some("stop")),
    ])
    .unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "aA");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["choices"][1]["message"]["content"], "bB");
    assert_eq!(whole["choices"][1]["index"], 1);
}

#[test]
fn interleaved_parallel_tool_calls_are_untangled() {
    let piece = |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let start = |index: u64, id: &str| {
        json!({"content": null, "tool_calls": [{"index": index, "id": id, "type": "function",
            "function": {"name": "weather", "arguments": ""}}]})
    };
    let message = message(&[
        start(0, "a"),
        start(1, "b"),
        piece(1, "{\"city\":"),
        piece(0, "{\"city\":"),
        piece(0, "\"Bern\"}"),
        piece(1, "\"Rom\"}"),
    ]);
    let call = |id: &str, arguments: &str| {
        json!({"id": id, "type": "function",
            "function": {"name": "weather", "arguments": arguments}})
    };
    let calls = [
        call("a", "{\"city\":\"Bern\"}"),
        call("b", "{\"city\":\"Rom\"}"),
    ];
    let expected = json!({"role": "assistant", "content": null, "tool_calls": calls});
    assert_eq!(message, expected);
}

#[test]
fn odd_indexes_of_tool_calls_are_understood() {
    let call = |index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let mut call = json!({"id": id, "function": {"name": name, "arguments": arguments}});
        if let Some(index) = index {
            call["index"] = json!(index);
        }
        json!({ "tool_calls": [call] })
    };
    let arguments = |deltas: &[Value]| -> Vec<String> {
        let calls = message(deltas)["tool_calls"].take();
        let calls = calls.as_array().unwrap().iter();
        calls
            .map(|call| call["function"]["arguments"].as_str().unwrap().to_owned())
            .collect()
    };
    let missing = [
        call(None, Some("a"), Some("f"), "{\"a\":"),
        call(None, None, None, "1}"),
        call(None, Some("b"), Some("f"), "{}"),
    ];
    assert_eq!(arguments(&missing), ["{\"a\":1}", "{}"]);
    let always_zero = [
        call(Some(0), Some("a"), Some("f"), "{}"),
        call(Some(0), Some("b"), Some("f"), "[]"),
    ];
    assert_eq!(arguments(&always_zero), ["{}", "[]"]);
    let new_ids = [
        call(Some(0), Some("a"), Some("f"), "{"),
        call(Some(0), Some("b"), None, "}"),
        call(Some(0), Some("a"), Some("f"), ""),
    ];
    assert_eq!(arguments(&new_ids), ["{}"]);
    assert_eq!(message(&new_ids)["tool_calls"][0]["id"], "a");
    assert_eq!(message(&new_ids)["tool_calls"][0]["function"]["name"], "f");
}

#[test]
fn legacy_function_calls_and_custom_tools_are_joined() {
    let legacy = message(&[
        json!({"function_call": {"name": "f", "arguments": ""}}),
        json!({"function_call": {"arguments": "{\"a\""}}),
        json!({"function_call": {"arguments": ":1}"}}),
    ]);
    assert_eq!(
        legacy["function_call"],
        json!({"name": "f", "arguments": "{\"a\":1}"})
    );
    let custom = |input: &str| json!({"tool_calls": [{"index": 0, "custom": {"input": input}}]});
    let custom = message(&[custom("SELECT "), custom("1")]);
    let expected = json!([{"type": "custom", "custom": {"input": "SELECT 1"}}]);
    assert_eq!(custom["tool_calls"], expected);
}

#[test]
fn null_and_empty_deltas_change_nothing() {
    let message = message(&[
        json!({"role": "assistant", "content": null, "tool_calls": null, "reasoning": null}),
        json!({"content": "x", "function_call": null, "tool_calls": []}),
        json!({"content": null, "role": null}),
        json!({"content": "y", "role": ""}),
        json!({}),
        Value::Null,
    ]);
    assert_eq!(message, json!({"role": "assistant", "content": "xy"}));
}

#[test]
fn reasoning_joins_where_it_was_cut() {
    let part = |text: &str, signature: Option<&str>| json!({"type": "reasoning.text", "index": 0, "text": text, "signature": signature});
    let message = message(&[
        json!({"reasoning": "a", "reasoning_details": [part("a", None)]}),
        json!({"reasoning": "b", "reasoning_details": [part("b", Some("sig"))]}),
        json!({"reasoning_details": [{"type": "reasoning.encrypted", "data": "xx", "index": 1}]}),
        json!({"reasoning_content": "c", "content": ""}),
    ]);
    assert_eq!(message["reasoning"], "ab");
    assert_eq!(message["reasoning_content"], "c");
    assert_eq!(message["reasoning_details"][0], part("ab", Some("sig")));
    assert_eq!(message["reasoning_details"].as_array().unwrap().len(), 2);
}

#[test]
fn content_in_parts_and_content_in_text_come_together() {
    let thinking = |text: &str| json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]});
    let deltas = [
        json!({"content": ""}),
        thinking("a"),
        thinking("b"),
        json!({"content": "c"}),
        json!({"content": "d"}),
    ];
    let expected = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]},
        {"type": "text", "text": "cd"}
    ]);
    assert_eq!(message(&deltas)["content"], expected);
    let text_first = [
        json!({"content": "a"}),
        json!({"content": [{"type": "text", "text": "b"}]}),
    ];
    assert_eq!(
        message(&text_first)["content"],
        json!([{"type": "text", "text": "ab"}])
    );
}

#[test]
fn lists_are_appended() {
    let link = |url: &str| json!({"annotations": [{"type": "url_citation", "url": url}]});
    let cited = message(&[link("a"), link("b")]);
    assert_eq!(cited["annotations"].as_array().unwrap().len(), 2);
    let logprobs = |token: &str| {
        let mut chunk = delta(&json!({"content": token}));
        chunk["choices"][0]["logprobs"] = json!({"content": [{"token": token}], "refusal": null});
        chunk
    };
    let whole = fold_all(&[
        delta(&json!({})),
        logprobs("a"),
        logprobs("b"),
        delta(&json!({})),
    ]);
    let expected = json!({"content": [{"token": "a"}, {"token": "b"}], "refusal": null});
    assert_eq!(whole.unwrap()["choices"][0]["logprobs"], expected);
}

#[test]
fn audio_is_joined_if_it_can_be() {
    let audio = |data: &str| delta(&json!({"audio": {"id": "a", "data": data, "transcript": "x"}}));
    let whole = fold_all(&[audio("AAAA"), audio("BBBB")]).unwrap();
    let expected = json!({"id": "a", "data": "AAAABBBB", "transcript": "xx"});
    assert_eq!(whole["choices"][0]["message"]["audio"], expected);
    assert!(fold_all(&[audio("AA=="), audio("BBBB")]).is_err());
    assert!(fold_all(&[audio("AAAA"), audio("BB==")]).is_ok());
}

#[test]
fn a_usage_that_is_no_object_is_none() {
    for odd in [json!("m"), json!(7), json!([]), json!(true), Value::Null] {
        let mut chunk = delta(&json!({"content": "x"}));
        chunk["usage"] = odd.clone();
        assert_eq!(
            fold_all(&[chunk.clone()]).unwrap().get("usage"),
            None,
            "{odd}"
        );
        let counted = json!({"usage": {"prompt_tokens": 3, "completion_tokens": 4}});
        let whole = fold_all(&[counted.clone(), chunk]).unwrap();
        assert_eq!(whole["usage"], counted["usage"], "{odd}");
    }
}

#[test]
fn broken_streams_are_refused() {
    assert!(fold_all(&[]).is_err());
    assert!(fold_all(&[json!({"choices": []})]).is_err());
    assert!(fold_all(&[delta(&json!({"content": 5}))]).is_err());
    assert!(fold_all(&[delta(&json!({"tool_calls": ["x"]}))]).is_err());
    assert!(fold([b"{".as_slice()]).is_err());
    let half = br#"{"choices": [{"delta": {"content": "\ud83d"}}]}"#;
    assert!(fold([half.as_slice()]).is_err());
    let error = json!({"error": {"message": "died", "code": 502}, "choices": []});
    let error = fold_all(&[delta(&json!({"content": "x"})), error]).unwrap_err();
    assert_eq!(error.reported().unwrap().status(), Some(502));
}

#[test]
fn an_answer_of_a_cut_stream_is_not_storable() {
    let whole = fold_all(&[delta(&json!({"content": "half an ans"}))]).unwrap();
    let answer = read_answer(whole.to_string().as_bytes()).unwrap();
    assert_eq!(answer.quality, Quality::Unfinished);
}

#[test]
fn a_whole_answer_sent_as_one_event_is_taken() {
    let choice = json!({"message": {"content": "x"}, "finish_reason": "stop"});
    let whole = fold_all(&[json!({ "choices": [choice] })]).unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "x");
}
