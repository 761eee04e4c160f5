//! The edge: routes and their errors, bodies and their limits, HTTP as clients really speak it.

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Proxy, Upstream, ask, raw, within};

mod forward;
mod headers;

/// A request of its own connection.
fn request(start: &str, headers: &str, body: &str) -> String {
    format!("{start} HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n{headers}\r\n{body}")
}

/// The status of the first response among these bytes.
fn status(response: &str) -> &str {
    response.get(9..12).unwrap_or("none")
}

#[tokio::test]
async fn what_is_not_there_is_404_in_the_dialect_of_its_path() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in [
        "/nowhere",
        "/create/",
        "/create/nothing",
        "/api",
        "/health/x",
        "/v2/models",
    ] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        let body = answer.json();
        assert_eq!(body["success"], false, "{path}");
        assert_eq!(body["code"], "not_found", "{path}");
        assert!(body["error"].is_string(), "{path}");
        assert_eq!(body["request_id"], answer.header("x-request-id"), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    for path in ["/v1", "/v1/"] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "not_found_error", "{path}");
        assert!(
            error["message"].is_string() && error["param"].is_null(),
            "{path}"
        );
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_wrong_method_is_405_with_allow() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (method, path, allowed) in [
        (Method::GET, "/create", &["POST"][..]),
        (Method::DELETE, "/create/chat", &["POST"]),
        (Method::GET, "/v1/chat/completions", &["POST"]),
        (Method::OPTIONS, "/v1/chat/completions", &["POST"]),
        (Method::POST, "/health", &["GET", "HEAD"]),
        (Method::POST, "/api/optimization-stats", &["GET", "HEAD"]),
        (Method::PUT, "/api/clear-cache", &["GET", "POST", "DELETE"]),
        (Method::POST, "/", &["GET", "HEAD"]),
    ] {
        let answer = proxy.send(proxy.request(method.clone(), path)).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        let allow = answer.header("allow");
        for expected in allowed {
            assert!(
                allow.split(',').any(|m| m.trim() == *expected),
                "{path}: {allow}"
            );
        }
        let body = answer.json();
        let code = if path.starts_with("/v1") {
            &body["error"]["code"]
        } else {
            &body["code"]
        };
        assert_eq!(code, "method_not_allowed", "{method} {path}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in [
        "/",
        "/health",
        "/health/detailed",
        "/api/optimization-stats",
    ] {
        let answer = proxy.send(proxy.request(Method::HEAD, path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.is_empty());
        let length: usize = answer.header("content-length").parse().unwrap();
        assert!(length > 20, "{path}: {length}");
    }
}

#[tokio::test]
async fn only_json_is_read_as_json() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = json!({"prompt": "hi", "message": "hi", "model": "m",
        "messages": [{"role": "user", "content": "hi"}]});
    for path in ["/create", "/create/chat", "/v1/chat/completions"] {
        let send = async |content_type: Option<&str>| {
            let mut request = proxy.request(Method::POST, path).body(body.to_string());
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            proxy.send(request).await.status
        };
        for refused in [
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/x-json",
            "",
        ] {
            assert_eq!(send(Some(refused)).await, 415, "{path} {refused:?}");
        }
        for good in [
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/vnd.api+json"),
            None,
        ] {
            assert_eq!(send(good).await, 200, "{path} {good:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_goes_nowhere() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_body_bytes = \"1KiB\"", &upstream).await;
    let json = "content-type: application/json\r\n";
    for path in [
        "/create",
        "/create/chat",
        "/v1/chat/completions",
        "/v1/embeddings",
    ] {
        let start = format!("POST {path}");
        // Announced: refused before a byte of it is sent.
        let response = raw(
            proxy.address,
            request(&start, &format!("{json}content-length: 1025\r\n"), ""),
        )
        .await;
        assert_eq!(status(&response), "413", "{path}: {response}");
        assert!(
            response.contains("body_too_large") && response.contains("1024"),
            "{response}"
        );
        // Not announced: refused as soon as it is too much, although its end never comes.
        let chunks = format!("400\r\n{}\r\n1\r\nx\r\n", "x".repeat(0x400));
        let response = raw(
            proxy.address,
            request(
                &start,
                &format!("{json}transfer-encoding: chunked\r\n"),
                &chunks,
            ),
        )
        .await;
        assert_eq!(status(&response), "413", "{path}: {response}");
        assert!(
            response.to_ascii_lowercase().contains("connection: close"),
            "{response}"
        );
    }
    assert_eq!(upstream.calls(), 0);
    // Exactly at the limit is not too large.
    let filler = 1024 - ask("").to_string().len();
    let answer = proxy.chat(&ask(&"x".repeat(filler))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = proxy.chat(&ask(&"x".repeat(filler + 1))).await;
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[tokio::test]
async fn the_client_that_sends_a_large_body_to_its_end_still_reads_its_413() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_body_bytes = \"1KiB\"", &upstream).await;
    for _ in 0..20 {
        let answer = proxy.chat(&ask(&"x".repeat(8_000_000))).await;
        assert_eq!(answer.status, 413, "{answer:?}");
    }
}

#[tokio::test]
async fn a_slow_body_is_408_and_a_slow_head_is_cut() {
    let upstream = Upstream::start().await;
    let settings = "[server]\nbody_read_timeout = \"100ms\"\nheader_read_timeout = \"100ms\"";
    let proxy = Proxy::start(settings, &upstream).await;
    let headers = "content-type: application/json\r\ncontent-length: 100\r\n";
    for path in ["/create", "/v1/chat/completions", "/v1/files"] {
        let start = format!("POST {path}");
        let response = raw(proxy.address, request(&start, headers, "{\"pro")).await;
        assert_eq!(status(&response), "408", "{path}: {response}");
        assert!(response.contains("request_timeout"), "{response}");
    }
    // These would never end if the proxy did not end them.
    for head in ["", "GET", "GET /health HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let response = raw(proxy.address, head).await;
        assert!(["none", "408"].contains(&status(&response)), "{response}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_sent_upstream() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (headers, body) in [
        ("content-length: 100\r\n", "{\"model\":"),
        ("transfer-encoding: chunked\r\n", "9\r\n{\"model\":\r\n"),
        (
            "transfer-encoding: chunked\r\n",
            "zz\r\n{\"model\":\r\n0\r\n\r\n",
        ),
    ] {
        let mut client = TcpStream::connect(proxy.address).await.unwrap();
        let head = request("POST /v1/chat/completions", headers, body);
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut response = String::new();
        within("the refusal", client.read_to_string(&mut response))
            .await
            .unwrap();
        assert!(
            ["none", "400"].contains(&status(&response)),
            "{headers}: {response}"
        );
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_request_has_exactly_one_host() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for (head, expected) in [
        ("GET /health HTTP/1.1\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("GET http://a/health HTTP/1.1\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET http://a/health HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET /health HTTP/1.0\r\n", "200"),
        ("GET /health HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "400"),
        ("GET /health HTTP/9.9\r\nhost: a\r\n", "400"),
        ("GET  /health HTTP/1.1\r\nhost: a\r\n", "400"),
        ("GARBAGE\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a\r\n folded: x\r\n", "400"),
        ("GET /health HTTP/1.1\r\nhost: a\r\nbad name: x\r\n", "400"),
        (
            "GET /health HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n",
            "400",
        ),
        (
            "GET /health HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n",
            "400",
        ),
        (
            "GET /health HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n",
            "400",
        ),
    ] {
        let response = raw(proxy.address, format!("{head}connection: close\r\n\r\n")).await;
        // A head that hyper cannot read may also end the connection without a word.
        assert_eq!(status(&response), expected, "{head:?}: {response}");
    }
    let response = raw(
        proxy.address,
        "GET /v1/models HTTP/1.1\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(response.contains("{\"error\":{"), "{response}");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_431() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "y".repeat(1_000_000));
    for headers in [many, long] {
        let response = raw(proxy.address, request("GET /health", &headers, "")).await;
        assert_eq!(status(&response), "431", "{response}");
    }
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_in_their_order() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = ask("pipelined").to_string();
    let all = format!(
        "GET /health/live HTTP/1.1\r\nhost: a\r\nx-request-id: one\r\n\r\n\
         POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-request-id: two\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}\
         GET /nowhere HTTP/1.1\r\nhost: a\r\nx-request-id: three\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let response = raw(proxy.address, all).await;
    let places: Vec<_> = ["one", "two", "Hello.", "three"]
        .iter()
        .map(|part| {
            response
                .find(part)
                .unwrap_or_else(|| panic!("{part} in {response}"))
        })
        .collect();
    assert!(places.is_sorted(), "{response}");
    assert_eq!(response.matches("HTTP/1.1 ").count(), 3, "{response}");
}

#[tokio::test]
async fn a_chunked_upload_arrives_as_one_body() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = ask("in pieces").to_string();
    let (head, tail) = body.split_at(body.len() / 2);
    let chunks = format!(
        "{:x};ext=1\r\n{head}\r\n{:x}\r\n{tail}\r\n0\r\nx-trailer: 1\r\n\r\n",
        head.len(),
        tail.len()
    );
    let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let response = raw(
        proxy.address,
        request("POST /v1/chat/completions", headers, &chunks),
    )
    .await;
    assert_eq!(status(&response), "200", "{response}");
    let sent = upstream.last();
    assert_eq!(sent.body, Bytes::from(body));
    assert!(!sent.has_header("x-trailer") && !sent.has_header("transfer-encoding"));
}

#[tokio::test]
async fn clients_of_http_1_0_get_bodies_without_chunks() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let mut body = ask("old");
    for stream in [false, true] {
        body["stream"] = stream.into();
        let body = body.to_string();
        let head = "POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json";
        let all = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let response = raw(proxy.address, all).await;
        assert_eq!(status(&response), "200", "{response}");
        assert!(
            !response.to_ascii_lowercase().contains("transfer-encoding"),
            "{response}"
        );
        let end = if stream { "data: [DONE]\n\n" } else { "}" };
        assert!(response.ends_with(end), "{response}");
    }
}

#[tokio::test]
async fn expect_100_is_answered_before_the_body_and_not_for_one_that_is_refused() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("[server]\nmax_body_bytes = \"1KiB\"", &upstream).await;
    let body = ask("with leave").to_string();
    let head = |length: usize| {
        let headers = format!(
            "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n"
        );
        request("POST /v1/chat/completions", &headers, "")
    };
    let mut client = TcpStream::connect(proxy.address).await.unwrap();
    client.write_all(head(body.len()).as_bytes()).await.unwrap();
    let mut leave = [0; 25];
    within("leave to go on", client.read_exact(&mut leave))
        .await
        .unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(body.as_bytes()).await.unwrap();
    let mut response = String::new();
    within("the answer", client.read_to_string(&mut response))
        .await
        .unwrap();
    assert_eq!(status(&response), "200", "{response}");

    let response = raw(proxy.address, head(5000)).await;
    assert_eq!(status(&response), "413", "{response}");
}

#[tokio::test]
async fn the_page_is_there_and_asks_nothing_of_others() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(
        answer
            .header("content-security-policy")
            .contains("default-src 'none'")
    );
    let page = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(page.contains(env!("CARGO_PKG_VERSION")) && !page.contains("{version}"));
    for path in [
        "/create",
        "/v1/chat/completions",
        "/health",
        "/api/optimization-stats",
    ] {
        assert!(page.contains(path), "{path}");
    }
}

#[tokio::test]
async fn a_bad_compression_level_is_400() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let bad = [("x-pegasus-compression", "extreme")];
    let answer = proxy.chat_with(&ask("hi"), &bad).await;
    assert_eq!(answer.status, 400);
    let body: Value = answer.json();
    assert_eq!(body["error"]["code"], "invalid_header", "{body}");
    assert_eq!(upstream.calls(), 0);
}
