//! What is tried again, how often, and what never is.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{
    Act, End, Gate, Proxy, Upstream, ask, ask_stream, delta, event, text_of, within,
};

async fn start(settings: &str) -> (Upstream, Proxy) {
    let upstream = Upstream::start().await;
    let proxy = Proxy::start(settings, &upstream).await;
    (upstream, proxy)
}

/// The faults that pass.
fn faults() -> Vec<Act> {
    let mut faults: Vec<_> = [408, 429, 500, 502, 503, 504]
        .into_iter()
        .map(|status| Act::error(status, &[]))
        .collect();
    faults.push(Act::only(End::Reset));
    faults.push(Act::only(End::Close));
    faults
}

#[tokio::test]
async fn one_fault_is_two_attempts_and_nobody_notices() {
    for (at, fault) in faults().into_iter().enumerate() {
        for streams in [false, true] {
            let (upstream, proxy) = start("").await;
            upstream.once(fault.clone());
            let text = if streams {
                text_of(&proxy.stream(&ask_stream("q")).await.all().await)
            } else {
                proxy.chat(&ask("q")).await.text()
            };
            assert_eq!(text, "Hello.", "fault {at}");
            assert_eq!(upstream.calls(), 2, "fault {at}");
        }
    }
}

#[tokio::test]
async fn attempts_end_at_their_maximum() {
    let (upstream, proxy) = start("").await;
    upstream.set(Act::error(503, &[("x-mark", "theirs")]));
    let answer = proxy.chat(&ask("q")).await;
    assert_eq!((answer.status, answer.header("x-mark")), (503, "theirs"));
    assert_eq!(upstream.calls(), 3);

    let (upstream, proxy) = start("retry.max_attempts = 1").await;
    upstream.set(Act::error(500, &[]));
    assert_eq!(proxy.chat(&ask("q")).await.status, 500);
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn the_clients_mistakes_are_one_attempt() {
    for status in [400, 401, 402, 403, 404, 409, 413, 422, 501] {
        let (upstream, proxy) = start("").await;
        upstream.set(Act::error(status, &[]));
        assert_eq!(proxy.chat(&ask("q")).await.status, status);
        assert_eq!(upstream.calls(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_may_have_had_effects_is_never_repeated() {
    for fault in [Act::error(500, &[]), Act::only(End::Close)] {
        let (upstream, proxy) = start("").await;
        upstream.set(fault);
        let request = proxy.request(Method::POST, "/v1/files").body("x");
        assert!(proxy.send(request).await.status >= 500);
        assert_eq!(upstream.calls(), 1);
    }
    let (upstream, proxy) = start("").await;
    upstream.once(Act::error(500, &[]));
    assert_eq!(proxy.get("/v1/models").await.status, 200);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn retry_after_is_kept_to() {
    let (upstream, proxy) = start("").await;
    upstream.once(Act::error(429, &[("retry-after", "1")]));
    let begun = Instant::now();
    assert_eq!(proxy.chat(&ask("q")).await.status, 200);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_passed_on_at_once() {
    for value in [
        "31",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "99999999999999999999",
    ] {
        let (upstream, proxy) = start("").await;
        upstream.set(Act::error(429, &[("retry-after", value)]));
        let begun = Instant::now();
        let answer = proxy.chat(&ask("q")).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, value));
        assert_eq!(answer.json()["error"]["type"], "scripted");
        assert!(begun.elapsed() < Duration::from_secs(25));
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn all_attempts_share_one_deadline() {
    let settings = "upstream.total_timeout = \"300ms\"\nupstream.read_timeout = \"300ms\"";
    let (upstream, proxy) = start(settings).await;
    upstream.once(Act::error(503, &[]));
    upstream.set(Act::only(End::Silence));
    let begun = Instant::now();
    let answer = proxy.chat(&ask("q")).await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.json()["error"]["code"], "upstream_timeout");
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(upstream.calls(), 2);
    upstream
        .wait_for("the hang-up", |counts| counts.hang_ups == 1)
        .await;
}

#[tokio::test]
async fn in_an_outage_retries_are_a_share_of_the_calls() {
    let (upstream, proxy) = start("breaker.enabled = false").await;
    upstream.set(Act::error(500, &[]));
    for number in 0..100 {
        assert_eq!(proxy.chat(&ask(&number.to_string())).await.status, 500);
    }
    // A fifth of the calls, and the reserve of ten.
    let calls = upstream.calls();
    assert!((115..=130).contains(&calls), "{calls}");

    let (upstream, proxy) = start("retry.budget = 0").await;
    upstream.set(Act::error(500, &[]));
    proxy.chat(&ask("q")).await;
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn a_stream_that_has_begun_is_never_repeated() {
    for end in [End::Close, End::Reset] {
        let (upstream, proxy) = start("").await;
        upstream.once(Act::stream().chunk(event(&delta("Once"))).then(end));
        let events = proxy.stream(&ask_stream("q")).await.all().await;
        assert!(events.last().unwrap().contains("\"error\""), "{events:?}");
        assert_eq!(upstream.calls(), 1, "{end:?}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_byte_is_repeated() {
    let (upstream, proxy) = start("").await;
    upstream.once(Act::stream().then(End::Reset));
    let events = proxy.stream(&ask_stream("q")).await.all().await;
    assert_eq!(text_of(&events), "Hello.");
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test]
async fn without_retries_a_fresh_socket_that_breaks_is_one_attempt() {
    let json = [("content-type", "application/json")];
    for act in [
        Act::only(End::Close),
        Act::only(End::Reset),
        Act::chunked(200, &json).chunk("{").then(End::Close),
    ] {
        let (upstream, proxy) = start("retry.max_attempts = 1").await;
        upstream.set(act);
        assert_eq!(proxy.chat(&ask("q")).await.status, 502);
        assert_eq!(upstream.calls(), 1);
    }
}

#[tokio::test]
async fn stale_sockets_in_the_pool_go_unnoticed() {
    for end in [End::Reset, End::Close] {
        use_stale_sockets(end).await;
    }
}

/// P61: an outage before makes no difference. An upstream that was restarted answers on fresh sockets, and all old
/// ones are dead; there is no budget left for anything else.
#[tokio::test]
async fn p61_after_an_outage_stale_sockets_go_unnoticed_as_well() {
    let (upstream, proxy) = start("breaker.enabled = false").await;
    let proxy = Arc::new(proxy);
    let ask_eight = async |round: usize, expected: u16| {
        let mut callers = JoinSet::new();
        for number in 0..8 {
            let proxy = Arc::clone(&proxy);
            callers.spawn(async move {
                let answer = proxy.chat(&ask(&format!("{round} {number}"))).await;
                assert_eq!(answer.status, expected, "{answer:?}");
            });
        }
        within("all callers", callers.join_all()).await;
    };
    upstream.set(Act::error(503, &[]));
    for round in 0..5 {
        ask_eight(round, 503).await;
    }
    upstream.script(|request| match request.nth {
        0 => Act::says("Well again."),
        _ => Act::only(End::Reset),
    });
    // Those that the first five rounds left, each of which dies once.
    ask_eight(5, 200).await;
    ask_eight(6, 200).await;
}

/// Every connection serves one request well, eight at once, and ends like this over its second.
async fn use_stale_sockets(end: End) {
    let (upstream, proxy) = start("retry.max_attempts = 1\nretry.budget = 0").await;
    let proxy = Arc::new(proxy);
    let gate = Gate::new();
    upstream.script({
        let gate = gate.clone();
        move |request| match request.nth {
            0 => Act::says(&request.prompt()).after(&gate),
            _ => Act::only(end),
        }
    });
    for round in 0..2 {
        let mut callers = JoinSet::new();
        for number in 0..8 {
            let proxy = Arc::clone(&proxy);
            callers.spawn(async move {
                let prompt = format!("{round} {number}");
                let answer = proxy.chat(&ask(&prompt)).await;
                assert_eq!((answer.status, answer.text()), (200, prompt));
            });
        }
        if round == 0 {
            upstream
                .wait_for("eight calls at once", |counts| counts.busy == 8)
                .await;
            gate.open();
        }
        within("all callers", callers.join_all()).await;
    }
    let stale = upstream
        .requests()
        .iter()
        .filter(|request| request.nth > 0)
        .count();
    assert_eq!((stale, upstream.calls()), (8, 24), "{end:?}");
}
