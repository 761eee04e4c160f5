//! Bodies on their way up: with leave and without, in chunks, and byte by byte.

use serde_json::Value;

use super::{CALLS, Nest, body, post};
use crate::support::{Upstream, Wire};

#[tokio::test]
async fn p77_leave_to_send_is_given_before_the_body_and_only_where_it_is_wanted() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, stream) in CALLS {
        for expect in ["100-continue", "100-Continue", "100-CONTINUE"] {
            let what = format!("{expect} {path} {stream}");
            let body = body(&what, stream);
            let request = post(path, "HTTP/1.1", &format!("expect: {expect}\r\n"), &body);
            let (head, body) = request.split_at(request.len() - body.len());
            let mut wire = Wire::connect(nest.address).await;
            wire.send(head).await.unwrap();
            let leave = wire.answer().await.unwrap();
            assert_eq!(leave.start, "HTTP/1.1 100 Continue", "{what}");
            wire.send(body).await.unwrap();
            let answer = wire.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert!(!upstream.last().has_header("expect"), "{what}");
        }
        // Who does not wait gets leave or none, and then one answer.
        let what = format!("at once {path} {stream}");
        let request = post(
            path,
            "HTTP/1.1",
            "connection: close\r\nexpect: 100-continue\r\n",
            &body(&what, stream),
        );
        let answers = Wire::exchange(nest.address, request).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(
            matches!(statuses[..], [200] | [100, 200]),
            "{what}: {answers:?}"
        );
        // HTTP/1.0 knows no leave.
        let request = post(
            path,
            "HTTP/1.0",
            "expect: 100-continue\r\n",
            &body(&format!("1.0 {what}"), stream),
        );
        let answers = Wire::exchange(nest.address, request).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200], "1.0 {what}: {answers:?}");
    }
    // No leave for what is refused by its head alone.
    let before = upstream.calls();
    for (start, status) in [
        (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1073741824",
            413,
        ),
        (
            "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: text/plain\r\ncontent-length: 10",
            415,
        ),
        (
            "POST /create HTTP/1.1\r\nhost: a\r\ncontent-encoding: gzip\r\ncontent-length: 10",
            415,
        ),
        ("POST /create HTTP/1.1\r\ncontent-length: 10", 400),
        (
            "POST /nowhere HTTP/1.1\r\nhost: a\r\ncontent-length: 10",
            404,
        ),
        ("PUT /create HTTP/1.1\r\nhost: a\r\ncontent-length: 10", 405),
        (
            "POST /v1/../x HTTP/1.1\r\nhost: a\r\ncontent-length: 10",
            400,
        ),
    ] {
        let mut wire = Wire::connect(nest.address).await;
        wire.send(format!("{start}\r\nexpect: 100-continue\r\n\r\n"))
            .await
            .unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, status, "{start}: {answer:?}");
    }
    assert_eq!(upstream.calls(), before);
}

#[tokio::test]
async fn p77_other_expectations_are_refused_or_ignored_but_never_waited_for() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for expect in [
        "200-ok",
        "100-continue; q=1",
        "the-unexpected",
        "",
        "101-continue",
    ] {
        for (path, stream) in CALLS {
            let what = format!("{expect:?} {path} {stream}");
            let before = upstream.calls();
            let lines = format!("connection: close\r\nexpect: {expect}\r\n");
            let request = post(path, "HTTP/1.1", &lines, &body(&what, stream));
            let answers = Wire::exchange(nest.address, request).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            let calls = match statuses[..] {
                [200] | [100, 200] => 1,
                [417] => 0,
                _ => panic!("{what}: {answers:?}"),
            };
            assert_eq!(upstream.calls() - before, calls, "{what}");
        }
    }
}

#[tokio::test]
async fn p77_a_chunked_upload_is_one_body() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, stream) in CALLS {
        for size in [1, 7, 4096] {
            let what = format!("{size} {path} {stream}, and then some: {}", "é".repeat(100));
            let body = body(&what, stream);
            let mut wire = Wire::connect(nest.address).await;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ntransfer-encoding: Chunked\r\n\r\n"
            );
            wire.send(head).await.unwrap();
            for piece in body.as_bytes().chunks(size) {
                let mut chunk = format!("{:X}\r\n", piece.len()).into_bytes();
                chunk.extend_from_slice(piece);
                chunk.extend_from_slice(b"\r\n");
                wire.send(chunk).await.unwrap();
            }
            wire.send("0\r\n\r\n").await.unwrap();
            let answer = wire.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            let sent = upstream.last();
            if path != "/create" {
                assert_eq!(sent.body, body, "{what}");
            }
            assert_eq!(
                sent.header("content-length"),
                sent.body.len().to_string(),
                "{what}"
            );
            assert!(!sent.has_header("transfer-encoding"), "{what}");
        }
    }
}

#[tokio::test]
async fn p77_a_request_in_single_bytes_is_a_request() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, stream) in CALLS {
        let mut wire = Wire::connect(nest.address).await;
        let request = post(path, "HTTP/1.1", "", &body("byte by byte", stream));
        for byte in request.as_bytes().chunks(1) {
            wire.send(byte).await.unwrap();
        }
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        if path == "/v1/embeddings" {
            let sent: Value = upstream.last().json();
            assert_eq!(sent["input"], "byte by byte");
        }
    }
}
