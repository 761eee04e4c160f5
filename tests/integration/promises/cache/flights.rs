//! P30–P33: identical requests at once are one call, whoever leaves and whatever becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::super::Nest;
use super::super::service::{asking, said};
use super::wait_for_callers;
use crate::support::{Act, Answer, End, Gate, Upstream, delta, event, finish, within};

const CALLERS: usize = 50;

/// Asks this many times at once, every other time as a stream.
fn ask_at_once(nest: &Arc<Nest>, endpoint: usize, prompt: &str, callers: usize) -> JoinSet<Answer> {
    let mut asked = JoinSet::new();
    for number in 0..callers {
        let nest = Arc::clone(nest);
        let (path, body) = asking(prompt, number % 2 == 1)
            .into_iter()
            .nth(endpoint)
            .unwrap();
        asked.spawn(async move { nest.post(path, &body, &[]).await });
    }
    asked
}

/// "Hello." behind a gate, in the shape asked for or always as a stream.
fn gated(upstream: &Upstream, gate: &Gate, streams: bool) {
    let gate = gate.clone();
    upstream.script(move |request| {
        let act = if streams {
            Act::streams(&["Hel", "lo."])
        } else {
            request.answer("Hello.")
        };
        act.after(&gate)
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p30_fifty_identical_requests_at_once_are_one_call() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    for streams in [false, true] {
        for endpoint in 0..3 {
            let before = upstream.calls();
            let gate = Gate::new();
            gated(&upstream, &gate, streams);
            let asked = ask_at_once(&nest, endpoint, &format!("together {streams}"), CALLERS);
            wait_for_callers(&nest, CALLERS).await;
            gate.open();
            let answers = within("all callers", asked.join_all()).await;
            let path = asking("", false)[endpoint].0;
            let mut leaders = 0;
            for answer in &answers {
                assert_eq!(said(path, answer), "Hello.", "{path}: {answer:?}");
                leaders += usize::from(answer.header("x-cache") == "MISS");
            }
            let what = format!("{path}, upstream streams: {streams}");
            assert_eq!((upstream.calls() - before, leaders), (1, 1), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_when_the_leader_leaves_its_followers_are_served_by_the_same_call() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    for leader_streams in [false, true] {
        for endpoint in 0..3 {
            let before = upstream.calls();
            let gate = Gate::new();
            gated(&upstream, &gate, false);
            let prompt = format!("leaving {leader_streams}");
            let (path, body) = asking(&prompt, leader_streams)
                .into_iter()
                .nth(endpoint)
                .unwrap();
            let caller = Arc::clone(&nest);
            let leader = tokio::spawn(async move { caller.post(path, &body, &[]).await });
            upstream
                .wait_for("the call", |counts| counts.calls == before + 1)
                .await;
            let followers = ask_at_once(&nest, endpoint, &prompt, 20);
            wait_for_callers(&nest, 21).await;
            let gone = super::figure(&nest, "/upstream/clientsGone").await;
            leader.abort();
            assert!(leader.await.unwrap_err().is_cancelled());
            within("the proxy's notice", async {
                while super::figure(&nest, "/upstream/clientsGone").await == gone {}
            })
            .await;
            gate.open();
            for answer in within("the followers", followers.join_all()).await {
                assert_eq!(said(path, &answer), "Hello.", "{path}: {answer:?}");
            }
            let counts = upstream.counts();
            assert_eq!((counts.calls - before, counts.hang_ups), (1, 0), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p31_when_all_leave_the_call_is_cancelled_and_its_key_is_free() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    for begun in [false, true] {
        for endpoint in 0..3 {
            let before = upstream.counts();
            let act = if begun {
                Act::stream().chunk(event(&delta("Hel")))
            } else {
                Act::only(End::Silence)
            };
            upstream.set(act.then(End::Silence));
            let prompt = format!("all leave {begun}");
            let mut asked = ask_at_once(&nest, endpoint, &prompt, 10);
            wait_for_callers(&nest, 10).await;
            upstream
                .wait_for("the call", |counts| counts.calls == before.calls + 1)
                .await;
            assert_eq!(upstream.counts().hang_ups, before.hang_ups);
            asked.shutdown().await;
            let what = "the call's end, with no other in its place";
            let counts = upstream
                .wait_for(what, |counts| counts.hang_ups > before.hang_ups)
                .await;
            assert_eq!(counts.calls, before.calls + 1);
            upstream.script(|request| request.answer("Hello."));
            let (path, body) = asking(&prompt, false).into_iter().nth(endpoint).unwrap();
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(said(path, &answer), "Hello.");
            assert_eq!(upstream.calls(), before.calls + 2, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p32_a_shared_failure_reaches_everybody_and_leaves_the_key_free() {
    let failures = [
        ("500", Act::error(500, &[])),
        ("503", Act::error(503, &[])),
        ("429", Act::error(429, &[])),
        ("400", Act::error(400, &[])),
        ("reset", Act::only(End::Reset)),
        ("closed", Act::only(End::Close)),
        (
            "HTML",
            Act::response(200, &[("content-type", "text/html")], "<html>"),
        ),
        (
            "cut",
            Act::response(
                200,
                &[("content-type", "application/json")],
                "{\"choices\":[",
            ),
        ),
    ];
    for (what, failure) in failures {
        let upstream = Upstream::start().await;
        let nest = Arc::new(Nest::start(&upstream).await);
        for endpoint in 0..3 {
            let (path, body) = asking(what, false).into_iter().nth(endpoint).unwrap();
            let before = upstream.calls();
            let gate = Gate::new();
            upstream.set(failure.clone().after(&gate));
            let asked = ask_at_once(&nest, endpoint, what, CALLERS);
            wait_for_callers(&nest, CALLERS).await;
            gate.open();
            for answer in within("all callers", asked.join_all()).await {
                assert!(answer.status >= 400, "{path}, {what}: {answer:?}");
            }
            let attempts = upstream.calls() - before;
            assert!(
                (1..=8).contains(&attempts),
                "{path}, {what}: {attempts} attempts"
            );
            upstream.script(|request| request.answer("Hello."));
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(said(path, &answer), "Hello.", "{path}, {what}");
            assert_eq!(
                answer.header("x-cache"),
                "MISS",
                "{path}, {what}: never kept"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p32_a_stream_that_breaks_looks_finished_to_nobody() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    for endpoint in 0..3 {
        let gate = Gate::new();
        let act = Act::stream()
            .chunk(event(&delta("Hel")))
            .wait(&gate)
            .chunk(event(&delta("lo")));
        upstream.set(act.then(End::Close));
        let (path, body) = asking("breaks", true).into_iter().nth(endpoint).unwrap();
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(nest.stream_from(path, &body, &[]).await);
        }
        gate.open();
        for stream in streams {
            let events = stream.all().await;
            assert!(
                events.iter().all(|data| data != "[DONE]"),
                "{path}: {events:?}"
            );
        }
        assert_eq!(upstream.calls(), 2 * endpoint + 1, "{path}");
        let all = event(&delta("Whole.")) + &event(&finish("stop")) + &event("[DONE]");
        upstream.set(Act::stream().chunk(all).last_chunk());
        let answer = nest.post(path, &body, &[]).await;
        assert_eq!(said(path, &answer), "Whole.", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p33_nobody_gets_the_answer_of_another() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::start(&upstream).await);
    upstream.script(|request| request.answer(&format!("echo {}", request.prompt())));
    let count = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    // Every prompt is asked for twice, by whoever comes: once by the model, once out of a flight or the cache.
    for _ in 0..40 {
        let (nest, count) = (Arc::clone(&nest), Arc::clone(&count));
        workers.spawn(async move {
            loop {
                let number = count.fetch_add(1, Ordering::Relaxed);
                if number >= 800 {
                    return;
                }
                let prompt = format!("prompt {}", number / 2);
                let (path, body) = asking(&prompt, number % 3 == 0)
                    .into_iter()
                    .nth(number / 2 % 3)
                    .unwrap();
                let answer = nest.post(path, &body, &[]).await;
                assert_eq!(said(path, &answer), format!("echo {prompt}"), "{path}");
            }
        });
    }
    within("all workers", workers.join_all()).await;
    assert_eq!(upstream.calls(), 400);
}
