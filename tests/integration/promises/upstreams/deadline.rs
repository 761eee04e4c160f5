//! P14: one deadline covers connection, head, body and retries, whichever of them is slow.

use std::time::Duration;

use tokio::time::Instant;

use super::{Act, Door, End, JSON, completion, start};
use crate::support::{delta, event};

/// The deadline alone, no other timer.
const DEADLINE: &str = "breaker.enabled = false\n[upstream]\ntotal_timeout = \"1s\"\nread_timeout = \"20s\"\n\
    [retry]\nmax_attempts = 10\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n";

/// A byte of a slow answer comes so often.
const BEAT: Duration = Duration::from_millis(200);

/// Far from the deadline, and farther from the time that the slow answers would take.
const LATE: Duration = Duration::from_secs(10);

fn slow() -> Vec<(&'static str, Act)> {
    let whole = completion("much too late").to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        whole.len()
    );
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    vec![
        ("silence", Act::only(End::Silence)),
        (
            "half a head",
            Act::bytes("HTTP/1.1 200 OK\r\n").then(End::Silence),
        ),
        (
            "a head and silence",
            Act::bytes(head.clone()).then(End::Silence),
        ),
        (
            "half a body",
            Act::bytes(head.clone() + &whole[..50]).then(End::Silence),
        ),
        (
            "a crawling head",
            Act::bytes("").crawl(head.clone() + &whole, BEAT),
        ),
        (
            "a crawling body",
            Act::bytes(head.clone()).crawl(whole.clone(), BEAT),
        ),
        ("crawling hints", Act::bytes("").crawl(hint, BEAT)),
        (
            "a stream without an event",
            Act::stream().then(End::Silence),
        ),
        (
            "a crawling error",
            Act::bytes("HTTP/1.1 400 Bad\r\ncontent-length: 99\r\n\r\n")
                .crawl(" ".repeat(99), BEAT),
        ),
    ]
}

#[tokio::test]
async fn p14_whatever_is_slow_ends_at_the_deadline_with_a_504() {
    let (upstream, nest) = start(DEADLINE).await;
    for (fault, act) in slow() {
        upstream.set(act);
        let (before, begun) = (upstream.counts(), Instant::now());
        // All doors at once: they wait for the same clock.
        let outcomes = Door::ALL.map(|door| {
            let (nest, what) = (&nest, format!("{fault}, {door:?}"));
            async move { (door.ask(nest, &what).await, what) }
        });
        for (outcome, what) in futures_util::future::join_all(outcomes).await {
            outcome.assert_refused(&what);
            assert_eq!(outcome.status, 504, "{what}: {outcome:?}");
            assert_eq!(outcome.code.as_deref(), Some("upstream_timeout"), "{what}");
        }
        assert!(begun.elapsed() < LATE, "{fault}: {:?}", begun.elapsed());
        let doors = Door::ALL.len();
        let after = upstream
            .wait_for("the hang-ups", |now| {
                now.hang_ups == before.hang_ups + doors
            })
            .await;
        assert_eq!(
            after.calls,
            before.calls + doors,
            "{fault}: no second attempt"
        );
    }
}

/// A flood that never waits would keep a thread busy until the deadline.
#[tokio::test]
async fn p14_informational_answers_for_ever_are_not_read_until_the_deadline() {
    let (upstream, nest) = start("breaker.enabled = false").await;
    upstream.set(Act::bytes("").flood_raw("HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)));
    for door in Door::ALL {
        let what = format!("{door:?}");
        let before = upstream.counts();
        let outcome = door.ask(&nest, &what).await;
        outcome.assert_refused(&what);
        assert_eq!(outcome.status, 502, "{what}: {outcome:?}");
        let code = outcome.code.as_deref();
        assert_eq!(code, Some("upstream_invalid_answer"), "{what}");
        let after = upstream
            .wait_for("the hang-up", |now| now.hang_ups > before.hang_ups)
            .await;
        let sent = after.written - before.written;
        assert!(sent < 16 << 20, "{what}: {sent} bytes were taken");
    }
}

#[tokio::test]
async fn p14_a_half_closed_connection_is_not_waited_for() {
    let (upstream, nest) = start(DEADLINE).await;
    upstream.set(Act::chunked(200, &JSON).chunk("{").then(End::HalfClose));
    for door in Door::ALL {
        let what = format!("{door:?}");
        door.ask(&nest, &what).await.assert_refused(&what);
    }
}

#[tokio::test]
async fn p14_a_stream_that_crawls_keeps_no_whole_caller() {
    let (upstream, nest) = start(DEADLINE).await;
    let events = event(&delta("slowly ")).repeat(100);
    upstream.set(
        Act::bytes("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            .crawl(events, BEAT),
    );
    for door in [Door::Chat, Door::Create, Door::Turn] {
        let (what, begun) = (format!("{door:?}"), Instant::now());
        let outcome = door.ask(&nest, &what).await;
        assert_eq!(outcome.status, 504, "{what}: {outcome:?}");
        assert!(begun.elapsed() < LATE, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn p14_retries_stay_inside_the_deadline() {
    let (upstream, nest) = start(DEADLINE).await;
    // Each attempt takes more than half of the time that there is, so that there is none for a second one.
    let head = "HTTP/1.1 500 Oops\r\nx-slow: ";
    for door in Door::ALL {
        let (what, begun) = (format!("{door:?}"), Instant::now());
        let slow_error = Act::bytes("")
            .crawl(head.as_bytes()[..4].to_vec(), BEAT)
            .send(head[4..].to_owned() + "1\r\ncontent-length: 0\r\n\r\n");
        upstream.set(slow_error);
        let before = upstream.calls();
        let outcome = door.ask(&nest, &what).await;
        outcome.assert_refused(&what);
        let attempts = upstream.calls() - before;
        assert!((1..=2).contains(&attempts), "{what}: {attempts} attempts");
        assert!(begun.elapsed() < LATE, "{what}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn p14_a_forwarded_call_has_the_same_deadline() {
    let (upstream, nest) = start(DEADLINE).await;
    for (fault, act) in slow() {
        if fault == "a stream without an event" {
            // Its head is the beginning of its answer; from there on only silence counts.
            continue;
        }
        upstream.set(act);
        let begun = Instant::now();
        let answer = nest
            .post("/v1/embeddings", &Door::Chat.body(fault), &[])
            .await;
        assert_eq!(answer.status, 504, "{fault}: {answer:?}");
        assert_eq!(
            answer.json()["error"]["code"],
            "upstream_timeout",
            "{fault}"
        );
        assert!(begun.elapsed() < LATE, "{fault}: {:?}", begun.elapsed());
    }
}
