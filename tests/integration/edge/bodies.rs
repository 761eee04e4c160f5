//! Bodies of requests: their type, their size, their pace, their end.

use std::net::SocketAddr;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{request, status};
use crate::support::{Proxy, Upstream, ask, raw, within};

/// Sends these bytes and returns the first response; the connection may stay open after it.
async fn first_response(address: SocketAddr, bytes: &str) -> String {
    within("a response", async {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(bytes.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&all).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.split_once("content-length: ").unwrap().1;
                let length = length.lines().next().unwrap().parse::<usize>().unwrap();
                if body.len() >= length {
                    return text;
                }
            }
            assert!(client.read_buf(&mut all).await.unwrap() > 0, "{text}");
        }
    })
    .await
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
        let response = first_response(
            proxy.address,
            &request(&start, &format!("{json}content-length: 1025\r\n"), ""),
        )
        .await;
        assert_eq!(status(&response), "413", "{path}: {response}");
        assert!(
            response.contains("body_too_large") && response.contains("1024"),
            "{response}"
        );
        // Not announced: refused as soon as it is too much, although its end never comes.
        let chunks = format!("400\r\n{}\r\n1\r\nx\r\n", "x".repeat(0x400));
        let response = first_response(
            proxy.address,
            &request(
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
        let answer = proxy.chat(&ask(&"x".repeat(1_000_000))).await;
        assert_eq!(answer.status, 413, "{answer:?}");
        // As clients do that read only after they have written.
        let body = "x".repeat(1_000_000);
        let headers = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        let response = raw(proxy.address, request("POST /create", &headers, &body)).await;
        assert_eq!(status(&response), "413", "{response}");
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

    let response = first_response(proxy.address, &head(5000)).await;
    assert_eq!(status(&response), "413", "{response}");
}

#[tokio::test]
async fn compressed_bodies_are_415() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let body = json!({"prompt": "hi", "message": "hi", "model": "m",
        "messages": [{"role": "user", "content": "hi"}]});
    for path in [
        "/create",
        "/create/chat",
        "/v1/chat/completions",
        "/v1/embeddings",
    ] {
        for encoding in ["gzip", "br", "gzip, identity"] {
            let headers = [("content-encoding", encoding)];
            let answer = proxy.post(path, &body, &headers).await;
            assert_eq!(answer.status, 415, "{path} {encoding}: {answer:?}");
            let text = answer.json().to_string();
            assert!(text.contains("unsupported_content_encoding"), "{text}");
        }
    }
    assert_eq!(upstream.calls(), 0);
    let plain = [("content-encoding", "identity")];
    assert_eq!(proxy.post("/create", &body, &plain).await.status, 200);
}

#[tokio::test]
async fn values_beyond_number_are_refused_where_they_would_become_a_tree() {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start("", &upstream).await;
    let values = "0,".repeat(300_000) + "0";
    let head = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"input":["#;
    let body: Bytes = format!("{head}{values}]}}").into();
    let send = async |path: &str| {
        let request = proxy
            .request(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.clone());
        proxy.send(request).await
    };
    let refused = send("/v1/chat/completions").await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
    assert_eq!(upstream.calls(), 0);
    assert_eq!(send("/v1/embeddings").await.status, 200);
    assert!(upstream.last().body == body, "the bytes differ");
}
