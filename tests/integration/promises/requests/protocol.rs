//! P77: HTTP/1 as its specification has it: pipelining, Expect, chunked uploads, HTTP/1.0, HEAD, OPTIONS, and methods and
//! protocols that nobody knows here.

use serde_json::json;

use super::Nest;
use crate::support::{Gate, Reading, Upstream, Wire};

mod methods;
mod uploads;

const CALLS: [(&str, bool); 5] = [
    ("/v1/chat/completions", false),
    ("/v1/chat/completions", true),
    ("/create", false),
    ("/create", true),
    ("/v1/embeddings", false),
];

fn body(prompt: &str, stream: bool) -> String {
    json!({"model": "m", "prompt": prompt, "input": prompt, "stream": stream,
        "messages": [{"role": "user", "content": prompt}]})
    .to_string()
}

/// A POST with these header lines and this body.
fn post(path: &str, version: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} {version}\r\nhost: a\r\ncontent-type: application/json\r\n{lines}content-length: {length}\r\n\r\n{body}"
    )
}

fn text(answer: &Reading) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// An upstream that says the prompt again.
async fn parrot() -> Upstream {
    let upstream = Upstream::start().await;
    upstream.script(|request| {
        let input = request.json()["input"].as_str().map(str::to_owned);
        let prompt = request.prompt();
        request.answer(&if prompt.is_empty() {
            input.unwrap_or_default()
        } else {
            prompt
        })
    });
    upstream
}

#[tokio::test]
async fn p77_requests_in_one_packet_are_answered_in_their_order() {
    let upstream = parrot().await;
    let nest = Nest::start(&upstream).await;
    for round in 0..5 {
        let mut wire = Wire::connect(nest.address).await;
        let mut packet = String::new();
        let mut expected = Vec::new();
        for (number, (path, stream)) in CALLS.iter().cycle().take(20).enumerate() {
            let marker = format!("marker-{round}-{number}-end");
            packet.push_str(&post(path, "HTTP/1.1", "", &body(&marker, *stream)));
            packet.push_str("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n");
            expected.push(marker);
        }
        wire.send(packet).await.unwrap();
        for marker in &expected {
            let answer = wire.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{marker}: {answer:?}");
            // A stream brings its text in pieces.
            let said: String = text(&answer)
                .chars()
                .filter(|c| c.is_alphanumeric() || *c == '-')
                .collect();
            let halves = marker.split_at(marker.len() / 2);
            assert!(
                said.contains(halves.0) && said.contains(halves.1),
                "{marker}: {answer:?}"
            );
            let health = wire.answer().await.unwrap();
            assert_eq!(text(&health), "{\"status\":\"ok\"}", "after {marker}");
        }
        // Nothing was answered twice.
        wire.send("GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(wire.rest().await.len(), 1);
    }
    assert_eq!(upstream.calls(), 100);
}

#[tokio::test]
async fn p77_a_pipelined_request_waits_for_the_one_before_it() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let gate = Gate::new();
    let behind = gate.clone();
    upstream.script(move |request| match request.prompt().as_str() {
        "slow" => request.answer("Slow.").after(&behind),
        _ => request.answer("Fast."),
    });
    let mut wire = Wire::connect(nest.address).await;
    let packet = post("/v1/chat/completions", "HTTP/1.1", "", &body("slow", false))
        + &post("/v1/chat/completions", "HTTP/1.1", "", &body("fast", false));
    wire.send(packet).await.unwrap();
    upstream
        .wait_for("the slow call", |counts| counts.busy == 1)
        .await;
    gate.open();
    for expected in ["Slow.", "Fast."] {
        let answer = wire.answer().await.unwrap();
        assert!(text(&answer).contains(expected), "{expected}: {answer:?}");
    }
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn p77_nothing_is_read_behind_a_request_that_closes() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (version, lines) in [
        ("HTTP/1.1", "connection: close\r\n"),
        ("HTTP/1.1", "Connection: Keep-Alive, CLOSE\r\n"),
        ("HTTP/1.0", ""),
        ("HTTP/1.0", "connection: close\r\n"),
    ] {
        for (path, stream) in CALLS {
            let what = format!("{version} {lines:?} {path} {stream}");
            let before = upstream.calls();
            let packet = post(path, version, lines, &body(&what, stream))
                + "GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n";
            let answers = Wire::exchange(nest.address, packet).await;
            assert_eq!(answers.len(), 1, "{what}: {answers:?}");
            assert_eq!(
                (answers[0].status, upstream.calls()),
                (200, before + 1),
                "{what}"
            );
        }
    }
}

#[tokio::test]
async fn p77_http_1_0_closes_unless_it_asks_to_be_kept() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (path, stream) in CALLS {
        for host in ["host: a\r\n", ""] {
            let what = format!("{host:?} {path} {stream}");
            let request =
                post(path, "HTTP/1.0", "", &body(&what, stream)).replacen("host: a\r\n", host, 1);
            let answers = Wire::exchange(nest.address, request).await;
            assert_eq!(answers.len(), 1, "{what}: {answers:?}");
            let answer = &answers[0];
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            // A client of HTTP/1.0 can read no chunks.
            assert_eq!(answer.header("transfer-encoding"), "", "{what}: {answer:?}");
            assert!(!answer.body.is_empty(), "{what}: {answer:?}");
            if stream {
                assert!(
                    text(answer).trim_end().ends_with("data: [DONE]"),
                    "{what}: {answer:?}"
                );
            }
        }
        if stream {
            continue;
        }
        let mut wire = Wire::connect(nest.address).await;
        for round in 0..3 {
            let what = format!("kept {round} {path}");
            let request = post(
                path,
                "HTTP/1.0",
                "connection: keep-alive\r\n",
                &body(&what, stream),
            );
            wire.send(request).await.unwrap();
            let answer = wire.answer().await.unwrap();
            assert_eq!(answer.status, 200, "{what}: {answer:?}");
            assert_eq!(
                answer.header("connection"),
                "keep-alive",
                "{what}: {answer:?}"
            );
        }
    }
    // Upstream it is HTTP/1.1 either way, with connections that are kept.
    assert!(upstream.counts().opened <= 2, "{:?}", upstream.counts());
}
