//! Answers past their life stand in for an upstream that fails (RFC 5861 section 4).

use super::*;
use crate::error::Slow;

const SETTINGS: &str = "cache.ttl = \"10s\"\ncache.stale_if_error = \"100s\"";

/// A house with an answer that has been stale for 5 s.
async fn with_stale_answer(settings: &str) -> House {
    let house = House::new(settings);
    house.ask(&Ask::new()).await;
    advance(seconds(15)).await;
    house
}

fn excused(how: &str) -> Got {
    got("answer 1", &format!("fwd=stale; {how}"))
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_the_upstream_is_excused_and_named() {
    let house = with_stale_answer(SETTINGS).await;
    let why = || Arc::from("why");
    let busy = ProxyError::SocketsBusy {
        limit: 1,
        retry_after: seconds(1),
    };
    for (error, how) in [
        (
            ProxyError::Unreachable(why()),
            "ttl=-5; detail=stale-if-error",
        ),
        (
            ProxyError::DeadSocket(why()),
            "ttl=-5; detail=stale-if-error",
        ),
        (
            ProxyError::ConnectionLost(why()),
            "ttl=-5; detail=stale-if-error",
        ),
        (
            ProxyError::InvalidAnswer(why()),
            "ttl=-5; detail=stale-if-error",
        ),
        (ProxyError::Reported(why()), "ttl=-5; detail=stale-if-error"),
        (
            ProxyError::Timeout(Slow::Total),
            "ttl=-5; detail=stale-if-error",
        ),
        (busy, "ttl=-5; detail=stale-if-error"),
        (circuit_open(), "ttl=-5; detail=circuit-open"),
    ] {
        house.upstream.set(Act::Fail(error.clone()));
        for streams in [false, true] {
            let ask = Ask::new().streaming(streams);
            assert_eq!(house.ask(&ask).await, excused(how), "{error:?}");
        }
    }
    for status in [500, 502, 503, 504] {
        house.upstream.set(Act::Status(status));
        let how = format!("fwd-status={status}; ttl=-5; detail=stale-if-error");
        assert_eq!(house.ask(&Ask::new()).await, excused(&how));
    }
    // It is still asked each time, and its next good answer is given.
    assert_eq!(house.calls(), 1 + 2 * 8 + 4);
    house.upstream.set(Act::Answer);
    let fresh = got("answer 22", "fwd=miss; stored");
    assert_eq!(house.ask(&Ask::new()).await, fresh);
}

pub(super) fn circuit_open() -> ProxyError {
    ProxyError::CircuitOpen {
        model: "m".into(),
        retry_after: seconds(1),
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_says_of_the_request_is_passed_on() {
    let house = with_stale_answer(SETTINGS).await;
    for status in [400, 401, 404, 408, 422, 429, 501] {
        house.upstream.set(Act::Status(status));
        let passed = got(&status.to_string(), "fwd=miss");
        assert_eq!(house.ask(&Ask::new()).await, passed);
    }
    for error in [
        ProxyError::AnswerTooLarge(1),
        ProxyError::Credentials(StatusCode::UNAUTHORIZED),
        ProxyError::Internal("a defect"),
        ProxyError::reject(StatusCode::BAD_REQUEST, "refused", "no"),
    ] {
        house.upstream.set(Act::Fail(error.clone()));
        assert_eq!(house.ask(&Ask::new()).await, got(error.code(), ""));
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_is_over_to_the_millisecond() {
    let house = with_stale_answer(SETTINGS).await;
    house.upstream.set(Act::Status(500));
    advance(Duration::from_millis(94_999)).await;
    let last = excused("fwd-status=500; ttl=-99; detail=stale-if-error");
    assert_eq!(house.ask(&Ask::new()).await, last);
    advance(Duration::from_millis(1)).await;
    assert_eq!(house.ask(&Ask::new()).await, got("500", "fwd=miss"));
}

#[tokio::test(start_paused = true)]
async fn without_a_window_failures_are_failures() {
    let settings = "cache.ttl = \"10s\"\ncache.stale_if_error = \"0s\"";
    let house = with_stale_answer(settings).await;
    house.upstream.set(Act::Fail(circuit_open()));
    assert_eq!(house.ask(&Ask::new()).await, got("circuit_open", ""));
}

#[tokio::test(start_paused = true)]
async fn the_askers_own_route_says_how_long_it_is_over() {
    let settings = "cache.ttl = \"10s\"\ncache.routes = [\"/create=12s\"]";
    let house = with_stale_answer(settings).await;
    house.upstream.set(Act::Status(500));
    let excused = excused("fwd-status=500; ttl=-3; detail=stale-if-error");
    assert_eq!(house.ask(&Ask::new().on(Route::Create)).await, excused);
}

#[tokio::test(start_paused = true)]
async fn all_who_share_a_failed_call_get_the_stale_answer() {
    let house = with_stale_answer(SETTINGS).await;
    house.upstream.set(Act::Status(503));
    house.upstream.hold(true);
    let ask = Ask::new();
    let release = async {
        house.settle().await;
        house.upstream.hold(false);
    };
    let (answers, ()) = tokio::join!(house.ask_at_once(5, &ask), release);
    let stale = excused("fwd-status=503; ttl=-5; detail=stale-if-error");
    assert_eq!(answers, vec![stale; 5]);
    assert_eq!(house.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_off_hides_nothing_and_costs_the_entry_nothing() {
    let house = with_stale_answer(SETTINGS).await;
    house.upstream.once(Act::Cut);
    let stream = Ask::new().streaming(true);
    assert_eq!(house.ask(&stream).await, got("cut", "fwd=miss"));
    house.upstream.set(Act::Status(503));
    let stale = excused("fwd-status=503; ttl=-5; detail=stale-if-error");
    assert_eq!(house.ask(&stream).await, stale);
}
