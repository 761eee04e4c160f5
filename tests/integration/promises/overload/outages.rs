//! P50: an upstream that is down is not hammered.

use std::time::Duration;

use super::super::Nest;
use super::{ask_many, states};
use crate::support::{Act, End, Recorded, Upstream, refusing};

const RETRIES: &str = "[retry]\nbase_delay = \"1ms\"\nmax_delay = \"2ms\"\n\
    [upstream]\nread_timeout = \"100ms\"\nconnect_timeout = \"1s\"\n";
const REQUESTS: usize = 300;
const AT_ONCE: usize = 50;

type Script = fn(&Recorded) -> Act;

/// Ways to be down.
fn outages() -> Vec<(&'static str, Script)> {
    vec![
        ("500", |_| Act::error(500, &[])),
        ("502 with a page", |_| {
            Act::response(502, &[("content-type", "text/html")], "<html>")
        }),
        ("503", |_| Act::error(503, &[])),
        ("503 and close", |_| {
            Act::error(503, &[("connection", "close")]).then(End::Close)
        }),
        ("resets", |_| Act::only(End::Reset)),
        ("closed without a word", |_| Act::only(End::Close)),
        ("silence", |_| Act::only(End::Silence)),
        ("no HTTP", |_| {
            Act::bytes("nonsense\r\n\r\n").then(End::Close)
        }),
        ("an HTML page for an answer", |_| {
            Act::response(200, &[("content-type", "text/html")], "<html>")
        }),
        ("a head without a body", |_| {
            Act::bytes(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n",
            )
            .then(End::Reset)
        }),
        // A second request on a connection meets a dead one, as if it had gone stale.
        ("500, then resets", |request| {
            if request.nth == 0 {
                Act::error(500, &[])
            } else {
                Act::only(End::Reset)
            }
        }),
        ("each in its turn", |request| match request.connection % 3 {
            0 => Act::error(500, &[]),
            1 => Act::only(End::Reset),
            _ => Act::error(503, &[]).then(End::Close),
        }),
    ]
}

/// How many attempts the proxy says it made: those that were refused reached nobody who could count.
async fn attempts(nest: &Nest) -> usize {
    let stats = nest.get("/api/optimization-stats").await.json();
    usize::try_from(stats["upstream"]["attempts"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p50_a_total_outage_is_not_amplified() {
    for (what, script) in outages() {
        let upstream = Upstream::start().await;
        upstream.script(script);
        let nest = Nest::with(&upstream, &format!("{RETRIES}[breaker]\nenabled = false\n")).await;
        for answer in ask_many(&nest, what, REQUESTS, AT_ONCE).await {
            // A stream's head may be out before its failure.
            assert!(answer.status >= 500, "{what}: {answer:?}");
        }
        let (seen, made) = (upstream.calls(), attempts(&nest).await);
        let most = REQUESTS * 12 / 10 + 10;
        assert!(
            seen.max(made) <= most,
            "{what}: {seen} came of {made}, at most {most}"
        );
        assert!(made >= REQUESTS, "{what}: each was tried: {made}");
    }
}

#[tokio::test]
async fn p50_an_upstream_that_refuses_connections_is_not_hammered() {
    let (_nobody, address) = refusing();
    let url = format!("http://{address}/v1");
    let nest = Nest::before(&url, &format!("{RETRIES}[breaker]\nenabled = false\n"), &[]).await;
    for answer in ask_many(&nest, "refused", REQUESTS, AT_ONCE).await {
        assert_eq!(answer.status, 502, "{answer:?}");
    }
    let made = attempts(&nest).await;
    assert!(
        (REQUESTS..=REQUESTS * 12 / 10 + 10).contains(&made),
        "{made}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p50_after_a_while_an_outage_is_answered_by_the_proxy_alone() {
    for (what, script) in outages() {
        let upstream = Upstream::start().await;
        upstream.script(script);
        // The breaker as it comes.
        let mut nest = Nest::with(&upstream, RETRIES).await;
        ask_many(&nest, &format!("{what}, before"), REQUESTS, AT_ONCE).await;
        assert_eq!(states(&nest).await, ["OPEN"; 3], "{what}");
        let (before, cpu) = (attempts(&nest).await, nest.process().cpu_time());
        for answer in ask_many(&nest, &format!("{what}, after"), 100, 10).await {
            assert_eq!(answer.status, 503, "{what}: {answer:?}");
            let wait: u64 = answer.header("retry-after").parse().unwrap();
            assert!((1..=60).contains(&wait), "{what}: {answer:?}");
            assert!(
                !answer.header("content-type").contains("event-stream"),
                "{what}: {answer:?}"
            );
        }
        let made = attempts(&nest).await - before;
        assert!(made < 20, "{what}: {made} attempts for 100 requests");
        let cost = nest.process().cpu_time().saturating_sub(cpu) / 100;
        assert!(
            cost < Duration::from_millis(20),
            "{what}: {cost:?} for a refusal"
        );
    }
}
