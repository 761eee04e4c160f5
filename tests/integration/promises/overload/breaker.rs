//! P51 and P53: what an open circuit does not take away, and what does not open it.

use std::sync::Arc;

use super::super::Nest;
use super::super::service::{asking, said};
use super::states;
use crate::support::{Act, End, Upstream, delta, event};

const STRICT: &str = "[breaker]\nfailure_threshold = 1\n[retry]\nmax_attempts = 1\n";

#[tokio::test]
async fn p51_cached_answers_are_served_while_the_circuit_is_open() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, STRICT).await;
    for (path, body) in asking("known", false) {
        said(path, &nest.post(path, &body, &[]).await);
    }
    upstream.set(Act::error(500, &[]));
    for (path, body) in asking("trip", false) {
        assert!(nest.post(path, &body, &[]).await.status >= 500, "{path}");
    }
    assert_eq!(states(&nest).await, ["OPEN"; 3]);
    let calls = upstream.calls();
    for streams in [false, true] {
        for (path, body) in asking("known", streams) {
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(said(path, &answer), "Hello.", "{path}, {streams}");
            assert_eq!(
                answer.header("x-cache"),
                "HIT",
                "{path}, {streams}: {answer:?}"
            );
        }
        for (path, body) in asking("unknown", streams) {
            let answer = nest.post(path, &body, &[]).await;
            assert_eq!(answer.status, 503, "{path}, {streams}: {answer:?}");
            assert!(
                answer.header("retry-after").parse::<u64>().is_ok(),
                "{path}: {answer:?}"
            );
            let is_named = String::from_utf8_lossy(&answer.body).contains("circuit_open");
            assert!(is_named, "{path}, {streams}: {answer:?}");
        }
    }
    assert_eq!(upstream.calls(), calls);
}

#[tokio::test]
async fn p53_refusals_are_no_failures() {
    let upstream = Upstream::start().await;
    let nest = Nest::with(&upstream, STRICT).await;
    for status in [400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 451] {
        upstream.set(Act::error(status, &[("retry-after", "7")]));
        for streams in [false, true] {
            for (path, body) in asking(&format!("{status} {streams}"), streams) {
                let before = upstream.calls();
                let answer = nest.post(path, &body, &[]).await;
                assert!(answer.status < 500, "{path}, {status}: {answer:?}");
                assert_eq!(upstream.calls(), before + 1, "{path}, {status}: {answer:?}");
            }
        }
    }
    assert!(states(&nest).await.iter().all(|state| state == "CLOSED"));
    upstream.script(|request| request.answer("Hello."));
    for (path, body) in asking("after", false) {
        said(path, &nest.post(path, &body, &[]).await);
    }
}

#[tokio::test]
async fn p53_clients_that_leave_are_no_failures() {
    let upstream = Upstream::start().await;
    let nest = Arc::new(Nest::with(&upstream, STRICT).await);
    for begun in [false, true] {
        let act = if begun {
            Act::stream().chunk(event(&delta("Hel")))
        } else {
            Act::only(End::Silence)
        };
        upstream.set(act.then(End::Silence));
        for streams in [false, true] {
            for (path, body) in asking(&format!("leaving {begun} {streams}"), streams) {
                let before = upstream.counts();
                let caller = Arc::clone(&nest);
                let call = tokio::spawn(async move { caller.post(path, &body, &[]).await });
                upstream
                    .wait_for("the call", |counts| counts.calls == before.calls + 1)
                    .await;
                call.abort();
                let gone = upstream
                    .wait_for("the hang-up", |counts| counts.hang_ups > before.hang_ups)
                    .await;
                assert_eq!(
                    gone.calls,
                    before.calls + 1,
                    "{path}: and no other in its place"
                );
            }
        }
    }
    assert!(states(&nest).await.iter().all(|state| state == "CLOSED"));
    upstream.script(|request| request.answer("Hello."));
    for (path, body) in asking("after", false) {
        said(path, &nest.post(path, &body, &[]).await);
    }
}

#[tokio::test]
async fn p53_a_failure_that_does_count_opens_it_at_once() {
    // The counterpart of the tests above: with these very settings one failure is enough.
    for failure in [
        Act::error(500, &[]),
        Act::only(End::Reset),
        Act::only(End::Close),
    ] {
        let upstream = Upstream::start().await;
        let nest = Nest::with(&upstream, STRICT).await;
        upstream.set(failure);
        for (path, body) in asking("failing", false) {
            assert!(nest.post(path, &body, &[]).await.status >= 500, "{path}");
        }
        assert_eq!(states(&nest).await, ["OPEN"; 3]);
    }
}
