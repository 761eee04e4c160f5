//! `/v1/*`: everything that is no chat completion goes up and comes back as it is.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Act, Proxy, Upstream, raw};

#[tokio::test]
async fn methods_paths_and_queries_go_up_as_they_are() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        for path in [
            "/v1/models",
            "/v1/models?limit=2&after=a%20b&after=%2F",
            "/v1/models/anthropic/claude-sonnet-4",
            "/v1/files/a%2Fb/content?x",
            "/v1/weird..name/...",
            "/v1/%C3%A9?q=%F0%9F%90%8E",
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = proxy.send(proxy.request(method.clone(), path)).await;
            assert_eq!(answer.status, 200, "{method} {path}");
            let sent = upstream.last();
            assert_eq!(
                (sent.method.as_str(), sent.path.as_str()),
                (method.as_str(), path)
            );
        }
    }
    let answer = proxy.send(proxy.request(Method::HEAD, "/v1/models")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let calls = upstream.calls();
    for method in ["TRACE", "CONNECT"] {
        let head = format!("{method} /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let response = raw(proxy.address, head).await;
        assert!(!response.starts_with("HTTP/1.1 200"), "{response}");
    }
    assert_eq!(upstream.calls(), calls);
}

#[tokio::test]
async fn paths_that_climb_out_are_refused() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in [
        "/v1/../admin",
        "/v1/..",
        "/v1/./models",
        "/v1/models/..",
        "/v1/models/../../admin",
        "/v1/%2e%2e/admin",
        "/v1/%2E./admin",
        "/v1/.%2e/admin",
        "/v1/%2e/models",
        "/v1/%2E%2E%2Fadmin",
        "/v1/%2e%2e%5Cadmin",
        "/v1/a%2f..%2fb",
        "/v1/a\\..\\b",
        "/v1/..\\admin",
        "/v1/..?x",
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let response = raw(proxy.address, head).await;
        assert!(response.starts_with("HTTP/1.1 400"), "{path}: {response}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn bodies_go_up_byte_for_byte() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let multipart: Bytes = [
        &b"--XX\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"[..],
        &(0..=255).collect::<Vec<u8>>(),
        b"\r\n--XX--\r\n",
    ]
    .concat()
    .into();
    let large: Bytes = (0..3_000_000_u32)
        .map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)])
        .collect();
    for (content_type, body) in [
        ("multipart/form-data; boundary=XX", multipart),
        ("application/octet-stream", large),
        (
            "application/json",
            Bytes::from_static(b" { \"input\" : \"\\u0041\", \"x\":1.0e0}\n"),
        ),
        ("text/plain", Bytes::from_static(b"not { json")),
        ("application/json", Bytes::new()),
    ] {
        let request = proxy
            .request(Method::POST, "/v1/audio/transcriptions")
            .header("content-type", content_type)
            .body(body.clone());
        assert_eq!(proxy.send(request).await.status, 200, "{content_type}");
        let sent = upstream.last();
        assert_eq!(sent.body, body, "{content_type}");
        assert_eq!(sent.header("content-type"), content_type);
    }
}

#[tokio::test]
async fn answers_come_back_as_they_are() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[retry]\nmax_attempts = 1", &upstream).await;
    for status in [200, 201, 202, 301, 400, 404, 409, 418, 422, 429] {
        let said = json!({"error": {"message": format!("it is {status}")}});
        upstream.set(Act::json(status, &said));
        let answer = proxy.get("/v1/things").await;
        assert_eq!((answer.status, answer.json()), (status, said));
    }
    upstream.set(Act::bytes("HTTP/1.1 204 No Content\r\n\r\n"));
    let answer = proxy.get("/v1/things").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));

    let audio: Vec<u8> = (0..2_000_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    upstream.set(Act::response(
        200,
        &[("content-type", "audio/mpeg")],
        &audio,
    ));
    let answer = proxy.get("/v1/audio/speech").await;
    assert_eq!(answer.header("content-type"), "audio/mpeg");
    assert_eq!(answer.header("content-length"), audio.len().to_string());
    assert!(answer.body == audio, "the bytes differ");
    assert_eq!(answer.header("x-cache"), "BYPASS");
}

#[tokio::test]
async fn other_calls_are_neither_cached_nor_shared() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = json!({"model": "text-embedding-3-small", "input": "hi"});
    for calls in 1..=3 {
        let answer = proxy.post("/v1/embeddings", &body, &[]).await;
        assert_eq!(answer.header("x-cache"), "BYPASS");
        assert_eq!(upstream.calls(), calls);
    }
}

#[tokio::test]
async fn an_error_page_of_a_web_server_becomes_json() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[retry]\nmax_attempts = 1", &upstream).await;
    let page = "<html><h1>502 Bad Gateway</h1></html>";
    upstream.set(Act::response(502, &[("content-type", "text/html")], page));
    let answer = proxy.get("/v1/models").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.header("content-type"), "application/json");
    let body: Value = answer.json();
    assert_eq!(body["error"]["code"], "upstream_error", "{body}");
}

#[tokio::test]
async fn an_encoding_that_the_proxy_cannot_read_passes_with_its_name() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let bytes: Vec<u8> = (0..4_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for content_type in ["application/json", "application/octet-stream"] {
        let headers = [("content-type", content_type), ("content-encoding", "br")];
        upstream.set(Act::response(200, &headers, &bytes));
        for accepted in ["br", "gzip, br", "gzip"] {
            let request = proxy
                .request(Method::GET, "/v1/files/1/content")
                .header("accept-encoding", accepted);
            let answer = proxy.send(request).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-encoding"), "br", "{content_type}");
            assert_eq!(answer.header("content-type"), content_type);
            assert!(answer.body == bytes, "the bytes differ");
        }
    }
}

#[tokio::test]
async fn streams_of_any_path_are_asked_for_uncompressed() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let asked = async |body: Value, headers: &[(&str, &str)]| {
        let answer = proxy.post("/v1/responses", &body, headers).await;
        assert_eq!(answer.status, 200);
        upstream.last().header("accept-encoding").to_owned()
    };
    let body = json!({"model": "m", "input": "hi", "stream": true});
    assert_eq!(asked(body, &[]).await, "identity");
    let body = json!({"model": "m", "input": "hi"});
    let events = [("accept", "text/event-stream")];
    assert_eq!(asked(body.clone(), &events).await, "identity");
    assert!(asked(body, &[]).await.contains("gzip"));
}

#[tokio::test]
async fn head_tells_the_length_that_get_would_have() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (content_type, length) in [("application/json", "361"), ("audio/mpeg", "70000000")] {
        let head = format!("content-type: {content_type}\r\ncontent-length: {length}\r\n");
        upstream.set(Act::bytes(format!("HTTP/1.1 200 OK\r\n{head}\r\n")));
        let answer = proxy.send(proxy.request(Method::HEAD, "/v1/models")).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.header("content-length"), length, "{content_type}");
    }
    assert_eq!(upstream.last().method, "HEAD");
}
