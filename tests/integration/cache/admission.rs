//! Only complete, good answers are kept.

use serde_json::Value;

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

#[tokio::test]
async fn what_the_operator_admits_is_kept() {
    let (upstream, proxy) = start("cache.admit = [\"length\", \"refusal\"]").await;
    let mut cut = completion("Once upon");
    cut["choices"][0]["finish_reason"] = "length".into();
    upstream.once(Act::json(200, &cut));
    for source in ["MISS", "HIT"] {
        let answer = proxy.chat(&ask("whole")).await;
        assert_eq!(
            (answer.header("x-cache"), answer.json()),
            (source, cut.clone())
        );
    }
    let streamed = event(&delta("Once upon")) + &event(&finish("length")) + &event("[DONE]");
    upstream.once(Act::stream().chunk(streamed).last_chunk());
    for source in ["MISS", "HIT"] {
        let events = proxy.stream(&ask_stream("stream")).await;
        assert_eq!(events.header("x-cache"), source);
        let all = events.all().await.concat();
        assert!(all.contains("Once upon") && all.contains("length"), "{all}");
    }
    assert_eq!(upstream.calls(), 2);
    // What is not in the list is not kept, though it is by default.
    for _ in 0..2 {
        assert_eq!(proxy.chat(&ask("stop")).await.header("x-cache"), "MISS");
    }
    assert_eq!(refused(&proxy).await, json!({"stop": 2}));
}

#[tokio::test]
async fn what_the_proxys_own_limit_cut_off_is_never_kept() {
    let (upstream, proxy) = start("cache.admit = [\"stop\", \"length\"]").await;
    let mut cut = completion("Once upon");
    cut["choices"][0]["finish_reason"] = "length".into();
    upstream.set(Act::json(200, &cut));
    let own_limit = json!({"prompt": "q", "max_tokens": 9});
    for (form, sources) in [
        (json!({"prompt": "q"}), ["MISS", "MISS"]),
        (own_limit, ["MISS", "HIT"]),
    ] {
        for source in sources {
            let answer = proxy.post("/create", &form, &[]).await;
            assert_eq!(
                (answer.status, answer.header("x-cache")),
                (200, source),
                "{form}"
            );
        }
    }
    assert_eq!(refused(&proxy).await, json!({"length": 2}));
    upstream.set(Act::says("All of it."));
    for source in ["MISS", "HIT"] {
        let answer = proxy
            .post("/create", &json!({"prompt": "short"}), &[])
            .await;
        assert_eq!(answer.header("x-cache"), source);
    }
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let (upstream, proxy) = start("retry.max_attempts = 1\ncache.max_bytes = \"1KiB\"").await;
    assert_eq!(refused(&proxy).await, json!({}));
    upstream.once(Act::error(400, &[]));
    upstream.once(Act::says(""));
    upstream.once(Act::says(&"long ".repeat(400)));
    for prompt in ["a", "b", "c", "good"] {
        proxy.chat(&ask(prompt)).await;
    }
    let begun = || Act::stream().chunk(event(&delta("Once upon")));
    upstream.once(begun().then(End::Close));
    upstream.once(
        begun()
            .chunk(event(&finish("odd")) + &event("[DONE]"))
            .last_chunk(),
    );
    for prompt in ["d", "e"] {
        proxy.stream(&ask_stream(prompt)).await.all().await;
    }
    let expected = json!({"error": 2, "empty": 1, "too_large": 1, "unknown": 1});
    assert_eq!(refused(&proxy).await, expected);
}

#[tokio::test]
async fn hot_requests_pass_the_cache_by() {
    let (upstream, proxy) = start("cache.max_temperature = 0.5").await;
    let mut cool = ask("q");
    cool["temperature"] = json!(0.5);
    for source in ["MISS", "HIT"] {
        assert_eq!(proxy.chat(&cool).await.header("x-cache"), source);
    }
    let mut hot = ask("q");
    hot["temperature"] = json!(0.6);
    let mut null = ask("q");
    null["temperature"] = Value::Null;
    // Without a temperature it is 1.
    for request in [&hot, &hot, &ask("q"), &ask("q"), &null] {
        let answer = proxy.chat(request).await;
        assert_eq!(answer.header("x-cache"), "BYPASS", "{request}");
        assert_eq!(answer.header("cache-status"), "pegasus-nest; fwd=bypass");
    }
    let create = json!({"prompt": "q"});
    let cooler = json!({"prompt": "q", "temperature": 0});
    for (form, source) in [
        (&create, "BYPASS"),
        (&create, "BYPASS"),
        (&cooler, "MISS"),
        (&cooler, "HIT"),
    ] {
        assert_eq!(
            proxy.post("/create", form, &[]).await.header("x-cache"),
            source,
            "{form}"
        );
    }
    assert_eq!(upstream.calls(), 9);
}

#[tokio::test]
async fn an_endpoint_without_a_time_passes_the_cache_by() {
    let (upstream, proxy) = start("cache.routes = [\"/create=0s\", \"/create/chat=10m\"]").await;
    for source in ["BYPASS", "BYPASS"] {
        let answer = proxy.post("/create", &json!({"prompt": "q"}), &[]).await;
        assert_eq!(answer.header("x-cache"), source);
        assert_eq!(answer.header("cache-status"), "pegasus-nest; fwd=bypass");
    }
    assert_eq!(kept(&proxy).await, 0);
    for source in ["MISS", "HIT"] {
        let answer = proxy
            .post("/create/chat", &json!({"message": "q"}), &[])
            .await;
        assert_eq!(answer.header("x-cache"), source);
        assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), source);
    }
    assert_eq!(upstream.calls(), 4);
}

/// `refusedByReason`, which must add up.
async fn refused(proxy: &Proxy) -> Value {
    let stats = proxy.get("/api/optimization-stats").await.json();
    let by_reason = stats["cache"]["refusedByReason"].clone();
    let counts = by_reason.as_object().unwrap().values();
    let sum: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(stats["cache"]["refused"], sum);
    by_reason
}

async fn kept(proxy: &Proxy) -> u64 {
    let stats = proxy.get("/api/optimization-stats").await.json();
    stats["performance"]["cacheSize"].as_u64().unwrap()
}
