//! HEAD, OPTIONS, methods that nobody knows here, and a protocol that is none of ours.

use super::{CALLS, Nest, body, post, text};
use crate::support::{Act, End, Upstream, Wire};

#[tokio::test]
async fn p77_head_has_the_head_of_get_and_no_body() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let mut wire = Wire::connect(nest.address).await;
    for path in [
        "/health",
        "/health/live",
        "/",
        "/api/optimization-stats",
        "/v1/models",
    ] {
        for _ in 0..2 {
            wire.send(format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await
                .unwrap();
            let head = wire.answer_to_head().await.unwrap();
            assert_eq!(head.status, 200, "{path}: {head:?}");
            // Had it a body, the next answer would begin with that.
            wire.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
                .await
                .unwrap();
            let get = wire.answer().await.unwrap();
            assert_eq!(get.status, 200, "{path}: {get:?}");
            assert_eq!(
                head.header("content-type"),
                get.header("content-type"),
                "{path}"
            );
        }
    }
    assert_eq!(upstream.requests()[0].method, "HEAD");
    let calls = upstream.calls();
    for path in ["/create", "/create/chat", "/v1/chat/completions"] {
        wire.send(format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n"))
            .await
            .unwrap();
        let head = wire.answer_to_head().await.unwrap();
        assert_eq!(head.status, 405, "{path}: {head:?}");
        assert!(head.header("allow").contains("POST"), "{path}: {head:?}");
    }
    assert_eq!(upstream.calls(), calls);
    // An upstream that does not know HEAD, and sends a body, must not break what comes next.
    upstream.once(Act::says("a body after all").then(End::Close));
    wire.send(
        "HEAD /v1/models HTTP/1.1\r\nhost: a\r\n\r\nGET /health/live HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await
    .unwrap();
    assert!(wire.answer_to_head().await.is_some());
    assert_eq!(text(&wire.answer().await.unwrap()), "{\"status\":\"ok\"}");
}

#[tokio::test]
async fn p77_options_and_unknown_methods_have_an_answer() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let methods = [
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PRI",
        "BREW",
        "PROPFIND",
        "get",
        "post",
        "Get",
        "M-SEARCH",
        "PURGE",
        "QUERY",
        "A",
        "!#$%&'*+-.^_`|~09",
    ];
    for method in methods {
        for path in [
            "/create",
            "/v1/chat/completions",
            "/health",
            "/api/clear-cache",
            "/",
            "*",
        ] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            let answers = Wire::exchange(nest.address, request).await;
            assert_eq!(answers.len(), 1, "{method} {path}: {answers:?}");
            let fits = matches!(answers[0].status, 400 | 404 | 405 | 501);
            assert!(fits, "{method} {path}: {answers:?}");
            if answers[0].status == 405 {
                assert_ne!(
                    answers[0].header("allow"),
                    "",
                    "{method} {path}: {answers:?}"
                );
            }
        }
        assert_eq!(upstream.calls(), 0, "{method}");
    }
    // What is not ours to know is the upstream's, as long as it can be passed on.
    for (method, calls) in [
        ("OPTIONS", 1),
        ("PURGE", 1),
        ("get", 1),
        ("TRACE", 0),
        ("CONNECT", 0),
    ] {
        let before = upstream.calls();
        let request =
            format!("{method} /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answers = Wire::exchange(nest.address, request).await;
        let status = if calls == 1 { 200 } else { 405 };
        assert_eq!(answers[0].status, status, "{method}: {answers:?}");
        assert_eq!(upstream.calls() - before, calls, "{method}");
    }
    assert_eq!(upstream.last().method, "get");
}

#[tokio::test]
async fn p77_http_2_without_tls_is_no_way_in() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = b"\0\0\0\x04\0\0\0\0\0";
    // HEADERS of GET /v1/models, by HPACK's static table.
    let headers = b"\0\0\x10\x01\x05\0\0\0\x01\x82\x86\x04\x0a/v1/models\x01";
    let behind = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
    for pieces in [
        &[&preface[..], settings][..],
        &[preface, settings, headers],
        &[preface, behind],
        &[b"PRI /v1/models HTTP/2.0\r\nhost: a\r\n\r\n", behind],
        &[b"GET /v1/models HTTP/2.0\r\nhost: a\r\n\r\n", behind],
    ] {
        let mut wire = Wire::connect(nest.address).await;
        let _ = wire.send(pieces.concat()).await;
        // Closed at once, with or without a word in HTTP/1.
        let said = wire.end().await;
        let refused = said.starts_with(b"HTTP/1.1 400 ") || said.starts_with(b"HTTP/1.1 505 ");
        assert!(said.is_empty() || refused, "{pieces:?}: {said:?}");
    }
    assert_eq!(upstream.calls(), 0);
    // Who asks to upgrade is answered in HTTP/1.1, and stays there.
    let lines =
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n";
    for (path, stream) in CALLS {
        let mut wire = Wire::connect(nest.address).await;
        wire.send(post(
            path,
            "HTTP/1.1",
            lines,
            &body(&format!("{path} {stream}"), stream),
        ))
        .await
        .unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.header("upgrade"), "", "{path}: {answer:?}");
        wire.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(wire.answer().await.unwrap().status, 200, "{path}");
    }
    assert_eq!(upstream.calls(), CALLS.len());
}
