//! Only complete, good answers are kept.

use super::{
    Act, Answer, End, Proxy, ask, ask_stream, completion, delta, event, finish, json, start,
};

/// Asks twice and expects two calls and no hit.
async fn is_never_kept(what: &str, act: Act) -> Answer {
    let (upstream, proxy) = start("retry.max_attempts = 1").await;
    upstream.set(act);
    let first = proxy.chat(&ask("q")).await;
    let second = proxy.chat(&ask("q")).await;
    assert_eq!(upstream.calls(), 2, "{what}");
    assert_eq!(first.status, second.status, "{what}");
    assert_ne!(second.header("x-cache"), "HIT", "{what}");
    first
}

#[tokio::test]
async fn errors_are_never_kept() {
    for status in [400, 401, 404, 422, 429, 500, 503] {
        let answer = is_never_kept("an error", Act::error(status, &[])).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.json()["error"]["type"], "scripted");
    }
}

#[tokio::test]
async fn answers_that_are_not_finished_are_passed_on_and_never_kept() {
    for reason in ["length", "content_filter"] {
        let mut cut = completion("Once upon");
        cut["choices"][0]["finish_reason"] = reason.into();
        let answer = is_never_kept(reason, Act::json(200, &cut)).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "Once upon"));
    }
    let empty = is_never_kept("empty", Act::says("")).await;
    assert_eq!((empty.status, empty.text().as_str()), (200, ""));
    let mut call = completion("");
    call["choices"][0] = json!({"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": "}}]}});
    let answer = is_never_kept("tool call", Act::json(200, &call)).await;
    assert_eq!(answer.json(), call);
    let mut one_of_two = completion("fine");
    let choice = json!({"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "cu"}});
    one_of_two["choices"].as_array_mut().unwrap().push(choice);
    is_never_kept("one of two", Act::json(200, &one_of_two)).await;
}

#[tokio::test]
async fn good_tool_calls_are_kept() {
    let (upstream, proxy) = start("").await;
    let mut call = completion("");
    call["choices"][0] = json!({"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": null,
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}}]}});
    upstream.set(Act::json(200, &call));
    for source in ["MISS", "HIT"] {
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!(
            (answer.header("x-cache"), answer.json()),
            (source, call.clone())
        );
    }
}

#[tokio::test]
async fn broken_and_unfinished_streams_are_never_kept() {
    let begun = || Act::stream().chunk(event(&delta("Once upon")));
    let acts = [
        begun().then(End::Close),
        begun().then(End::Reset),
        begun().last_chunk(),
        begun().chunk(event("[DONE]")).last_chunk(),
        begun()
            .chunk(event(
                "{\"error\":{\"message\":\"overloaded\",\"code\":529}}",
            ))
            .last_chunk(),
        begun()
            .chunk(event(&finish("length")) + &event("[DONE]"))
            .last_chunk(),
        begun()
            .chunk(event(&finish("content_filter")) + &event("[DONE]"))
            .last_chunk(),
        Act::streams(&[""]),
    ];
    for (at, act) in acts.into_iter().enumerate() {
        let (upstream, proxy) = start("").await;
        upstream.set(act);
        for _ in 0..2 {
            let events = proxy.stream(&ask_stream("q")).await;
            assert_eq!((events.status, events.header("x-cache")), (200, "MISS"));
            events.all().await;
        }
        assert_eq!(upstream.calls(), 2, "act {at}");
        assert_eq!(kept(&proxy).await, 0, "act {at}");
    }
}

#[tokio::test]
async fn a_stream_whose_client_leaves_is_not_kept() {
    let (upstream, proxy) = start("").await;
    upstream.once(
        Act::stream()
            .chunk(event(&delta("Once upon")))
            .then(End::Silence),
    );
    let mut events = proxy.stream(&ask_stream("q")).await;
    events.next().await.unwrap();
    drop(events);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
    assert_eq!(kept(&proxy).await, 0);
    assert_eq!(proxy.chat(&ask("q")).await.text(), "Hello.");
}

async fn kept(proxy: &Proxy) -> u64 {
    let stats = proxy.get("/api/optimization-stats").await.json();
    stats["performance"]["cacheSize"].as_u64().unwrap()
}
