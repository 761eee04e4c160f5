//! P40, P42 and P44: what is known costs nothing, comes in the shape asked for, and is gone when it is cleared.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::super::Nest;
use super::super::service::{asking, said};
use crate::support::{Act, Gate, Upstream, delta, event, finish};

#[tokio::test]
async fn p40_a_hit_asks_nobody_and_costs_little() {
    let upstream = Upstream::start().await;
    let mut nest = Nest::start(&upstream).await;
    for (path, body) in asking("Known.", false) {
        said(path, &nest.post(path, &body, &[]).await);
    }
    let counts = upstream.counts();
    assert_eq!(counts.calls, 3);
    let before = nest.process().cpu_time();
    let mut hits = 0;
    for _ in 0..50 {
        for streams in [false, true] {
            for (path, body) in asking("Known.", streams) {
                let answer = nest.post(path, &body, &[]).await;
                assert_eq!(said(path, &answer), "Hello.", "{path}");
                assert_eq!(answer.header("x-cache"), "HIT", "{path}: {answer:?}");
                assert!(
                    answer.header("cache-status").contains("; hit"),
                    "{path}: {answer:?}"
                );
                assert!(
                    answer.header("age").parse::<u64>().is_ok(),
                    "{path}: {answer:?}"
                );
                hits += 1;
            }
        }
    }
    // Of the processor's time, which a busy machine does not stretch; and so for a build without optimization, too.
    let cost = nest.process().cpu_time().saturating_sub(before) / hits;
    assert!(cost < Duration::from_millis(10), "{cost:?} for a hit");
    assert_eq!(upstream.calls(), 3);
    assert_eq!(upstream.counts().opened, counts.opened);
}

#[tokio::test]
async fn p42_whole_and_streamed_answers_come_in_their_own_format_from_the_cache_too() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    let text = "漢字 and \"quotes\"\n\n```\ncode\n```";
    for upstream_streams in [false, true] {
        upstream.set(if upstream_streams {
            let all = event(&delta("漢字 and \"quotes\"")) + &event(&delta("\n\n```\ncode\n```"));
            let end = event(&finish("stop")) + &event("[DONE]");
            Act::stream().chunk(all).chunk(end).last_chunk()
        } else {
            Act::says(text)
        });
        for first in [false, true] {
            for (streams, source) in [
                (first, "MISS"),
                (!first, "HIT"),
                (first, "HIT"),
                (!first, "HIT"),
            ] {
                for (path, body) in asking(&format!("{upstream_streams} {first}"), streams) {
                    let answer = nest.post(path, &body, &[]).await;
                    let what = format!(
                        "{path}, streams: {streams}, first: {first}, upstream: {upstream_streams}"
                    );
                    assert_eq!(answer.header("x-cache"), source, "{what}");
                    assert_eq!(said(path, &answer), text, "{what}");
                    let expected = if streams {
                        "text/event-stream"
                    } else {
                        "application/json"
                    };
                    assert!(
                        answer.header("content-type").starts_with(expected),
                        "{what}: {answer:?}"
                    );
                }
            }
        }
    }
    assert_eq!(upstream.calls(), 12);
}

#[tokio::test]
async fn p44_get_post_and_delete_clear_the_cache() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    for (round, method) in [Method::GET, Method::POST, Method::DELETE]
        .into_iter()
        .enumerate()
    {
        for source in ["MISS", "HIT"] {
            for streams in [false, true] {
                for (path, body) in asking(&format!("kept {streams}"), streams) {
                    let answer = nest.post(path, &body, &[]).await;
                    assert_eq!(
                        answer.header("x-cache"),
                        source,
                        "{method}, {path}: {answer:?}"
                    );
                }
            }
        }
        let cleared = nest
            .send(nest.request(method.clone(), "/api/clear-cache"))
            .await;
        assert_eq!(cleared.status, 200, "{method}: {cleared:?}");
        let body = cleared.json();
        assert_eq!(body["cleared"], 6, "{method}: {body}");
        assert_eq!(
            body["message"], "🧹 Optimization cache cleared successfully",
            "{method}: {body}"
        );
        assert!(body["timestamp"].is_string(), "{method}: {body}");
        assert_eq!(
            super::figure(&nest, "/performance/cacheSize").await,
            0,
            "{method}"
        );
        assert_eq!(upstream.calls(), 6 * (round + 1), "{method}");
    }
}

#[tokio::test]
async fn p44_an_answer_in_flight_during_the_clear_is_given_and_not_stored() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    for method in [Method::GET, Method::POST, Method::DELETE] {
        // Before the first byte of the answer, and amid it.
        for amid in [false, true] {
            for (endpoint, (path, body)) in asking(&format!("{method} {amid}"), amid)
                .into_iter()
                .enumerate()
            {
                let before = upstream.calls();
                let gate = Gate::new();
                upstream.once(if amid {
                    let end = event(&finish("stop")) + &event("[DONE]");
                    Act::stream()
                        .chunk(event(&delta("Old.")))
                        .wait(&gate)
                        .chunk(end)
                        .last_chunk()
                } else {
                    Act::says("Old.").after(&gate)
                });
                let caller = Arc::clone(&nest);
                let question = body.clone();
                let asked = tokio::spawn(async move { caller.post(path, &question, &[]).await });
                upstream
                    .wait_for("the call", |counts| counts.calls == before + 1)
                    .await;
                nest.send(nest.request(method.clone(), "/api/clear-cache"))
                    .await;
                gate.open();
                let what = format!("{method}, {path} ({endpoint}), amid: {amid}");
                assert_eq!(said(path, &asked.await.unwrap()), "Old.", "{what}");
                let answer = nest.post(path, &body, &[]).await;
                assert_eq!(said(path, &answer), "Hello.", "{what}");
                assert_eq!(
                    (answer.header("x-cache"), upstream.calls()),
                    ("MISS", before + 2),
                    "{what}"
                );
                // The key is as good as any other: the new answer is kept.
                assert_eq!(
                    nest.post(path, &body, &[]).await.header("x-cache"),
                    "HIT",
                    "{what}"
                );
            }
        }
    }
}
