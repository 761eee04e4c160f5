//! P16: a 200 of the wrong shape is an error, never an empty answer.

use super::{Act, Door, ONE_ATTEMPT, Value, completion, json, start};
use crate::support::{delta, event, finish};

/// Whole answers that are none.
fn whole() -> Vec<(&'static str, Value)> {
    let with = |change: fn(&mut Value)| {
        let mut answer = completion("x");
        change(&mut answer);
        answer
    };
    vec![
        ("null", json!(null)),
        ("a number", json!(5)),
        ("a string", json!("hello")),
        ("an array", json!([completion("x")])),
        ("an empty object", json!({})),
        (
            "an error object",
            json!({"error": {"message": "overloaded", "code": 529}}),
        ),
        ("an error string", json!({"error": "overloaded"})),
        (
            "an error beside choices",
            with(|answer| answer["error"] = json!({"message": "overloaded"})),
        ),
        (
            "an error in the choice",
            with(|answer| answer["choices"][0]["error"] = json!({"message": "overloaded"})),
        ),
        ("choices []", with(|answer| answer["choices"] = json!([]))),
        (
            "choices null",
            with(|answer| answer["choices"] = json!(null)),
        ),
        ("choices {}", with(|answer| answer["choices"] = json!({}))),
        (
            "a choice null",
            with(|answer| answer["choices"] = json!([null])),
        ),
        (
            "a choice {}",
            with(|answer| answer["choices"] = json!([{}])),
        ),
        (
            "a message null",
            with(|answer| answer["choices"][0]["message"] = json!(null)),
        ),
        (
            "a message of text",
            with(|answer| answer["choices"][0]["message"] = json!("x")),
        ),
        (
            "a message {}",
            with(|answer| answer["choices"][0]["message"] = json!({})),
        ),
        (
            "content null",
            with(|answer| answer["choices"][0]["message"]["content"] = json!(null)),
        ),
        (
            "content a number",
            with(|answer| answer["choices"][0]["message"]["content"] = json!(5)),
        ),
        (
            "content an object",
            with(|answer| answer["choices"][0]["message"]["content"] = json!({"text": "x"})),
        ),
        (
            "content false",
            with(|answer| answer["choices"][0]["message"]["content"] = json!(false)),
        ),
        (
            "no content",
            with(|answer| answer["choices"][0]["message"] = json!({"role": "assistant"})),
        ),
        (
            "the old completion",
            json!({"object": "text_completion", "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}),
        ),
        (
            "another API's answer",
            json!({"type": "message", "role": "assistant", "content": [{"type": "text", "text": "x"}], "stop_reason": "end_turn"}),
        ),
    ]
}

#[tokio::test]
async fn p16_a_200_of_the_wrong_shape_is_an_error() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    for (shape, answer) in whole() {
        upstream.set(Act::json(200, &answer));
        for door in Door::ALL {
            let what = format!("{shape}, {door:?}");
            door.ask(&nest, &what).await.assert_refused(&what);
        }
    }
}

/// Events that make no answer, each before an ending that claims one.
fn events() -> Vec<(&'static str, String)> {
    let choice =
        |choice: Value| json!({"id": "x", "object": "chat.completion.chunk", "choices": [choice]});
    let all = [
        ("null", json!(null)),
        ("a number", json!(5)),
        ("a string", json!("hello")),
        ("an array", json!([])),
        (
            "an error object",
            json!({"error": {"message": "overloaded", "code": 529}}),
        ),
        ("an error string", json!({"error": "overloaded"})),
        (
            "an error in the choice",
            choice(json!({"index": 0, "delta": {}, "error": {"message": "overloaded"}})),
        ),
        ("choices {}", json!({"choices": {}})),
        ("a choice null", choice(json!(null))),
        ("a delta of text", choice(json!({"index": 0, "delta": "x"}))),
        (
            "content a number",
            choice(json!({"index": 0, "delta": {"content": 5}})),
        ),
        (
            "content an object",
            choice(json!({"index": 0, "delta": {"content": {"text": "x"}}})),
        ),
        (
            "an ending in error",
            choice(json!({"index": 0, "delta": {}, "finish_reason": "error"})),
        ),
        (
            "a choice that never ends",
            choice(json!({"index": 1, "delta": {"content": "x"}})),
        ),
    ];
    all.into_iter()
        .map(|(name, data)| (name, event(&data.to_string())))
        .chain([
            ("no JSON", event("oops")),
            ("cut JSON", event("{\"choices\":[{\"delta")),
        ])
        .collect()
}

fn stream(body: &str) -> Act {
    Act::response(200, &[("content-type", "text/event-stream")], body)
}

#[tokio::test]
async fn p16_events_of_the_wrong_shape_are_an_error() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let ending = event(&finish("stop")) + &event("[DONE]");
    for (shape, broken) in events() {
        for begun in ["", &event(&delta("Half an"))] {
            upstream.set(stream(&format!("{begun}{broken}{ending}")));
            for door in Door::ALL {
                let what = format!("{shape}, after {begun:?}, {door:?}");
                let outcome = door.ask(&nest, &what).await;
                outcome.assert_failure(&what);
                assert!(
                    door.streams() || outcome.status != 200,
                    "{what}: {outcome:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn p16_a_stream_that_says_nothing_is_an_error() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let done = event("[DONE]");
    let role =
        event(&json!({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}).to_string());
    let nothing = [
        ("nothing", String::new()),
        ("only [DONE]", done.clone()),
        ("only comments", ": hello\n\n".repeat(3)),
        ("only pings", "event: ping\ndata: {}\n\n".repeat(3)),
        ("no choices", event("{\"choices\":[]}") + &done),
        ("only a role", role.clone() + &done),
    ];
    for (what, body) in nothing {
        upstream.set(stream(&body));
        for door in Door::ALL {
            let what = format!("{what}, {door:?}");
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_failure(&what);
            assert!(
                door.streams() || outcome.status != 200,
                "{what}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn p16_a_stream_that_ends_well_without_a_word_is_no_answer() {
    let (upstream, nest) = start(ONE_ATTEMPT).await;
    let ending = event(&finish("stop")) + &event("[DONE]");
    upstream.set(stream(&ending));
    for door in Door::ALL {
        // What a live stream has not said cannot be taken back; /v1 passes on its ending as it came.
        if door != Door::ChatStream {
            let what = format!("{door:?}");
            door.ask(&nest, &what).await.assert_failure(&what);
        }
    }
}
