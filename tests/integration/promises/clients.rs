//! P70–P73: clients that send too much, too slowly, or from too many connections. They get a clear refusal or an end,
//! and others notice nothing.

use bytes::Bytes;

use super::Nest;
use crate::support::{Upstream, Wire, ask};

mod bodies;
mod descriptors;
mod slow;

/// What a head may hold: see `edge::server`.
const MOST_HEADERS: usize = 100;
const MOST_BYTES: usize = 64 * 1024;

/// What is too much, sent as often as it takes to trust that the refusal is always read.
const ROUNDS: usize = 20;

/// A request with headers up to so many and so many bytes, the last of them long.
fn head(headers: usize, bytes: usize) -> String {
    let lines: Vec<_> = (3..headers).map(|n| format!("x-{n}: y\r\n")).collect();
    let start = "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n";
    let mut head = start.to_owned() + &lines.concat();
    head.push_str("x-last: ");
    let filler = bytes.saturating_sub(head.len() + 4);
    head + &"y".repeat(filler) + "\r\n\r\n"
}

/// Sends these bytes; it must be refused with one of these statuses, and the connection must end.
async fn assert_refused(nest: &Nest, what: &str, bytes: &[u8], statuses: &[u16]) {
    for _ in 0..ROUNDS {
        let answers = Wire::exchange(nest.address, bytes).await;
        assert_eq!(answers.len(), 1, "{what}: {answers:?}");
        assert!(statuses.contains(&answers[0].status), "{what}: {answers:?}");
        assert_eq!(
            answers[0].header("connection"),
            "close",
            "{what}: {answers:?}"
        );
    }
    assert_eq!(nest.get("/health").await.status, 200, "after {what}");
}

#[tokio::test]
async fn p70_a_head_that_is_too_large_is_refused() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let many = |count: usize, line: &str| line.repeat(count);
    let megabyte = "y".repeat(1_000_000);
    let headers = [
        ("a header of a megabyte", format!("x: {megabyte}\r\n")),
        ("a name of a megabyte", format!("{megabyte}: x\r\n")),
        ("a cookie of a megabyte", format!("cookie: {megabyte}\r\n")),
        (
            "5000 headers",
            (0..5_000)
                .map(|n| format!("x-{n}: y\r\n"))
                .collect::<Vec<_>>()
                .concat(),
        ),
        ("5000 times the same header", many(5_000, "accept: x\r\n")),
        ("5000 empty headers", many(5_000, "x:\r\n")),
        ("one header too many", many(MOST_HEADERS, "x: y\r\n")),
    ];
    for path in [
        "/create",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/health",
    ] {
        for (what, headers) in &headers {
            let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n");
            assert_refused(
                &nest,
                &format!("{what} for {path}"),
                request.as_bytes(),
                &[431],
            )
            .await;
        }
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn p70_a_target_that_is_too_long_is_refused() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let long = "a".repeat(200_000);
    let rest = "HTTP/1.1\r\nhost: a\r\n\r\n";
    for (what, target) in [
        ("a path", format!("/v1/{long}")),
        ("a query", format!("/v1/models?{long}")),
        ("a page's query", format!("/health?{long}")),
        ("a host", format!("http://{long}/v1/models")),
        (
            "a port",
            format!("http://a:{}/v1/models", "1".repeat(200_000)),
        ),
        ("an escaped path", format!("/v1/{}", "%41".repeat(70_000))),
    ] {
        let request = format!("GET {target} {rest}");
        assert_refused(&nest, what, request.as_bytes(), &[400, 414, 431]).await;
    }
    // Each of these fits into a head, but the URL that it makes fits into none.
    for length in [MOST_BYTES - 64, 60_000, 33_000, 22_000, 17_000] {
        for (what, start, piece) in [
            ("letters", "/v1/", "a"),
            ("what URLs escape", "/v1/", "\""),
            ("a query", "/v1/models?", "a"),
        ] {
            let target = format!("{start}{}", piece.repeat(length));
            let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            let answers = Wire::exchange(nest.address, request).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [414], "{length} of {what}: {answers:?}");
            assert!(answers[0].body.starts_with(b"{\"error\":"), "{answers:?}");
        }
    }
    assert_eq!(upstream.calls(), 0);
    let fits = format!("/v1/{}", "a".repeat(8_000));
    assert_eq!(nest.get(&fits).await.status, 200);
    assert_eq!(upstream.last().path, fits);
}

#[tokio::test]
async fn p70_a_head_that_never_ends_is_refused_before_it_does() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (what, start, piece) in [
        ("a method", "", "A"),
        ("a target", "GET /", "a"),
        ("a version", "GET / HTTP/1.1", "1"),
        ("a name", "GET / HTTP/1.1\r\n", "a"),
        ("a value", "GET / HTTP/1.1\r\nx: ", "a"),
        ("blanks", "GET / HTTP/1.1\r\nx:", " "),
        ("headers", "GET / HTTP/1.1\r\nhost: a\r\n", "x: y\r\n"),
        ("empty lines", "", "\r\n"),
    ] {
        let mut wire = Wire::connect(nest.address).await;
        wire.send(start).await.unwrap();
        let piece = piece.repeat(1024);
        // Nothing is sent beyond what is refused, and nothing is closed: the end is the proxy's.
        let mut sent = 0;
        while sent < 4 * MOST_BYTES && wire.send(&piece).await.is_ok() {
            sent += piece.len();
        }
        let answers = wire.rest().await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(matches!(statuses[..], [400 | 431]), "{what}: {answers:?}");
    }
    assert_eq!(nest.chat(&ask("after")).await.status, 200);
}

#[tokio::test]
async fn p70_a_head_of_just_the_limits_passes() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (headers, bytes, expected) in [
        (MOST_HEADERS, 0, 200),
        (MOST_HEADERS + 1, 0, 431),
        (4, MOST_BYTES, 200),
        (MOST_HEADERS, MOST_BYTES, 200),
        (4, 3 * MOST_BYTES, 431),
    ] {
        let answers = Wire::exchange(nest.address, head(headers, bytes)).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(
            statuses,
            [expected],
            "{headers} headers, {bytes} bytes: {answers:?}"
        );
    }
    // A long header that goes up arrives whole.
    let title = "t".repeat(32 * 1024);
    let answer = nest.chat_with(&ask("titled"), &[("x-title", &title)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(upstream.last().header("x-title"), title);
}

#[tokio::test]
async fn p70_bytes_that_are_no_http_end_in_a_refusal() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let noise: Bytes = (0..20_000_u32)
        .map(|n| n.to_le_bytes()[usize::from(n % 7 == 0)])
        .collect();
    for (what, bytes) in [
        (
            "a TLS hello",
            &b"\x16\x03\x01\0\xa5\x01\0\0\xa1\x03\x03\0\0\0\0\0\0\0\r\n\r\n"[..],
        ),
        ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        ("SMTP", b"EHLO a\r\nMAIL FROM:<a@b>\r\n\r\n"),
        ("Redis", b"*1\r\n$4\r\nPING\r\n\r\n"),
        (
            "a proxy's preamble",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        ),
        ("NULs", &[0; 4096]),
        ("noise", &noise),
        (
            "a response",
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "two bytes that are no UTF-8",
            b"\xff\xfe / HTTP/1.1\r\n\r\n",
        ),
    ] {
        let answers = Wire::exchange(nest.address, bytes).await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(matches!(statuses[..], [400]), "{what}: {answers:?}");
    }
    assert_eq!(nest.get("/health").await.status, 200);
    assert_eq!(upstream.calls(), 0);
}
