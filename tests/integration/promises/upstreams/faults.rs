//! P10 and P11: an upstream that is down, for good or for a moment.

use super::{Act, Door, EACH_FOR_ITSELF, End, Nest, Upstream, assert_alive, start};

/// An upstream that is down: nothing that it does is an answer, all of it may pass.
fn down() -> Vec<(&'static str, Act)> {
    vec![
        ("500", Act::error(500, &[])),
        ("502", Act::error(502, &[])),
        ("503", Act::error(503, &[])),
        ("504", Act::error(504, &[])),
        ("529", Act::error(529, &[])),
        (
            "500 in HTML",
            Act::response(500, &[("content-type", "text/html")], "<html>oops"),
        ),
        ("503 without a word", Act::response(503, &[], "")),
        ("reset", Act::only(End::Reset)),
        ("close", Act::only(End::Close)),
        (
            "reset in the head",
            Act::bytes("HTTP/1.1 200 OK\r\ncontent-").then(End::Reset),
        ),
        (
            "close in the head",
            Act::bytes("HTTP/1.1 200 OK\r\ncontent-").then(End::Close),
        ),
        ("half close", Act::only(End::HalfClose)),
    ]
}

#[tokio::test]
async fn p10_an_upstream_that_is_down_is_an_error_after_a_few_attempts() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    for (fault, act) in down() {
        upstream.set(act);
        for door in Door::ALL {
            let what = format!("{fault}, {door:?}");
            let before = upstream.calls();
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_refused(&what);
            let attempts = upstream.calls() - before;
            assert!((1..=4).contains(&attempts), "{what}: {attempts} attempts");
        }
        assert_alive(&nest, fault).await;
    }
    upstream.script(|request| request.answer("Back."));
    for door in Door::ALL {
        let outcome = door.ask(&nest, "are you back?").await;
        outcome.assert_answer("Back.", &format!("{door:?}"));
    }
}

#[tokio::test]
async fn p10_a_row_of_faults_leaves_the_process_alive_with_the_shipped_settings() {
    let upstream = Upstream::start().await;
    let nest = Nest::start(&upstream).await;
    upstream.set(Act::only(End::Reset));
    for call in 0..20 {
        for door in Door::ALL {
            let what = format!("{door:?}, call {call}");
            door.ask(&nest, &what).await.assert_refused(&what);
        }
    }
    assert_alive(&nest, "after 120 failures").await;
    // The breaker has long stopped them.
    assert!(upstream.calls() <= 20, "{:?}", upstream.counts());
}

#[tokio::test]
async fn p11_one_fault_is_two_attempts_and_the_caller_gets_the_answer() {
    let (upstream, nest) = start(EACH_FOR_ITSELF).await;
    let passing = down().into_iter().filter(|(fault, _)| *fault != "529");
    let slow_down = [
        ("408", Act::error(408, &[])),
        ("429", Act::error(429, &[])),
        (
            "429, come at once",
            Act::error(429, &[("retry-after", "0")]),
        ),
    ];
    for (fault, act) in passing.chain(slow_down) {
        for door in Door::ALL {
            let what = format!("{fault}, {door:?}");
            let before = upstream.calls();
            upstream.once(act.clone());
            let outcome = door.ask(&nest, &what).await;
            outcome.assert_answer("Hello.", &what);
            assert_eq!(upstream.calls() - before, 2, "{what}");
        }
    }
}
