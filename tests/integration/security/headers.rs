//! Which headers pass the proxy, on every path.

use serde_json::json;

use crate::support::{Act, Proxy, Upstream, ask, completion};

#[tokio::test]
async fn headers_go_up_by_the_list_alone() {
    let upstream = Upstream::start().await;
    let settings = "[upstream]\nforward_headers = [\"x-tenant\"]";
    let proxy = Proxy::start(settings, &upstream).await;
    let kept = [
        ("user-agent", "my-client/1"),
        ("idempotency-key", "i"),
        ("openai-organization", "o"),
        ("anthropic-version", "a"),
        ("http-referer", "https://example.com"),
        ("x-title", "t"),
        ("x-stainless-lang", "js"),
        ("x-openrouter-x", "r"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("tracestate", "s=1"),
        ("x-tenant", "acme"),
    ];
    let dropped = [
        ("cookie", "session=1"),
        ("proxy-authorization", "Basic eA=="),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("x-forwarded-for", "1.2.3.4"),
        ("forwarded", "for=1.2.3.4"),
        ("x-api-key", "secret"),
        ("origin", "https://example.com"),
        ("referer", "https://example.com/x"),
        ("x-request-id", "mine"),
        ("x-pegasus-compression", "off"),
        ("cache-control", "no-cache"),
        ("if-none-match", "\"x\""),
        ("range", "bytes=0-1"),
    ];
    for path in ["/create", "/v1/chat/completions", "/v1/embeddings"] {
        let mut headers: Vec<_> = kept.iter().chain(&dropped).copied().collect();
        headers.push(("connection", "keep-alive, upgrade"));
        let body = json!({"prompt": path, "model": "m",
            "messages": [{"role": "user", "content": "hi"}]});
        let answer = proxy.post(path, &body, &headers).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let sent = upstream.last();
        for (name, value) in kept {
            assert_eq!(sent.header(name), value, "{path} {name}");
        }
        for (name, value) in dropped {
            let came = sent.header(name);
            assert!(came.is_empty() || came != value, "{path} {name}: {came}");
        }
        assert_eq!(sent.header("host"), upstream.address.to_string());
        assert!(
            !format!("{:?}", sent.headers).contains("127.0.0.1:0"),
            "{sent:?}"
        );
    }
    // Whatever Connection names is of this connection only, also if the list has it.
    let named = [
        ("connection", "x-title, traceparent"),
        ("x-title", "t"),
        ("traceparent", "p"),
    ];
    proxy.chat_with(&ask("named"), &named).await;
    let sent = upstream.last();
    assert!(
        !sent.has_header("x-title") && !sent.has_header("traceparent"),
        "{sent:?}"
    );
}

#[tokio::test]
async fn headers_come_back_end_to_end_without_cookies() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let kept = [
        ("x-ratelimit-remaining-tokens", "7"),
        ("openai-processing-ms", "12"),
        ("anthropic-organization-id", "o"),
        ("x-custom", "c"),
    ];
    let dropped = [
        "set-cookie",
        "keep-alive",
        "proxy-authenticate",
        "x-private",
        "upgrade",
    ];
    let mut headers = vec![
        ("content-type", "application/json"),
        ("set-cookie", "session=1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("connection", "x-private, keep-alive"),
        ("x-private", "1"),
        ("upgrade", "h2c"),
        ("x-request-id", "req_1"),
    ];
    headers.extend(kept);
    upstream.set(Act::response(200, &headers, completion("hi").to_string()));
    let answers = [
        proxy.chat(&ask("back")).await,
        proxy.get("/v1/models").await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 200);
        for (name, value) in kept {
            assert_eq!(answer.header(name), value);
        }
        for name in dropped {
            assert_eq!(answer.header(name), "", "{name}");
        }
        assert_eq!(answer.header("x-upstream-request-id"), "req_1");
    }
}
