//! Which requests are the same: whatever can change the answer tells them apart, nothing else does.

use http::Method;

use super::{Act, Gate, Value, ask, json, start};

#[tokio::test]
async fn sixteen_different_requests_are_sixteen_calls() {
    let (upstream, proxy) = start("").await;
    let with = |key: &str, value: Value| {
        let mut request = ask("a");
        request[key] = value;
        request
    };
    let user = |content: Value| json!([{"role": "user", "content": content}]);
    let variants = [
        ask("a"),
        ask("A"),
        ask("a\u{301}"),
        ask("\u{e1}"),
        with("model", json!("m2")),
        with("messages", json!([{"role": "system", "content": "a"}])),
        with("messages", user(json!([{"type": "text", "text": "a"}]))),
        with(
            "messages",
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": "a"}]),
        ),
        with("seed", json!(1)),
        with("seed", json!(2)),
        with("temperature", json!(1)),
        with("temperature", json!(1.0)),
        with("max_tokens", json!(5)),
        with("n", json!(1)),
        with("unknown_field", json!({"x": [1, 2]})),
        with("unknown_field", json!({"x": [2, 1]})),
    ];
    for round in ["MISS", "HIT"] {
        for variant in &variants {
            let answer = proxy.chat(variant).await;
            assert_eq!(
                (answer.status, answer.header("x-cache")),
                (200, round),
                "{variant}"
            );
        }
        assert_eq!(upstream.calls(), 16);
    }
}

#[tokio::test]
async fn spelling_and_shape_make_no_difference() {
    let (upstream, proxy) = start("").await;
    let spellings = [
        r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"seed":1}"#,
        r#"{ "seed" : 1, "messages" : [ { "content" : "h\u00e9", "role" : "user" } ], "model" : "m" }"#,
        "{\"model\":\"m\",\n\t\"seed\":1,\"messages\":[{\"role\":\"user\",\"content\":\"hé\"}]}",
        r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"seed":1,"stream":false}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"seed":1,"stream":true}"#,
        r#"{"model":"m","messages":[{"role":"user","content":"hé"}],"seed":1,"stream":true,"stream_options":{"include_usage":true}}"#,
    ];
    for (at, spelling) in spellings.iter().enumerate() {
        let request = proxy
            .request(Method::POST, "/v1/chat/completions")
            .header("content-type", "application/json")
            .header("user-agent", format!("client {at}"))
            .body(*spelling);
        let answer = proxy.send(request).await;
        let expected = if at == 0 { "MISS" } else { "HIT" };
        assert_eq!(answer.header("x-cache"), expected, "{spelling}");
    }
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn callers_with_different_credentials_share_nothing() {
    let (upstream, proxy) = start("").await;
    let as_caller = async |credential: &str| {
        let answer = proxy
            .chat_with(&ask("q"), &[("authorization", credential)])
            .await;
        answer.header("x-cache").to_owned()
    };
    assert_eq!(as_caller("Bearer a").await, "MISS");
    assert_eq!(as_caller("Bearer b").await, "MISS");
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "MISS");
    assert_eq!(as_caller("Bearer a").await, "HIT");
    assert_eq!(as_caller("Bearer b").await, "HIT");
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "HIT");
    assert_eq!(upstream.calls(), 3);
}

#[tokio::test]
async fn in_the_global_scope_all_share() {
    let settings = "cache.scope = \"global\"\nupstream.api_key = \"own\"";
    let (upstream, proxy) = start(settings).await;
    proxy
        .chat_with(&ask("q"), &[("authorization", "Bearer a")])
        .await;
    let other = proxy
        .chat_with(&ask("q"), &[("authorization", "Bearer b")])
        .await;
    assert_eq!(other.header("x-cache"), "HIT");
    assert_eq!(proxy.chat(&ask("q")).await.header("x-cache"), "HIT");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn headers_that_can_change_the_answer_tell_requests_apart() {
    let (upstream, proxy) = start("").await;
    for organization in ["a", "b"] {
        let answer = proxy
            .chat_with(&ask("q"), &[("openai-organization", organization)])
            .await;
        assert_eq!(answer.header("x-cache"), "MISS");
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn prompts_that_differ_in_what_compression_removes_share_an_entry() {
    let (upstream, proxy) = start("compression.level = \"safe\"").await;
    let wide = "Tell me about the sea,  please, in a few short sentences. ".repeat(8) + "Go on.";
    let narrow = wide.replace("  ", " ");
    assert_eq!(proxy.chat(&ask(&narrow)).await.header("x-cache"), "MISS");
    for _ in 0..2 {
        // The second time the request is known by its bytes, and its savings with it.
        let hit = proxy.chat(&ask(&wide)).await;
        assert_eq!(hit.header("x-cache"), "HIT", "{}", upstream.last().prompt());
    }
    let off = [("x-pegasus-compression", "off")];
    let untouched = proxy.chat_with(&ask(&wide), &off).await;
    assert_eq!(untouched.header("x-cache"), "MISS");
    assert_eq!(upstream.last().prompt(), wide);
    assert_eq!(upstream.calls(), 2);
    let bad = proxy
        .chat_with(&ask("q"), &[("x-pegasus-compression", "most")])
        .await;
    assert_eq!(bad.status, 400);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn the_query_is_a_part_of_the_question() {
    let (upstream, proxy) = start("").await;
    let gate = Gate::new();
    upstream.script({
        let gate = gate.clone();
        move |request| Act::says(&request.path).after(&gate)
    });
    let path = |query: &str| format!("/v1/chat/completions{query}");
    let question = ask("q");
    let call = async |query: &str| {
        let answer = proxy.post(&path(query), &question, &[]).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.text(), path(query));
        answer.header("x-cache").to_owned()
    };
    // All at once, so that they could join each other, then one by one.
    let release = async {
        let three = upstream.wait_for("three calls", |counts| counts.busy == 3);
        three.await;
        gate.open();
    };
    let (one, two, none, ()) = tokio::join!(call("?a=1"), call("?a=2"), call(""), release);
    assert_eq!([one, two, none], ["MISS"; 3]);
    for query in ["?a=1", "?a=2", ""] {
        assert_eq!(call(query).await, "HIT", "{query}");
    }
    assert_eq!(call("?a=3").await, "MISS");
    assert_eq!(upstream.calls(), 4);
}
