//! The edge: routes and their errors, HTTP as clients really speak it.

use http::Method;
use serde_json::Value;

use crate::support::{Proxy, Upstream, ask, raw};

mod bodies;
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
    let many = "x-many: 1\r\n".repeat(101);
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
async fn the_page_is_there_and_asks_nothing_of_others() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/html"));
    for (name, value) in [
        ("content-security-policy", "default-src 'none'"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=()"),
    ] {
        assert!(answer.header(name).contains(value), "{name}: {answer:?}");
    }
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

/// P82: nothing is taken for what it is not, and what the proxy says of itself is kept by nobody.
#[tokio::test]
async fn p82_every_response_is_what_it_says_it_is() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    for path in [
        "/",
        "/health",
        "/health/detailed",
        "/api/optimization-stats",
        "/api/clear-cache",
        "/nowhere",
        "/create",
        "/v1/models",
        "/v1/chat/completions",
    ] {
        let answer = proxy.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        let kept_by_nobody = answer.header("cache-control") == "no-store";
        assert_eq!(kept_by_nobody, path != "/v1/models", "{path}: {answer:?}");
    }
    let answer = proxy.chat(&ask("q")).await;
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let created = proxy
        .post("/create", &serde_json::json!({"prompt": "q"}), &[])
        .await;
    assert_eq!(created.header("cache-control"), "no-store");
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
