//! P02: what is not there is 404, what cannot be done is 405 with Allow, what cannot be read is 415.

use http::Method;
use serde_json::Value;

use super::super::Nest;
use super::{asking, is_described, said};
use crate::support::{Upstream, raw};

#[tokio::test]
async fn p02_what_is_not_there_is_404() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for path in [
        "/nowhere",
        "/create/",
        "/create/x",
        "/Create",
        "/create%2fchat",
        "/v1",
        "/v2/chat/completions",
        "/api",
        "/api/",
        "/api/clear-cache/",
        "/health/",
        "/health/x",
        "/index.html",
        "/.env",
        "/.git/config",
        "/favicon.icox",
        "/wp-login.php",
        "/%00",
        "/%ff",
        "/create;x",
        "/x?prompt=%F0",
        "/..;/create",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let request = nest
                .request(method.clone(), path)
                .header("content-type", "application/json")
                .body(r#"{"prompt":"x","messages":[]}"#);
            let answer = nest.send(request).await;
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            assert!(is_described(path, &answer), "{method} {path}: {answer:?}");
        }
    }
    assert_eq!(upstream.counts().opened, 0);
}

#[tokio::test]
async fn p02_what_cannot_be_done_is_405_and_allow_says_what_can() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let all = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW",
    ];
    for (path, allowed) in [
        ("/create", &["POST"][..]),
        ("/create/chat", &["POST"]),
        ("/create/batch", &["POST"]),
        ("/v1/chat/completions", &["POST"]),
        ("/", &["GET"]),
        ("/dashboard", &["GET"]),
        ("/health", &["GET"]),
        ("/health/live", &["GET"]),
        ("/health/ready", &["GET"]),
        ("/health/detailed", &["GET"]),
        ("/health/circuit-breakers", &["GET"]),
        ("/api/optimization-stats", &["GET"]),
        ("/api/clear-cache", &["GET", "POST", "DELETE"]),
    ] {
        for name in all.iter().filter(|name| !allowed.contains(name)) {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            let answer = nest.send(nest.request(method, path)).await;
            assert_eq!(answer.status, 405, "{name} {path}: {answer:?}");
            assert!(is_described(path, &answer), "{name} {path}: {answer:?}");
            let mut listed: Vec<&str> = answer.header("allow").split(',').map(str::trim).collect();
            // Whoever may GET may also ask for the head alone.
            listed.retain(|method| *method != "HEAD" || !allowed.contains(&"GET"));
            listed.sort_unstable();
            let mut expected = allowed.to_vec();
            expected.sort_unstable();
            assert_eq!(listed, expected, "{name} {path}: {answer:?}");
        }
    }
    assert_eq!(upstream.counts().opened, 0);
}

#[tokio::test]
async fn p02_what_cannot_be_read_is_415() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for streams in [false, true] {
        for (path, body) in asking("Say hello.", streams) {
            let send = async |name: &str, value: &str| {
                let request = nest.request(Method::POST, path).body(body.to_string());
                nest.send(request.header(name, value)).await
            };
            for content_type in [
                "text/plain",
                "text/json",
                "application/x-www-form-urlencoded",
                "application/xml",
                "multipart/form-data; boundary=x",
                "application/jsonp",
                "json",
                "application/json5",
                "",
                "text/plain, application/json",
            ] {
                let answer = send("content-type", content_type).await;
                assert_eq!(answer.status, 415, "{path}, {content_type:?}: {answer:?}");
                assert!(
                    is_described(path, &answer),
                    "{path}, {content_type:?}: {answer:?}"
                );
            }
            for encoding in ["gzip", "br", "deflate", "x-unknown", "identity, gzip"] {
                let request = nest
                    .request(Method::POST, path)
                    .header("content-type", "application/json")
                    .header("content-encoding", encoding)
                    .body(body.to_string());
                let answer = nest.send(request).await;
                assert_eq!(answer.status, 415, "{path}, {encoding}: {answer:?}");
                assert!(
                    is_described(path, &answer),
                    "{path}, {encoding}: {answer:?}"
                );
            }
            assert_eq!(upstream.counts().opened, 0, "{path}");
        }
    }
    for (path, body) in asking("Say hello.", false) {
        for content_type in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/vnd.api+json",
            "application/json;charset=\"UTF-8\"",
        ] {
            let request = nest.request(Method::POST, path).body(body.to_string());
            let answer = nest
                .send(request.header("content-type", content_type))
                .await;
            assert_eq!(said(path, &answer), "Hello.", "{path}, {content_type}");
        }
    }
}

#[tokio::test]
async fn p02_an_error_has_the_id_that_the_client_gave() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, _) in asking("", false) {
        let request = nest
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .header("x-request-id", "mine-7")
            .body("{");
        let answer = nest.send(request).await;
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (400, "mine-7"),
            "{path}"
        );
        let body: Value = answer.json();
        let id = if path.starts_with("/v1") {
            &body["error"]["request_id"]
        } else {
            &body["request_id"]
        };
        assert_eq!(id, "mine-7", "{path}: {answer:?}");
    }
    assert_eq!(upstream.counts().opened, 0);
}

#[tokio::test]
async fn p02_no_method_and_no_path_makes_it_fail() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for line in [
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT evil.example:443 HTTP/1.1",
        "GET http://evil.example/ HTTP/1.1",
        "POST //create HTTP/1.1",
        "GET /a/../create HTTP/1.1",
        "POST /create#x HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /%zz HTTP/1.1",
        "get / HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET / HTTP/2.0",
        "GET / HTTP/1.9",
        "GET  / HTTP/1.1",
        "GET /",
        "",
        " ",
    ] {
        let answer = raw(
            nest.address,
            format!("{line}\r\nhost: a\r\nconnection: close\r\n\r\n"),
        )
        .await;
        let is_fine = answer.is_empty() || !answer.starts_with("HTTP/1.1 5");
        assert!(is_fine, "{line:?}: {answer}");
    }
    assert_eq!(upstream.counts().opened, 0);
    assert_eq!(nest.get("/health").await.json()["status"], "ok");
}
