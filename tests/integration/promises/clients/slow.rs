//! P72: twelve hundred clients that dribble or say nothing are all cut, and the others are served as always.

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Nest;
use crate::promises::SETTINGS;
use crate::support::{Upstream, Wire, ask, ask_stream, text_of};

const LIMITS: &str = "[server]\nheader_read_timeout = \"2s\"\nbody_read_timeout = \"3s\"\n";
const HEADS: usize = 800;
const SILENT: usize = 200;
const BODIES: usize = 200;
/// How often those who dribble send a byte: well within every limit.
const PACE: Duration = Duration::from_millis(300);

/// Far beyond all limits.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a client wastes the proxy's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waste {
    Head,
    Silence,
    Body,
}

/// What became of such a client.
struct Outcome {
    waste: Waste,
    said: Bytes,
}

/// Sends the beginning, then a byte now and then, until the proxy ends it.
async fn dribble(waste: Waste, number: usize, mut wire: Wire) -> Outcome {
    let paths = [
        "/v1/chat/completions",
        "/create",
        "/v1/embeddings",
        "/create/chat",
    ];
    let path = paths[number % paths.len()];
    let framing = ["content-length: 5000", "transfer-encoding: chunked"][number / 4 % 2];
    let start = match waste {
        Waste::Head => format!("POST {path} HTTP/1.1\r\nhost: a\r\nx-slow: "),
        Waste::Silence => String::new(),
        Waste::Body => format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
        ),
    };
    let _ = wire.send(start).await;
    let piece = match (waste, number / 4 % 2) {
        (Waste::Body, 1) => "1\r\n \r\n",
        _ => " ",
    };
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            more = wire.more() => if !more { break },
            _ = ticks.tick(), if waste != Waste::Silence => {
                let _ = wire.send(piece).await;
            }
        }
    }
    Outcome {
        waste,
        said: wire.end().await,
    }
}

/// Asks in every way, once; gives how long the slowest took.
async fn ask_everything(nest: &Nest, round: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for way in 0..4 {
        let begun = Instant::now();
        let prompt = format!("round {round}");
        match way {
            0 => assert_eq!(nest.get("/health").await.status, 200),
            1 => {
                let answer = nest.chat(&ask(&prompt)).await;
                assert_eq!(
                    (answer.status, answer.text().as_str()),
                    (200, "Hello."),
                    "{answer:?}"
                );
            }
            2 => {
                let stream = nest
                    .stream(&ask_stream(&format!("stream of {prompt}")))
                    .await;
                assert_eq!(text_of(&stream.all().await), "Hello.");
            }
            _ => {
                let body = serde_json::json!({"prompt": format!("create in {prompt}")});
                let answer = nest.post("/create", &body, &[]).await;
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p72_slow_clients_are_cut_and_others_notice_nothing() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, &format!("{LIMITS}{SETTINGS}")).await;
    let wastes = [
        (Waste::Head, HEADS),
        (Waste::Silence, SILENT),
        (Waste::Body, BODIES),
    ];
    let mut slow = JoinSet::new();
    for (waste, count) in wastes {
        for number in 0..count {
            let wire = Wire::connect_as(slow.len(), nest.address).await.unwrap();
            slow.spawn(dribble(waste, number, wire));
        }
    }
    let mut outcomes = Vec::new();
    let mut rounds = 0;
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    while !slow.is_empty() {
        let left = slow.len();
        assert!(begun.elapsed() < PATIENCE, "{left} are not cut");
        slowest = slowest.max(ask_everything(&nest, rounds).await);
        rounds += 1;
        while let Some(outcome) = slow.try_join_next() {
            outcomes.push(outcome.unwrap());
        }
    }
    // Generous: the machine may be busy with other tests.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    assert!(rounds >= 5, "{rounds}");

    assert_eq!(outcomes.len(), HEADS + SILENT + BODIES);
    for outcome in &outcomes {
        let said = String::from_utf8_lossy(&outcome.said);
        let fits = match outcome.waste {
            Waste::Body => said.starts_with("HTTP/1.1 408 "),
            Waste::Head | Waste::Silence => said.is_empty() || said.starts_with("HTTP/1.1 408 "),
        };
        assert!(fits, "{:?}: {said}", outcome.waste);
    }
    // Of what they sent, nothing went upstream: one call each for a chat, a stream and a create.
    assert_eq!(upstream.calls(), 3 * rounds);
}

#[tokio::test]
async fn p72_between_two_requests_the_same_patience_applies() {
    let upstream = Upstream::start().await;
    let settings = format!("[server]\nheader_read_timeout = \"300ms\"\n{SETTINGS}");
    let nest = Nest::with(&upstream, &settings).await;
    for next in ["", "G", "GET /health HTTP/1.1\r\nhost: a\r\n", "\r\n"] {
        let mut wire = Wire::connect(nest.address).await;
        wire.send("GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(wire.answer().await.unwrap().status, 200);
        wire.send(next).await.unwrap();
        let said = wire.end().await;
        assert!(
            said.is_empty() || said.starts_with(b"HTTP/1.1 408 "),
            "{next:?}: {said:?}"
        );
    }
}
