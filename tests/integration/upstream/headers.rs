//! Which headers pass, in both directions, and whose credential goes up.

use super::{Act, ask, completion, delta, event, finish, json, start};

#[tokio::test]
async fn only_listed_headers_go_up() {
    let (upstream, proxy) = start("upstream.forward_headers = [\"x-tenant\"]").await;
    let passed = [
        ("accept", "application/json"),
        ("user-agent", "tests/1"),
        ("idempotency-key", "k"),
        ("openai-organization", "o"),
        ("openai-beta", "b"),
        ("anthropic-version", "v"),
        ("http-referer", "r"),
        ("x-title", "t"),
        ("x-stainless-lang", "js"),
        ("x-openrouter-x", "x"),
        ("traceparent", "00-1"),
        ("tracestate", "s"),
        ("x-tenant", "t"),
    ];
    let dropped = [
        ("cookie", "a=b"),
        ("connection", "keep-alive, x-title-private"),
        ("x-title-private", "p"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "trailers"),
        ("x-forwarded-for", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("x-api-key", "secret"),
        ("cache-control", "max-age=5"),
        ("x-pegasus-compression", "off"),
        ("x-request-id", "mine"),
    ];
    let all: Vec<_> = passed.iter().chain(&dropped).copied().collect();
    assert_eq!(proxy.chat_with(&ask("q"), &all).await.status, 200);
    let request = upstream.last();
    for (name, value) in passed {
        assert_eq!(request.header(name), value, "{name}");
    }
    for (name, _) in dropped {
        assert!(!request.has_header(name), "{name}");
    }
    assert_eq!(request.header("host"), upstream.address.to_string());
    assert_eq!(request.header("content-type"), "application/json");
    let length = request.header("content-length").parse::<usize>().unwrap();
    assert_eq!(length, request.body.len());
}

#[tokio::test]
async fn headers_that_connection_names_do_not_go_up() {
    let (upstream, proxy) = start("").await;
    let headers = [("connection", "x-title, Close"), ("x-title", "t")];
    assert_eq!(proxy.chat_with(&ask("q"), &headers).await.status, 200);
    assert!(!upstream.last().has_header("x-title"));
}

#[tokio::test]
async fn end_to_end_headers_come_back() {
    let (upstream, proxy) = start("").await;
    let headers = [
        ("content-type", "application/json"),
        ("x-ratelimit-limit-requests", "60"),
        ("openai-processing-ms", "12"),
        ("x-anything", "yes"),
        ("x-request-id", "theirs"),
        ("set-cookie", "a=b"),
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-cache", "HIT from elsewhere"),
        ("age", "100"),
    ];
    upstream.set(Act::response(200, &headers, completion("x").to_string()));
    let answer = proxy
        .chat_with(&ask("q"), &[("x-request-id", "ours")])
        .await;
    for (name, value) in [
        ("x-ratelimit-limit-requests", "60"),
        ("openai-processing-ms", "12"),
        ("x-anything", "yes"),
        ("x-upstream-request-id", "theirs"),
        ("x-request-id", "ours"),
        ("x-cache", "MISS"),
        ("age", ""),
        ("set-cookie", ""),
        ("x-private", ""),
        ("keep-alive", ""),
        ("proxy-authenticate", ""),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn without_a_key_of_its_own_the_clients_credential_goes_up() {
    let (upstream, proxy) = start("").await;
    let theirs = [("authorization", "Bearer theirs")];
    proxy.chat_with(&ask("q"), &theirs).await;
    assert_eq!(upstream.last().header("authorization"), "Bearer theirs");
    proxy.chat(&ask("none")).await;
    assert!(!upstream.last().has_header("authorization"));
    upstream.set(Act::error(401, &[]));
    let refused = proxy.chat_with(&ask("refused"), &theirs).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["type"], "scripted");
}

#[tokio::test]
async fn with_a_key_of_its_own_only_that_goes_up() {
    let (upstream, proxy) = start("upstream.api_key = \"own\"").await;
    proxy
        .chat_with(&ask("q"), &[("authorization", "Bearer theirs")])
        .await;
    let sent: Vec<_> = upstream
        .last()
        .headers
        .iter()
        .filter(|(name, _)| name == "authorization")
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(sent, ["Bearer own"]);
    for status in [401, 403] {
        upstream.set(Act::error(status, &[]));
        let answer = proxy.chat(&ask(&status.to_string())).await;
        assert_eq!(answer.status, 502);
        assert_eq!(answer.json()["error"]["code"], "upstream_credentials");
    }
}

#[tokio::test]
async fn which_pages_may_read_is_not_for_the_upstream_to_say() {
    let (upstream, proxy) = start("retry.max_attempts = 1").await;
    let headers = |content_type| {
        [
            ("content-type", content_type),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("Access-Control-Expose-Headers", "*"),
            ("x-mark", "theirs"),
        ]
    };
    let json = headers("application/json");
    let chat = completion("x").to_string();
    let stream = event(&delta("x")) + &event(&finish("stop")) + &event("[DONE]");
    let acts = [
        Act::response(200, &json, &chat),
        Act::response(200, &headers("text/event-stream"), &stream),
        Act::response(400, &json, "{\"error\":{\"message\":\"no\"}}"),
        Act::response(503, &headers("text/html"), "<html>"),
    ];
    let origin = [("origin", "https://page.example")];
    let body = json!({"model": "m", "prompt": "q", "input": "q",
        "messages": [{"role": "user", "content": "q"}]});
    for act in acts {
        upstream.set(act);
        for path in ["/v1/chat/completions", "/v1/embeddings", "/create"] {
            let control = ("cache-control", "no-store");
            let answer = proxy.post(path, &body, &[origin[0], control]).await;
            let mut names = answer.headers.keys();
            let cors = names.find(|name| name.as_str().starts_with("access-control-"));
            assert!(cors.is_none(), "{path}: {answer:?}");
            assert!(answer.header("x-mark") == "theirs" || answer.status >= 400);
        }
    }
}
