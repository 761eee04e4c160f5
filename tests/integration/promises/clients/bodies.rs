//! P71: a body of a gigabyte is refused early, whatever it announces, and costs neither memory nor an upstream call.

use std::time::Duration;

use tokio::task::JoinSet;

use super::Nest;
use crate::promises::SETTINGS;
use crate::support::{Upstream, Wire, ask};

const GIB: u64 = 1024 * 1024 * 1024;
const MIB: usize = 1024 * 1024;
/// `server.max_body_bytes`, as shipped.
const LIMIT: usize = 10 * MIB;
/// What the sockets between may hold, and what the proxy reads on so that its refusal is read.
const SLACK: usize = 96 * MIB;

const PATHS: [&str; 6] = [
    "/create",
    "/create/chat",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/files",
    "/v1/models",
];

fn head(method: &str, path: &str, framing: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
    )
}

#[tokio::test]
async fn p71_a_gigabyte_that_is_announced_is_413_before_a_byte_of_it() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let lengths = [
        LIMIT as u64 + 1,
        GIB,
        1 << 32,
        1 << 53,
        1 << 63,
        u64::MAX - 2,
    ];
    for path in PATHS {
        for length in lengths {
            for extra in ["", "\r\nexpect: 100-continue", "\r\nconnection: close"] {
                let framing = format!("content-length: {length}{extra}");
                let mut wire = Wire::connect(nest.address).await;
                wire.send(head("POST", path, &framing)).await.unwrap();
                let answer = wire.answer().await.unwrap();
                assert_eq!(answer.status, 413, "{path}, {framing}: {answer:?}");
                let text = String::from_utf8_lossy(&answer.body);
                assert!(text.contains("body_too_large"), "{path}: {text}");
            }
        }
    }
    assert_eq!(upstream.calls(), 0);
    assert_eq!(nest.chat(&ask("after")).await.status, 200);
}

#[tokio::test]
async fn p71_a_gigabyte_that_is_sent_all_the_same_is_413_and_ends() {
    let upstream = Upstream::start().await;
    let mut nest = Nest::start(&upstream).await;
    assert_eq!(nest.chat(&ask("before")).await.status, 200);
    let before = nest.process().resident_bytes();
    for path in PATHS {
        for (what, framing, piece) in [
            (
                "announced",
                format!("content-length: {GIB}"),
                vec![b'x'; 64 * 1024],
            ),
            (
                "chunked",
                "transfer-encoding: chunked".to_owned(),
                chunk(64 * 1024),
            ),
            (
                "one chunk",
                "transfer-encoding: chunked\r\n\r\n40000000".to_owned(),
                vec![b'x'; 64 * 1024],
            ),
        ] {
            let mut wire = Wire::connect(nest.address).await;
            let mut head = head("POST", path, &framing);
            if what == "one chunk" {
                // The framing brought its own end of the head.
                head.truncate(head.len() - 2);
            }
            wire.send(head).await.unwrap();
            let mut sent = 0;
            while sent < LIMIT + SLACK && wire.send(&piece).await.is_ok() {
                sent += piece.len();
            }
            assert!(
                sent < LIMIT + SLACK,
                "{path}, {what}: {sent} bytes were taken"
            );
            let answers = wire.rest().await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            assert_eq!(statuses, [413], "{path}, {what}: {answers:?}");
        }
    }
    assert_eq!(upstream.calls(), 1);
    let grown = nest.process().resident_bytes().saturating_sub(before);
    assert!(grown < 128 * MIB, "grew by {grown} bytes");
    assert_eq!(nest.chat(&ask("after")).await.status, 200);
}

#[tokio::test]
async fn p71_a_body_that_no_route_reads_holds_nobody_up() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let (address, mut all) = (nest.address, JoinSet::new());
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("POST", "/health", 405),
        ("POST", "/nowhere", 404),
        ("GET", "/create", 405),
        ("DELETE", "/v1/chat/completions", 405),
    ] {
        for framing in [
            format!("content-length: {GIB}"),
            "transfer-encoding: chunked".to_owned(),
        ] {
            all.spawn(async move {
                let mut wire = Wire::connect(address).await;
                wire.send(head(method, path, &framing)).await.unwrap();
                let answer = wire.answer().await.unwrap();
                let what = format!("{method} {path}, {framing}: {answer:?}");
                assert_eq!(answer.status, status, "{what}");
                // Its body never comes; the connection does not wait for it.
                assert_eq!(wire.end().await, "", "{what}");
            });
        }
    }
    all.join_all().await;
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn p71_chunks_that_are_mostly_framing_are_refused() {
    let upstream = Upstream::start().await;
    // Where nothing is too long, at least nothing is endless.
    let settings = format!("[server]\nbody_read_timeout = \"2s\"\n{SETTINGS}");
    let mut nest = Nest::with(&upstream, &settings).await;
    let chunked = head("POST", "/v1/chat/completions", "transfer-encoding: chunked");
    let before = nest.process().cpu_time();
    for (what, start, piece) in [
        ("an extension", "1;", "x"),
        ("zeros before a size", "", "0"),
        ("trailers", "2\r\n{}\r\n0\r\n", "x: y\r\n"),
        ("a trailer", "2\r\n{}\r\n0\r\nx:", " "),
    ] {
        let mut wire = Wire::connect(nest.address).await;
        wire.send(format!("{chunked}{start}")).await.unwrap();
        let piece = piece.repeat(16 * 1024);
        let mut sent = 0;
        while sent < 4 * MIB && wire.send(&piece).await.is_ok() {
            sent += piece.len();
        }
        let answers = wire.rest().await;
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert!(matches!(statuses[..], [400 | 408]), "{what}: {answers:?}");
    }
    assert_eq!(upstream.calls(), 0);
    let taken = nest.process().cpu_time().saturating_sub(before);
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}

/// A chunk of so many bytes.
fn chunk(length: usize) -> Vec<u8> {
    let mut chunk = format!("{length:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + length, b'x');
    chunk.extend_from_slice(b"\r\n");
    chunk
}
